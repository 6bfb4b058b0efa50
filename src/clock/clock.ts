/**
 * The virtual wall clock: a pure function from the host's CLOCK_REALTIME to the time that a program sees.
 *
 * A spec becomes a clock once per run, at the anchor. From then on the clock is a constant: every process of the run
 * sees the same time whenever it starts, and an offset by the calendar (`+1mo`) has one length for the whole run.
 *
 *     const clock = anchorClock(parseClockSpec("+1mo"), { realtime, zone: "Europe/Paris" });
 *     const virtual = wallTime(clock, realtimeLater);
 *
 * Only wall clocks (REALTIME, REALTIME_COARSE, TAI) are derived from it; the other clocks stay the host's.
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { isInRange } from "./civil.ts";
import { ClockSpecError, quoted } from "./clock-spec-error.ts";
import { addDuration } from "./duration.ts";
import type { ClockTime } from "./instant.ts";
import { type ClockBase, type ClockSpec, formatClockSpec } from "./spec.ts";
import { instantOfLocal, openZone } from "./zone.ts";

export type WallClock =
	| { readonly kind: "host" }
	/** Ticks with the host, `offset` ahead of it. */
	| { readonly kind: "offset"; readonly offset: Nanoseconds }
	/** Stands. */
	| { readonly kind: "frozen"; readonly at: Nanoseconds };

/** What a clock is anchored to. */
export type ClockAnchor = {
	/** The host's CLOCK_REALTIME. */
	readonly realtime: Nanoseconds;
	/** The IANA name of the local zone: that of times without a zone. Read only for such a time, so it may be a getter. */
	readonly zone: string;
};

type Fault = { readonly fault: string };

const resolveTime = (time: ClockTime, anchor: ClockAnchor): Nanoseconds | Fault => {
	if (time.kind === "instant") return time.at;
	const zone = openZone(anchor.zone);
	if (zone === undefined) return { fault: `the local time zone ${quoted(anchor.zone)} is unknown` };
	return instantOfLocal(zone, time.dateTime);
};

const resolveBase = (base: ClockBase, anchor: ClockAnchor): Nanoseconds | Fault => {
	if (base.kind === "now") return anchor.realtime;
	return base.kind === "offset" ? addDuration(anchor.realtime, base.duration) : resolveTime(base.time, anchor);
};

/**
 * Makes the clock of a spec at the moment `anchor.realtime`.
 *
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when the clock would be outside the years -9999 to 9999 at the
 * anchor, or when the spec needs the local zone and it is unknown. The error's input is the formatted spec.
 */
export const anchorClock = (spec: ClockSpec, anchor: ClockAnchor): WallClock => {
	if (spec.kind === "host") return { kind: "host" };
	const at = resolveBase(spec.base, anchor);
	const error = (reason: string, example: string): ClockSpecError =>
		new ClockSpecError({ input: formatClockSpec(spec), position: 0, reason, example });
	if (typeof at !== "bigint") throw error(at.fault, "2038-01-19T03:14:07Z");
	if (!isInRange(at)) throw error("the clock would be outside the years -9999 to 9999", "+30d");
	return spec.isFrozen ? { kind: "frozen", at } : { kind: "offset", offset: nanoseconds(at - anchor.realtime) };
};

/** The virtual wall time at a moment of the host's CLOCK_REALTIME. */
export const wallTime = (clock: WallClock, realtime: Nanoseconds): Nanoseconds => {
	if (clock.kind === "host") return realtime;
	return clock.kind === "offset" ? nanoseconds(realtime + clock.offset) : clock.at;
};
