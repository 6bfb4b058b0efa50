/** Says why a process cannot be traced, and what to change. */
import { readFileSync } from "node:fs";
import { VsyscallError } from "../errors.ts";
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { readStatusField } from "../linux/proc-file.ts";
import { seize } from "../linux/ptrace.ts";
import { errnoName } from "../linux/syscall-error.ts";

/** No process has this id (pid_max is at most 2^22), so whoever may trace at all gets ESRCH. */
const NOBODY = 0x7fff_fff0;
const ESRCH = 3;
const ENOSYS = 38;

const yamaScope = (): number => {
	try {
		return Number(readFileSync("/proc/sys/kernel/yama/ptrace_scope", "latin1"));
	} catch {
		return 0;
	}
};

const reasonFor = (pid: number, errno: number): string => {
	const tracer = Number(readStatusField(pid, "TracerPid") ?? 0);
	if (tracer > 0) {
		const name = readStatusField(tracer, "Name") ?? "a program";
		return `the program is traced already, by ${name} (pid ${tracer}): a process has one tracer, so run vsyscall outside of it`;
	}
	if (errno === ENOSYS) {
		return "this vsyscall is itself in a run that has let go of it to another tracer (gdb): start it outside of that tracer";
	}
	if (seize(NOBODY, 0) !== -ESRCH) {
		return "a seccomp filter forbids ptrace(2): in a container, allow it (docker run --cap-add=SYS_PTRACE, or a profile that allows ptrace)";
	}
	if (yamaScope() === 3) return "kernel.yama.ptrace_scope is 3, which forbids all tracing until the next boot";
	return "ptrace(2) is forbidden: look at the security module of this host";
};

/** @param pid the child, which waits; it is ended here */
export const seizeError = (pid: number, errno: number): VsyscallError => {
	const reason = reasonFor(pid, errno);
	syscallResult(linux.SYS_kill, pid, linux.SIGKILL);
	return new VsyscallError("ERR_VSYSCALL_PTRACE", `cannot trace the program (${errnoName(errno)}): ${reason}`);
};
