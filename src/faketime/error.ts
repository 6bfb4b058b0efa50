import { VsyscallError } from "../errors.ts";

/** An error to throw: something of faketime's that cannot be read or is not served. */
export const faketimeError = (message: string, options?: ErrorOptions): VsyscallError =>
	new VsyscallError("ERR_VSYSCALL_FAKETIME", message, options);
