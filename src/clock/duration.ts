/**
 * Calendar durations: months, whose length depends on the date they start from, and exact time.
 *
 * A year is 12 months; a week is 7 days and a day is 24 hours, as the calendar is that of UTC. Years and months are
 * added first, with the day cut to the end of a shorter month, then the exact time: as Temporal.PlainDateTime does
 * with `overflow: "constrain"`.
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { addMonths, civilFromDays, daysFromCivil, NANOSECONDS_PER_DAY, splitDay } from "./civil.ts";

export type CalendarDuration = {
	readonly sign: 1 | -1;
	/** Years and months, in months. Not negative. */
	readonly months: bigint;
	/** The rest. Not negative. */
	readonly exact: Nanoseconds;
};

/** Units of fixed length in nanoseconds, longest first. */
export const EXACT_UNITS: readonly (readonly [unit: string, length: bigint])[] = [
	["w", 604_800_000_000_000n],
	["d", 86_400_000_000_000n],
	["h", 3_600_000_000_000n],
	["m", 60_000_000_000n],
	["s", 1_000_000_000n],
	["ms", 1_000_000n],
	["us", 1000n],
	["ns", 1n],
];

/** Units of the calendar in months, longest first. */
export const CALENDAR_UNITS: readonly (readonly [unit: string, months: bigint])[] = [
	["y", 12n],
	["mo", 1n],
];

/** The instant that is `duration` from `instant`, by the UTC calendar. */
export const addDuration = (instant: Nanoseconds, duration: CalendarDuration): Nanoseconds => {
	const sign = BigInt(duration.sign);
	const { days, timeOfDay } = splitDay(instant);
	const date = addMonths(civilFromDays(days), sign * duration.months);
	return nanoseconds(daysFromCivil(date) * NANOSECONDS_PER_DAY + timeOfDay + sign * duration.exact);
};

const formatUnits = (value: bigint, units: readonly (readonly [unit: string, length: bigint])[]): string => {
	let rest = value;
	let text = "";
	for (const [unit, length] of units) {
		if (rest >= length) text += `${rest / length}${unit}`;
		rest %= length;
	}
	return text;
};

/** A duration in the units of the grammar, largest first, without weeks: `+1y2mo10d2h30m`; zero is `+0s`. */
export const formatDuration = ({ sign, months, exact }: CalendarDuration): string => {
	const withoutWeeks = EXACT_UNITS.filter(([unit]) => unit !== "w");
	const text = formatUnits(months, CALENDAR_UNITS) + formatUnits(exact, withoutWeeks);
	return `${sign < 0 ? "-" : "+"}${text === "" ? "0s" : text}`;
};
