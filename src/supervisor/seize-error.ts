/** Says why a process cannot be traced, and what to change. */
import { readFileSync } from "node:fs";
import { VsyscallError } from "../errors.ts";
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { errnoName } from "../linux/syscall-error.ts";

const SIGKILL = 9;

const statusField = (pid: number | "self", name: string): string | undefined => {
	try {
		return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
	} catch {
		return undefined;
	}
};

const reasonFor = (pid: number): string => {
	const tracer = Number(statusField(pid, "TracerPid") ?? 0);
	if (tracer > 0) {
		const name = statusField(tracer, "Name") ?? "a program";
		return `the program is traced already, by ${name} (pid ${tracer}): a process has one tracer, so run vsyscall outside of it`;
	}
	const seccomp = Number(statusField("self", "Seccomp") ?? 0);
	if (seccomp > 0) {
		return "a seccomp filter forbids ptrace(2): in a container, allow it (docker run --cap-add=SYS_PTRACE, or a profile that allows ptrace)";
	}
	return "ptrace(2) is forbidden: look at kernel.yama.ptrace_scope (3 forbids all tracing) and at the security module of this host";
};

/** @param pid the child, which waits; it is ended here */
export const seizeError = (pid: number, errno: number): VsyscallError => {
	const reason = reasonFor(pid);
	syscallResult(linux.SYS_kill, pid, SIGKILL);
	return new VsyscallError("ERR_VSYSCALL_PTRACE", `cannot trace the program (${errnoName(errno)}): ${reason}`);
};
