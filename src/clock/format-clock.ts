/** A clock in the words of a clock spec, as people are shown it. */
import type { WallClock } from "./clock.ts";
import { driftOfRate, formatDrift } from "./drift.ts";
import { formatDuration } from "./duration.ts";
import { isoInstant } from "./iso.ts";
import { nanoseconds } from "../units.ts";

const magnitude = (value: bigint): bigint => (value < 0n ? -value : value);

/** Of a clock that drifts, what it gains; where it is now is another question. */
export const formatWallClock = (clock: WallClock): string => {
	switch (clock.kind) {
		case "host":
			return "host";
		case "offset":
			return formatDuration({
				sign: clock.offset < 0n ? -1 : 1,
				months: 0n,
				exact: nanoseconds(magnitude(clock.offset)),
			});
		case "frozen":
			return `@${isoInstant(clock.at)} frozen`;
		case "drift":
			return `drift=${formatDrift(driftOfRate(clock.rate))}`;
		case "step":
			if (clock.by === 0n) return `@${isoInstant(clock.at)} while reads are counted`;
			return `@${isoInstant(clock.at)} step=${formatDuration({ sign: 1, months: 0n, exact: clock.by }).slice(1)}`;
	}
};
