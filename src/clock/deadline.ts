/**
 * The inverse of the clock: when, on the host's CLOCK_REALTIME, a virtual time is reached.
 *
 *     host    ticks 1:1      the same moment
 *     offset  ticks 1:1      that moment less the offset, exactly
 *     drift   ticks k:2^40   the moment whose elapsed time e is the first with e * k >= (deadline - at) * 2^40, k = 2^40 + rate
 *     frozen  stands         what is not in the future is now; what is in the future never comes
 *     step    stands         the same: nobody reads while it is waited for, as far as a wait can know
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";
import type { WallClock } from "./clock.ts";
import { RATE_SHIFT } from "./drift.ts";

/** "past": at any moment of the host it has been reached already. */
export type HostDeadline =
	| { readonly kind: "at"; readonly realtime: Nanoseconds }
	| { readonly kind: "past" }
	| { readonly kind: "never" };

/** The quotient rounded towards plus infinity; the divisor is positive. */
const divideUp = (dividend: bigint, divisor: bigint): bigint => {
	const quotient = dividend / divisor;
	return dividend > 0n && quotient * divisor !== dividend ? quotient + 1n : quotient;
};

/** The first moment of the host at which the clock shows `deadline` or later. */
export const hostDeadline = (clock: WallClock, deadline: Nanoseconds): HostDeadline => {
	switch (clock.kind) {
		case "host":
			return { kind: "at", realtime: deadline };
		case "offset":
			return { kind: "at", realtime: nanoseconds(deadline - clock.offset) };
		case "drift": {
			const scale = 1n << RATE_SHIFT;
			const elapsed = divideUp((deadline - clock.at) * scale, scale + clock.rate);
			return { kind: "at", realtime: nanoseconds(clock.hostAnchor + elapsed) };
		}
		case "frozen":
		case "step":
			return clock.at < deadline ? { kind: "never" } : { kind: "past" };
	}
};
