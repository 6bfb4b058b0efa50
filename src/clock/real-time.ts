import { type Nanoseconds, nanoseconds } from "../units.ts";
import { type WallClock, wallTime } from "./clock.ts";
import { hostDeadline } from "./deadline.ts";

/**
 * When, on the host's CLOCK_REALTIME, a time of the clock is or was; of a clock that does not go on by itself, as far from now as it is
 * from what the clock shows.
 */
export const realTime = (clock: WallClock, time: Nanoseconds, host: Nanoseconds): Nanoseconds => {
	const moment = hostDeadline(clock, time);
	return moment.kind === "at" ? moment.realtime : nanoseconds(host + time - wallTime(clock, host));
};
