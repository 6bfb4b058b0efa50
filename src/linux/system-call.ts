/** How a stopped task has entered the kernel. */
import type { Architecture } from "../syscalls/time-calls.ts";
import { type Registers, USER32_CS } from "./registers.ts";
import { readMemory } from "./remote-memory.ts";

/** `syscall`, `int 0x80`, and what stands in front of the place where every fast call of a 32-bit task returns to. */
export const CALL_INSTRUCTION_LENGTH = 2n;
const INT_80 = [0xcd, 0x80];

/**
 * Whose numbers and registers a call means that a task is in, or was interrupted in. A 64-bit task can issue int 0x80; a 32-bit one
 * always returns behind such an instruction (landing pad, arch/x86/entry/vdso/vdso32/system_call.S, v6.18).
 */
export const callArchitecture = (tid: number, registers: Registers): Architecture => {
	if (registers.get("cs") === USER32_CS) return "i386";
	const instruction = new Uint8Array(INT_80.length);
	readMemory(tid, registers.get("rip") - CALL_INSTRUCTION_LENGTH, instruction);
	return INT_80.every((byte, index) => instruction[index] === byte) ? "i386" : "x86-64";
};

/** What __kernel_vsyscall has behind its system call: pop ebp, edx and ecx, and return; or return alone (Linux 7.0, SYSFAST32 off). */
const ENDS = [
	{ code: [0x5d, 0x5a, 0x59, 0xc3], returnAddress: 12n },
	{ code: [0xc3], returnAddress: 0n },
] as const;

/**
 * The code that makes a system call. That is the instruction's own place, but for a 32-bit task whose call has gone through
 * __kernel_vsyscall, which serves the whole process: then it is where that returns to.
 */
export const callerAddress = (tid: number, registers: Registers): bigint => {
	const rip = registers.get("rip");
	if (registers.get("cs") !== USER32_CS) return rip;
	const code = new Uint8Array(4);
	readMemory(tid, rip, code);
	const end = ENDS.find((candidate) => candidate.code.every((byte, index) => code[index] === byte));
	const word = new Uint32Array(1);
	if (end === undefined) return rip;
	const isRead = readMemory(tid, registers.get("rsp") + end.returnAddress, new Uint8Array(word.buffer)) === 4;
	return isRead ? BigInt(word[0] ?? 0) : rip;
};
