/**
 * A seccomp stop that a filter of the program's own has asked for: SECCOMP_RET_TRACE. Without a tracer the kernel leaves the call out
 * with ENOSYS (seccomp(2)), and that is what the program is to see: a tracer that let it go on would have it made.
 */
import { readRegisters, resume, writeRegisters } from "../linux/ptrace.ts";
import { Registers } from "../linux/registers.ts";

const ENOSYS = 38n;

/** Resumes the task, its call left out. */
export const leaveOutCall = (tid: number): void => {
	const registers = new Registers();
	if (!readRegisters(tid, registers)) return;
	registers.set("orig_rax", -1n);
	registers.set("rax", -ENOSYS);
	writeRegisters(tid, registers);
	resume(tid, 0);
};
