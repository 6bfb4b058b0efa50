/**
 * The timeouts of a ring that wait on CLOCK_REALTIME, by their user_data: an update names its timeout so, and means the clock of that.
 *
 * Nobody sees them end, but when their time is over on the host they have. A later one takes the place of an earlier one.
 */
import type { TimeoutRequest } from "../../syscalls/io-uring.ts";
import type { Nanoseconds } from "../../units.ts";

export interface WallTimeout {
	readonly process: number;
	/** What the program waits for; undefined for a length of time. */
	readonly deadline: Nanoseconds | undefined;
	/** The host's time at which it ends. */
	readonly until: Nanoseconds;
}

const KEPT_AT_LEAST = 1024;

const keyOf = ({ isLinked, userData }: TimeoutRequest): string => `${isLinked ? "linked" : "alone"} ${userData}`;

export class WallTimeouts {
	readonly #timeouts = new Map<string, WallTimeout>();
	#most = KEPT_AT_LEAST;

	has(request: TimeoutRequest): boolean {
		return this.#timeouts.has(keyOf(request));
	}

	set(request: TimeoutRequest, timeout: WallTimeout, hostNow: Nanoseconds): void {
		this.#timeouts.set(keyOf(request), timeout);
		if (this.#timeouts.size <= this.#most) return;
		for (const [key, { until }] of this.#timeouts) if (until < hostNow) this.#timeouts.delete(key);
		this.#most = Math.max(KEPT_AT_LEAST, 2 * this.#timeouts.size);
	}

	/** Another timeout has the name now, on another clock. */
	delete(request: TimeoutRequest): void {
		this.#timeouts.delete(keyOf(request));
	}

	/** The processes of those that may still be waited for and would end at another time of the host if they began now. */
	*stale(hostNow: Nanoseconds, hostTime: (deadline: Nanoseconds) => Nanoseconds): Generator<number> {
		for (const { process, deadline, until } of this.#timeouts.values()) {
			if (deadline !== undefined && until > hostNow && hostTime(deadline) !== until) yield process;
		}
	}
}
