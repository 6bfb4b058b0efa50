/**
 * A timer that the program has armed with an absolute time of the wall clock: what it meant, and what the host was given for it.
 *
 * A program can arm it anew with a length of time, or disarm it, without a stop. So before it is armed anew here, what it has
 * left must agree with what is remembered.
 */
import { type WallClock, wallTime } from "../../clock/clock.ts";
import { NEVER } from "../../syscalls/time-structures.ts";
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND } from "../../units.ts";

export interface ArmedTimer {
	/** CLOCK_REALTIME or CLOCK_TAI. */
	readonly clock: number;
	/** What the program asked for. */
	readonly deadline: Nanoseconds;
	/** The host's time for it: NEVER for what never comes. */
	readonly hostTime: Nanoseconds;
	/** What the host was given for that: 32-bit times end in 2038. */
	readonly given: Nanoseconds;
	readonly interval: Nanoseconds;
	/** Of timerfd_settime. */
	readonly flags: number;
	/** The clock has been set since: the next read fails with ECANCELED (TFD_TIMER_CANCEL_ON_SET). */
	readonly isCancelled?: boolean;
}

/** What a timer says of itself. */
export interface TimerState {
	/** Until the next expiration; 0 when there is none. */
	readonly left: Nanoseconds;
	readonly interval: Nanoseconds;
}

/** What a timer says is rounded, and, on kernels with a coarse clock, by a tick. */
const TOLERANCE = nanoseconds(NANOSECONDS_PER_SECOND / 100n);

/** The host's time before and after the timer was asked: the supervisor may have been kept waiting in between. */
export interface Asked {
	readonly from: Nanoseconds;
	readonly to: Nanoseconds;
}

/** Whether a timer is still as it was armed, and has something to wait for. */
export const isAsArmed = (armed: ArmedTimer, { left, interval }: TimerState, { from, to }: Asked): boolean => {
	if (left === 0n || interval !== armed.interval) return false;
	// A periodic timer has gone on from there.
	if (armed.given < to && interval > 0n) return left <= interval;
	// The kernel's own never is some time behind ours.
	const isNotLater = armed.given === NEVER || left <= armed.given - from + TOLERANCE;
	return isNotLater && left >= armed.given - to - TOLERANCE;
};

/**
 * What the program waits for now: the deadline, or the next expiration of a periodic timer that has gone on since.
 *
 * @param before the clock under which it was going on
 */
export const nextExpiration = (
	armed: ArmedTimer,
	{ left }: TimerState,
	{ before, hostNow }: { readonly before: WallClock; readonly hostNow: Nanoseconds },
): Nanoseconds =>
	armed.hostTime === NEVER || armed.hostTime >= hostNow || armed.interval === 0n
		? armed.deadline
		: nanoseconds(wallTime(before, nanoseconds(hostNow + left)));
