/**
 * Changes of a clock while it runs: each takes a clock and the host's CLOCK_REALTIME at the moment of the change, and
 * returns the clock from then on.
 *
 * What is not changed goes on without a jump, to the nanosecond. A clock that drifts keeps its anchor where it can, so that
 * many changes lose nothing to rounding. Of a clock that steps, `at` must be what its next read would get.
 */
import { VsyscallError } from "../errors.ts";
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { isInRange } from "./civil.ts";
import { type WallClock, wallTime } from "./clock.ts";
import { isRate } from "./drift.ts";
import { addDuration, type CalendarDuration } from "./duration.ts";
import { isoInstant } from "./iso.ts";

/** The clock moved by a distance, whatever it does otherwise. */
const moved = (clock: WallClock, distance: bigint): WallClock => {
	switch (clock.kind) {
		case "host":
			return { kind: "offset", offset: nanoseconds(distance) };
		case "offset":
			return { kind: "offset", offset: nanoseconds(clock.offset + distance) };
		case "frozen":
		case "drift":
		case "step":
			return { ...clock, at: nanoseconds(clock.at + distance) };
	}
};

/**
 * The clock that shows `instant` now. A clock that stands goes on standing, one that drifts or steps goes on so.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when `instant` is outside the years -9999 to 9999.
 */
export const setWall = (clock: WallClock, instant: Nanoseconds, host: Nanoseconds): WallClock => {
	const shown = wallTime(clock, host);
	if (isInRange(instant)) return moved(clock, instant - shown);
	const now = isInRange(shown) ? `; it stays at ${isoInstant(shown)}` : "";
	const reason = `the clock would be outside the years -9999 to 9999${now}; move it by less`;
	throw new VsyscallError("ERR_VSYSCALL_CLOCK", reason);
};

/**
 * The clock moved by a duration, by the calendar from the date that it shows.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when it would be outside the years -9999 to 9999.
 */
export const advance = (clock: WallClock, duration: CalendarDuration, host: Nanoseconds): WallClock =>
	setWall(clock, addDuration(wallTime(clock, host), duration), host);

/** The clock standing at what it shows now. It forgets its drift or step. */
export const freeze = (clock: WallClock, host: Nanoseconds): WallClock =>
	clock.kind === "frozen" ? clock : { kind: "frozen", at: wallTime(clock, host) };

/** The clock ticking with the host, on from the instant at which it stands or steps; one that ticks is left as it is. */
export const resume = (clock: WallClock, host: Nanoseconds): WallClock =>
	clock.kind === "frozen" || clock.kind === "step" ? { kind: "offset", offset: nanoseconds(clock.at - host) } : clock;

/**
 * The clock ticking faster or slower from what it shows now. A rate of 0 ends a drift.
 *
 * @param rate of {@link driftRate}: the gain on the host, times 2^40
 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when the clock stands or steps (resume it first), or `|rate| >= 2^40`.
 */
export const setDrift = (clock: WallClock, rate: bigint, host: Nanoseconds): WallClock => {
	if (clock.kind === "frozen" || clock.kind === "step") {
		const state = clock.kind === "frozen" ? "is frozen" : "steps with each read";
		throw new VsyscallError("ERR_VSYSCALL_CLOCK", `a clock that ${state} cannot drift: resume it first`);
	}
	if (!isRate(rate)) {
		const reason = `a drift of ${rate} / 2^40 would turn the clock round: it is less than 1000000 parts per million`;
		throw new VsyscallError("ERR_VSYSCALL_CLOCK", reason);
	}
	const at = wallTime(clock, host);
	if (rate !== 0n) return { kind: "drift", hostAnchor: host, at, rate };
	return clock.kind === "drift" ? { kind: "offset", offset: nanoseconds(at - host) } : clock;
};
