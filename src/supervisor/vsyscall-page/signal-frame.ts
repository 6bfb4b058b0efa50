/**
 * The frame of a signal handler, corrected before the handler's first instruction.
 *
 * A tracer can set siginfo and registers before a signal is delivered, but trapno, err and cr2 in the frame come from the last
 * fault of the thread (thread_struct), which is another one here. So the thread is stopped once more in front of the handler.
 */
import { setU64 } from "../../bytes.ts";
import { SIGSEGV } from "../../linux/constants.ts";
import { interrupt } from "../../linux/ptrace.ts";
import type { Registers } from "../../linux/registers.ts";
import { writeMemory } from "../../linux/remote-memory.ts";

export interface FaultFrame {
	/** The exception: SDM vol. 3A, 6.3.1. */
	readonly trapno: number;
	readonly error: number;
	readonly cr2: bigint;
}

const PAGE_FAULT = 14;
/** Bits of a page fault's error code: SDM vol. 3A, 4.7. */
const FETCH_ERROR = 0x15;
const WRITE_ERROR = 6;

/** An instruction fetch where nothing is mapped. */
export const fetchFault = (address: bigint): FaultFrame => ({ trapno: PAGE_FAULT, error: FETCH_ERROR, cr2: address });

/** A store where nothing is mapped. */
export const storeFault = (address: bigint): FaultFrame => ({ trapno: PAGE_FAULT, error: WRITE_ERROR, cr2: address });

/** Offsets in struct ucontext: arch/x86/include/uapi/asm/{ucontext,sigcontext}.h. */
const UCONTEXT = { err: 40 + 19 * 8, trapno: 40 + 20 * 8, cr2: 40 + 22 * 8 } as const;

const write = (tid: number, address: bigint, value: bigint): void => {
	const bytes = new Uint8Array(8);
	setU64(bytes, 0, BigInt.asUintN(64, value));
	writeMemory(tid, address, bytes);
};

/** @param registers those of the thread; it is at a handler of SIGSEGV when its arguments are (SIGSEGV, siginfo, ucontext) */
const writeFaultFrame = (tid: number, registers: Registers, { trapno, error, cr2 }: FaultFrame): void => {
	const ucontext = registers.get("rdx");
	if (registers.get("rdi") !== BigInt(SIGSEGV) || ucontext < registers.get("rsp")) return;
	write(tid, ucontext + BigInt(UCONTEXT.err), BigInt(error));
	write(tid, ucontext + BigInt(UCONTEXT.trapno), BigInt(trapno));
	write(tid, ucontext + BigInt(UCONTEXT.cr2), cr2);
};

/** The threads that are stopped once more in front of a handler. */
export class HandlerFrames {
	readonly #frames = new Map<number, FaultFrame>();

	/** A signal is about to be delivered whose frame is to say this. */
	expect(tid: number, frame: FaultFrame): void {
		this.#frames.set(tid, frame);
		interrupt(tid);
	}

	isExpected(tid: number): boolean {
		return this.#frames.has(tid);
	}

	/** The thread is at its handler. */
	correct(tid: number, registers: Registers): void {
		const frame = this.#frames.get(tid);
		this.#frames.delete(tid);
		if (frame !== undefined) writeFaultFrame(tid, registers, frame);
	}

	forget(tid: number): void {
		this.#frames.delete(tid);
	}
}
