/**
 * The virtual wall clock: a pure function from the host's CLOCK_REALTIME to the time that a program sees.
 *
 * A spec becomes a clock once per run, at the anchor. From then on the clock is a constant: every process of the run
 * sees the same time whenever it starts, and an offset by the calendar (`+1mo`) has one length for the whole run.
 *
 *     const clock = anchorClock(parseClockSpec("+1mo"), { realtime, zone: "Europe/Paris" });
 *     const virtual = wallTime(clock, realtimeLater);
 *
 * Only wall clocks (REALTIME, REALTIME_COARSE, TAI) are derived from it; the other clocks stay the host's. steering.ts makes
 * other clocks out of one while it runs.
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { isInRange } from "./civil.ts";
import { ClockSpecError, quoted } from "./clock-spec-error.ts";
import { driftGain, driftRate } from "./drift.ts";
import { addDuration } from "./duration.ts";
import type { ClockTime } from "./instant.ts";
import type { ClockMotion } from "./motion.ts";
import { type ClockBase, type ClockSpec, formatClockSpec } from "./spec.ts";
import { instantOfLocal, openZone } from "./zone.ts";

export type WallClock =
	| { readonly kind: "host" }
	/** Ticks with the host, `offset` ahead of it. */
	| { readonly kind: "offset"; readonly offset: Nanoseconds }
	/** Stands. */
	| { readonly kind: "frozen"; readonly at: Nanoseconds }
	/**
	 * Shows `at` when the host shows `hostAnchor`, and gains on it by `rate` / 2^40, rounded towards minus infinity: with the
	 * elapsed time e = host - hostAnchor it is at + e + ((e * rate) >> 40). |rate| < 2^40, so it never goes back with the host
	 * going on.
	 */
	| { readonly kind: "drift"; readonly hostAnchor: Nanoseconds; readonly at: Nanoseconds; readonly rate: bigint }
	/** The n-th read, counted from 0, gets at + n * by. Who answers the reads counts them; by 0 he knows the clock, too. */
	| { readonly kind: "step"; readonly at: Nanoseconds; readonly by: Nanoseconds };

/** What a clock is anchored to. */
export type ClockAnchor = {
	/** The host's CLOCK_REALTIME: at the start of a run, or at the moment when a followed file was seen to change. */
	readonly realtime: Nanoseconds;
	/** The IANA name of the local zone: that of times without a zone. Read only for such a time, so it may be a getter. */
	readonly zone: string;
	/** The time of last modification of the file that the spec follows. Read only for such a spec, so it may be a getter. */
	readonly mtime?: Nanoseconds;
};

type Fault = { readonly fault: string };

const resolveTime = (time: ClockTime, anchor: ClockAnchor): Nanoseconds | Fault => {
	if (time.kind === "instant") return time.at;
	const zone = openZone(anchor.zone);
	if (zone === undefined) return { fault: `the local time zone ${quoted(anchor.zone)} is unknown` };
	return instantOfLocal(zone, time.dateTime);
};

const resolveBase = (base: ClockBase, anchor: ClockAnchor): Nanoseconds | Fault => {
	switch (base.kind) {
		case "now":
			return anchor.realtime;
		case "offset":
			return addDuration(anchor.realtime, base.duration);
		case "start":
			return resolveTime(base.time, anchor);
		case "file":
			return anchor.mtime ?? { fault: `the time of the file ${quoted(base.follow)} is unknown` };
	}
};

const clockFrom = (at: Nanoseconds, motion: ClockMotion, realtime: Nanoseconds): WallClock => {
	switch (motion.kind) {
		case "ticking":
			return { kind: "offset", offset: nanoseconds(at - realtime) };
		case "frozen":
			return { kind: "frozen", at };
		case "drift":
			return { kind: "drift", hostAnchor: realtime, at, rate: driftRate(motion.partsPerTrillion) };
		case "step":
			return { kind: "step", at, by: motion.by };
	}
};

/**
 * Makes the clock of a spec at the moment `anchor.realtime`.
 *
 * A spec that follows a file is anchored again, with the new `mtime` and the moment of the change, whenever the file changes:
 * the wall then shows the file's time plus what has passed since, or stands at it.
 *
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when the clock would be outside the years -9999 to 9999 at the
 * anchor, or when the spec needs the local zone or the time of a file and it is unknown. The error's input is the formatted
 * spec.
 */
export const anchorClock = (spec: ClockSpec, anchor: ClockAnchor): WallClock => {
	if (spec.kind === "host") return { kind: "host" };
	const at = resolveBase(spec.base, anchor);
	const error = (reason: string, example: string): ClockSpecError =>
		new ClockSpecError({ input: formatClockSpec(spec), position: 0, reason, example });
	if (typeof at !== "bigint") throw error(at.fault, "2038-01-19T03:14:07Z");
	if (!isInRange(at)) throw error("the clock would be outside the years -9999 to 9999", "+30d");
	return clockFrom(at, spec.motion, anchor.realtime);
};

/** The clock after a read: one that steps has moved. */
export const afterRead = (clock: WallClock): WallClock =>
	clock.kind === "step" ? { ...clock, at: nanoseconds(clock.at + clock.by) } : clock;

/** The virtual wall time at a moment of the host's CLOCK_REALTIME; of a clock that steps, what its next read gets. */
export const wallTime = (clock: WallClock, realtime: Nanoseconds): Nanoseconds => {
	switch (clock.kind) {
		case "host":
			return realtime;
		case "offset":
			return nanoseconds(realtime + clock.offset);
		case "frozen":
		case "step":
			return clock.at;
		case "drift": {
			const elapsed = realtime - clock.hostAnchor;
			return nanoseconds(clock.at + elapsed + driftGain(elapsed, clock.rate));
		}
	}
};
