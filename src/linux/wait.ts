/** wait4(2) for any child or tracee, without blocking. */
import { WALL, WNOHANG, SYS_wait4 } from "./constants.ts";
import { syscallResult } from "./ffi.ts";
import { SyscallError } from "./syscall-error.ts";

const ECHILD = 10;
const status = new Int32Array(1);

/** `status` is valid until the next call. */
export type WaitResult =
	| { readonly kind: "changed"; readonly tid: number; readonly status: number }
	| { readonly kind: "nothing" }
	| { readonly kind: "no-children" };

const NOTHING: WaitResult = { kind: "nothing" };
const NO_CHILDREN: WaitResult = { kind: "no-children" };

export const waitForAny = (): WaitResult => {
	const tid = syscallResult(SYS_wait4, -1, status, WALL | WNOHANG, 0);
	if (tid > 0) return { kind: "changed", tid, status: status[0] ?? 0 };
	if (tid === 0) return NOTHING;
	if (tid === -ECHILD) return NO_CHILDREN;
	throw new SyscallError("wait4", -tid);
};
