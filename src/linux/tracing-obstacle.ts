/** Why ptrace(2) is refused, in words, and what to change. */
import { readStatusField, readText } from "./proc-file.ts";
import { seize } from "./ptrace.ts";

/** No process has this id (pid_max is at most 2^22), so whoever may trace at all gets ESRCH. */
const NOBODY = 0x7fff_fff0;
const ESRCH = 3;
const ENOSYS = 38;

/** kernel.yama.ptrace_scope; undefined on kernels without Yama. */
export const yamaScope = (): number | undefined => {
	const scope = readText("/proc/sys/kernel/yama/ptrace_scope").trim();
	return scope === "" ? undefined : Number(scope);
};

/** @param pid the process that is not traced, or the one that asks */
export const tracingObstacle = (pid: number, errno: number): string => {
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
