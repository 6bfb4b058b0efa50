/**
 * How CLOCK_REALTIME, CLOCK_MONOTONIC and gettimeofday (relaxed: CLOCK_TAI and CLOCK_BOOTTIME as well) read the host's clock.
 *
 * - exact: as the kernel's own vDSO does.
 * - relaxed: the counter is read without waiting for the instructions in front. A time is right for some moment between the end of
 *   the call and a few hundred instructions before it, so it may be older than what another thread has just written. On one thread no
 *   time is before an earlier one, as long as the processor reads the counter in the order of the program, which those known do.
 * - coarse: to the kernel's tick, 1 to 10 ms.
 */
import { VsyscallError } from "../errors.ts";

export const READS = ["exact", "relaxed", "coarse"] as const;
export type Reads = (typeof READS)[number];

/** @throws {VsyscallError} ERR_VSYSCALL_READS when the name is unknown. */
export const parseReads = (name: string): Reads => {
	const reads = READS.find((known) => known === name);
	if (reads !== undefined) return reads;
	throw new VsyscallError(
		"ERR_VSYSCALL_READS",
		`unknown way to read clocks "${name}": give exact (the default), relaxed or coarse`,
	);
};
