/**
 * What `wait4(2)` reports of a tracee, in the terms of ptrace(2), "Stopped states".
 *
 *     31      24 23      16 15       8 7        0
 *     |    0    |  event   |  signal  |  0x7f   |   stopped
 *     |    0    |    0     | exitCode |    0    |   exited
 *     |    0    |    0     |    0     | C sssssss   killed by s, C: core dumped
 */
import { PTRACE_EVENT_STOP } from "./constants.ts";

export type Stop =
	| { readonly kind: "exited"; readonly exitCode: number }
	| { readonly kind: "killed"; readonly signal: number; readonly coreDumped: boolean }
	| { readonly kind: "syscall-stop" }
	| { readonly kind: "event-stop"; readonly event: number }
	| { readonly kind: "group-stop"; readonly signal: number }
	| { readonly kind: "signal-delivery-stop"; readonly signal: number };

const SIGTRAP = 5;
/** Set by PTRACE_O_TRACESYSGOOD, so that a syscall-stop is not taken for a real SIGTRAP. */
const SYSCALL_STOP = SIGTRAP | 0x80;

/** Decodes one status word. Total: every 32-bit word has an answer. */
export const decodeWaitStatus = (status: number): Stop => {
	const low = status & 0xff;
	const signal = (status >>> 8) & 0xff;
	const event = status >>> 16;
	if (low !== 0x7f) {
		const killer = low & 0x7f;
		if (killer === 0) return { kind: "exited", exitCode: signal };
		return { kind: "killed", signal: killer, coreDumped: (low & 0x80) !== 0 };
	}
	if (signal === SYSCALL_STOP) return { kind: "syscall-stop" };
	// The signal is SIGTRAP in the first stop of a new task and in the answer to PTRACE_INTERRUPT.
	if (event === PTRACE_EVENT_STOP && signal !== SIGTRAP) return { kind: "group-stop", signal };
	if (event !== 0) return { kind: "event-stop", event };
	return { kind: "signal-delivery-stop", signal };
};
