/**
 * Calls of the vsyscall page that are refused (`none`) on a host that serves them: the fault of a host without the page.
 *
 * At the seccomp stop only "skip" and rax may be set. So the call is skipped, the task is stopped again before it runs on, and sent
 * to an address that is never mapped; the fault there is of the same kind, and becomes the one in the page.
 */
import { ByteReader } from "../../bytes.ts";
import { SEGV_MAPERR, SIGSEGV } from "../../linux/constants.ts";
import { interrupt, resume } from "../../linux/ptrace.ts";
import { readMemory } from "../../linux/remote-memory.ts";
import { VSYSCALL_ADDR, VSYSCALL_START, type VsyscallNumber } from "../../vsyscall/page.ts";
import type { PageStop } from "./page-stop.ts";
import { fetchFault } from "./signal-frame.ts";

interface RefusedCall {
	readonly entry: bigint;
	/** Registers at the call. */
	readonly rsp: bigint;
	readonly rax: bigint;
	/** It has been sent to where nothing is mapped: the next fault is the call's. */
	isFaulting: boolean;
}

/** Never mapped, and a fault of the same kind as one in the page. */
const NOWHERE = VSYSCALL_START + 0x1000n;
const CALL_THROUGH_RAX = 0xd0ff;

export class RefusedCalls {
	readonly #calls = new Map<number, RefusedCall>();

	isUnderWay(tid: number): boolean {
		return this.#calls.has(tid);
	}

	forget(tid: number): void {
		this.#calls.delete(tid);
	}

	/** At a seccomp stop. Resumes the task. @param returnAddress undefined where the memory is closed to us */
	refuse(stop: PageStop, number: VsyscallNumber, returnAddress: bigint | undefined): void {
		const { tid, registers } = stop;
		const entry = VSYSCALL_ADDR(number);
		const code = new Uint8Array(2);
		const isThroughRax =
			returnAddress !== undefined &&
			readMemory(tid, returnAddress - 2n, code) === 2 &&
			new ByteReader(code).u16(0) === CALL_THROUGH_RAX;
		// The host has overwritten rax. What most call sites had in it is known.
		const rax = isThroughRax ? entry : registers.get("rax");
		this.#calls.set(tid, { entry, rsp: registers.get("rsp"), rax, isFaulting: false });
		registers.set("orig_rax", -1n);
		registers.set("rax", rax);
		stop.writeRegisters();
		interrupt(tid);
		resume(tid, 0);
	}

	/** Before a task runs on from the stop behind the skipped call. */
	beforeResume(stop: PageStop): void {
		const call = this.#calls.get(stop.tid);
		if (call === undefined || call.isFaulting) return;
		stop.registers.set("rsp", call.rsp);
		stop.registers.set("rip", NOWHERE);
		stop.writeRegisters();
		call.isFaulting = true;
	}

	/** The next signal of a task whose call is being refused: it is delivered. */
	signal(stop: PageStop, signal: number): void {
		const call = this.#calls.get(stop.tid);
		this.#calls.delete(stop.tid);
		if (call === undefined) return;
		const { entry, rax, rsp } = call;
		// A SIGSEGV that somebody has sent can come first, too.
		const isFault = call.isFaulting && signal === SIGSEGV && stop.info.isFromKernel;
		// Where another signal comes first, the call is made again when its handler returns.
		stop.registers.set("rip", entry);
		stop.registers.set("rax", rax);
		if (!isFault) stop.registers.set("rsp", rsp);
		stop.writeRegisters();
		if (isFault) stop.deliver(SEGV_MAPERR, entry, fetchFault(entry));
	}
}
