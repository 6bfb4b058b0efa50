/**
 * The frame of a signal handler, corrected before the handler's first instruction.
 *
 * A tracer can set siginfo and registers before a signal is delivered, but trapno, err and cr2 in the frame come from the last
 * fault of the thread (thread_struct), which is another one here. So the thread is stopped once more in front of the handler.
 */
import { setU64 } from "../bytes.ts";
import { SIGSEGV } from "../linux/constants.ts";
import type { Registers } from "../linux/registers.ts";
import { writeMemory } from "../linux/remote-memory.ts";

export interface FaultFrame {
	/** The exception: SDM vol. 3A, 6.3.1. */
	readonly trapno: number;
	readonly error: number;
	readonly cr2: bigint;
}

/** Offsets in struct ucontext: arch/x86/include/uapi/asm/{ucontext,sigcontext}.h. */
const UCONTEXT = { err: 40 + 19 * 8, trapno: 40 + 20 * 8, cr2: 40 + 22 * 8 } as const;

const write = (tid: number, address: bigint, value: bigint): void => {
	const bytes = new Uint8Array(8);
	setU64(bytes, 0, BigInt.asUintN(64, value));
	writeMemory(tid, address, bytes);
};

/** @param registers those of the thread; it is at a handler of SIGSEGV when its arguments are (SIGSEGV, siginfo, ucontext) */
export const writeFaultFrame = (tid: number, registers: Registers, { trapno, error, cr2 }: FaultFrame): void => {
	const ucontext = registers.get("rdx");
	if (registers.get("rdi") !== BigInt(SIGSEGV) || ucontext < registers.get("rsp")) return;
	write(tid, ucontext + BigInt(UCONTEXT.err), BigInt(error));
	write(tid, ucontext + BigInt(UCONTEXT.trapno), BigInt(trapno));
	write(tid, ucontext + BigInt(UCONTEXT.cr2), cr2);
};
