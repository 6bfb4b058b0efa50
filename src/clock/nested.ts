/**
 * A clock inside of another one: what a spec means to a program whose own time is already a clock's.
 *
 *     spec inside              clock
 *     host                     the outer one
 *     +1h                      the outer one, moved: where that stands or drifts, this one does too
 *     frozen, drift=, step=    from what the outer one shows
 *     a time, a file           itself, as it would be outside
 *
 * The result is a function of the host's time again, as every clock. A later change of the outer clock does not reach it.
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { anchorClock, type ClockAnchor, type WallClock, wallTime } from "./clock.ts";
import type { ClockSpec } from "./spec.ts";
import { setWall } from "./steering.ts";

const isRelative = (spec: ClockSpec): boolean =>
	spec.kind === "clock" && (spec.base.kind === "now" || spec.base.kind === "offset");

/** The anchor as a program under `outer` sees it. */
const seenFrom = (outer: WallClock, anchor: ClockAnchor): ClockAnchor => {
	const realtime: Nanoseconds = wallTime(outer, anchor.realtime);
	return Object.create(anchor, { realtime: { value: realtime } }) as ClockAnchor;
};

/**
 * @param anchor the host's, not the outer clock's
 * @throws {ClockSpecError} as {@link anchorClock}
 */
export const nestClock = (spec: ClockSpec, outer: WallClock, anchor: ClockAnchor): WallClock => {
	if (spec.kind === "host") return outer;
	if (outer.kind === "host" || !isRelative(spec)) return anchorClock(spec, anchor);
	const seen = seenFrom(outer, anchor);
	const clock = anchorClock(spec, seen);
	switch (clock.kind) {
		case "offset":
			return setWall(outer, nanoseconds(seen.realtime + clock.offset), anchor.realtime);
		case "drift":
			return { ...clock, hostAnchor: anchor.realtime };
		case "host":
		case "frozen":
		case "step":
			return clock;
	}
};
