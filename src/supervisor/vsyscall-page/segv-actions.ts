/**
 * What processes have set for SIGSEGV, so that a fault which never was one for the program leaves no trace.
 *
 * The kernel forces the SIGSEGV of a fault (force_sig_info_to_task, kernel/signal.c, v6.18): a signal that is blocked or ignored
 * is unblocked and set to SIG_DFL before a tracer sees it. When the supervisor takes such a signal back, it must put that right.
 * What was set is known from the calls of rt_sigaction(SIGSEGV), which the seccomp filter shows us. What was blocked is nowhere to
 * be read any more: a handler that is lost was blocked; without a handler the mask tells (everything else blocked: sigfillset).
 */
import * as linux from "../../linux/constants.ts";
import { readSignalMask, writeSignalMask } from "../../linux/ptrace.ts";
import { readStatusField } from "../../linux/proc-file.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { ByteReader } from "../../bytes.ts";
import type { RemoteScript } from "../remote-call.ts";

/** struct kernel_sigaction: handler, flags, restorer, mask. */
const ACTION_SIZE = 32;
const SIGSET_SIZE = 8n;
const SIG_DFL = 0n;
const SIG_IGN = 1n;
const SA_RESETHAND = 0x8000_0000n;

const SEGV = 1n << BigInt(linux.SIGSEGV - 1);
/** Signals that a full mask has: all but SIGKILL and SIGSTOP, and but the two that the C library keeps to itself. */
const FULL_MASK = 0xffff_ffff_ffff_ffffn & ~(1n << 8n) & ~(1n << 18n) & ~(3n << 31n);

const handlerOf = (action: Uint8Array): bigint => new ByteReader(action).u64(0);
const flagsOf = (action: Uint8Array): bigint => new ByteReader(action).u64(8);

const signalSet = (tid: number, field: "SigIgn" | "SigCgt"): bigint =>
	BigInt(`0x${readStatusField(tid, field) ?? "0"}`);

export class SegvActions {
	/** By process; a process that is missing has SIG_DFL. */
	readonly #actions = new Map<number, Uint8Array>();

	/** A process calls rt_sigaction(SIGSEGV). */
	remember(process: number, tid: number, address: bigint): void {
		const action = new Uint8Array(ACTION_SIZE);
		if (readMemory(tid, address, action) === ACTION_SIZE) this.#actions.set(process, action);
	}

	has(process: number): boolean {
		return this.#actions.has(process);
	}

	/** The child may have run already, and set its own. */
	forked(parent: number, child: number): void {
		const action = this.#actions.get(parent);
		if (action !== undefined && !this.#actions.has(child)) this.#actions.set(child, action);
	}

	/** execve(2): what is caught becomes SIG_DFL, what is ignored stays so. */
	exec(process: number): void {
		const action = this.#actions.get(process);
		if (action !== undefined && handlerOf(action) !== SIG_IGN) this.#actions.delete(process);
	}

	ended(process: number): void {
		this.#actions.delete(process);
	}

	/** SIGSEGV is delivered. */
	delivered(process: number): void {
		const action = this.#actions.get(process);
		if (action !== undefined && (flagsOf(action) & SA_RESETHAND) !== 0n) this.#actions.delete(process);
	}

	/**
	 * Blocks SIGSEGV again where the kernel has unblocked it.
	 *
	 * @returns the action that has to be set again, if it was lost
	 */
	repairMask(process: number, tid: number): Uint8Array | undefined {
		const action = this.#actions.get(process);
		const handler = action === undefined ? SIG_DFL : handlerOf(action);
		const isLost = handler !== SIG_DFL && (signalSet(tid, handler === SIG_IGN ? "SigIgn" : "SigCgt") & SEGV) === 0n;
		const mask = new BigUint64Array(1);
		if (!readSignalMask(tid, mask)) return undefined;
		const [blocked = 0n] = mask;
		const isElseFull = ((blocked | SEGV) & FULL_MASK) === FULL_MASK;
		if ((isLost && handler !== SIG_IGN) || isElseFull) writeSignalMask(tid, new BigUint64Array([blocked | SEGV]));
		return isLost ? action : undefined;
	}
}

/** Sets an action again. @param scratch writable memory that nobody uses */
export function* setAction(tid: number, action: Uint8Array, scratch: bigint): RemoteScript<void> {
	if (writeMemory(tid, scratch, action) !== action.length) return;
	yield { name: "rt_sigaction", args: [BigInt(linux.SIGSEGV), scratch, 0n, SIGSET_SIZE] };
}
