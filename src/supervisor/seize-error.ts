/** Says why a process cannot be traced, and what to change. */
import { VsyscallError } from "../errors.ts";
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { errnoName } from "../linux/syscall-error.ts";
import { tracingObstacle } from "../linux/tracing-obstacle.ts";

/** @param pid the child, which waits; it is ended here */
export const seizeError = (pid: number, errno: number): VsyscallError => {
	const reason = tracingObstacle(pid, errno);
	syscallResult(linux.SYS_kill, pid, linux.SIGKILL);
	return new VsyscallError("ERR_VSYSCALL_PTRACE", `cannot trace the program (${errnoName(errno)}): ${reason}`);
};
