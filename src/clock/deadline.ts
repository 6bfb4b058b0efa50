/**
 * The inverse of the clock: when, on the host's CLOCK_REALTIME, a virtual time is reached.
 *
 *     host    ticks 1:1      the same moment
 *     offset  ticks 1:1      that moment less the offset, exactly
 *     frozen  stands         what is not in the future is now; what is in the future never comes
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";
import type { WallClock } from "./clock.ts";

/** "past": at any moment of the host it has been reached already. */
export type HostDeadline =
	| { readonly kind: "at"; readonly realtime: Nanoseconds }
	| { readonly kind: "past" }
	| { readonly kind: "never" };

/** The first moment of the host at which the clock shows `deadline` or later. */
export const hostDeadline = (clock: WallClock, deadline: Nanoseconds): HostDeadline => {
	if (clock.kind === "host") return { kind: "at", realtime: deadline };
	if (clock.kind === "frozen") return clock.at < deadline ? { kind: "never" } : { kind: "past" };
	return { kind: "at", realtime: nanoseconds(deadline - clock.offset) };
};

/** The clock after it has been set to `wall` at a moment of the host. A clock that stands goes on standing, there. */
export const setClock = (clock: WallClock, wall: Nanoseconds, realtime: Nanoseconds): WallClock =>
	clock.kind === "frozen" ? { kind: "frozen", at: wall } : { kind: "offset", offset: nanoseconds(wall - realtime) };
