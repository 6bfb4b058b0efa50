/** Functions of the image that only its other functions call: those of ../internal.ts, and one more. */
import { Label } from "../../asm/operands.ts";
import * as shared from "../internal.ts";

export interface InternalFunctions extends shared.InternalFunctions {
	/** __kernel_vsyscall. */
	readonly kernelVsyscall: Label;
}

export const internalFunctions = (): InternalFunctions => ({
	...shared.internalFunctions(),
	kernelVsyscall: new Label("kernel vsyscall"),
});
