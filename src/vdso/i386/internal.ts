/** Functions of the image that only its other functions call, as ../internal.ts has them. */
import { Label } from "../../asm/operands.ts";
import { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI, type WallClockId } from "../host.ts";

export interface InternalFunctions {
	readonly askHost: Label;
	/** The drifting wall of a wall clock. */
	readonly drifting: Readonly<Record<WallClockId, Label>>;
	/** __kernel_vsyscall. */
	readonly kernelVsyscall: Label;
}

export const internalFunctions = (): InternalFunctions => ({
	askHost: new Label("ask host"),
	drifting: {
		[CLOCK_REALTIME]: new Label("drifting realtime"),
		[CLOCK_TAI]: new Label("drifting tai"),
		[CLOCK_REALTIME_COARSE]: new Label("drifting coarse"),
	},
	kernelVsyscall: new Label("kernel vsyscall"),
});
