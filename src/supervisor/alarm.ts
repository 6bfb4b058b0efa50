/** A moment to wait for, however far away: setTimeout takes 31 bits of milliseconds, and may be early by a part of one. */
import { hostMonotonic } from "../linux/host-vdso.ts";
import type { Nanoseconds } from "../units.ts";

const MILLISECOND = 1_000_000n;
const LONGEST_TIMEOUT_MS = 0x7fff_ffff;

/** Calls `action` once, when so much of CLOCK_MONOTONIC has passed. @returns a function that calls it off */
export const afterDelay = (delay: Nanoseconds, action: () => void): (() => void) => {
	const due = hostMonotonic() + delay;
	let timer: NodeJS.Timeout | undefined;
	const look = (): void => {
		const left = due - hostMonotonic();
		if (left <= 0n) return action();
		timer = setTimeout(look, Math.min(Number(left / MILLISECOND) + 1, LONGEST_TIMEOUT_MS));
	};
	timer = setTimeout(look, 0);
	return () => clearTimeout(timer);
};
