/**
 * An offset as faketime reads it: one number and one unit.
 *
 * The unit is the first of m, h, d and y that occurs anywhere behind the number, in that order of looking, and otherwise
 * seconds; a year is 365 days. So `+2h30m` is 2 minutes, `+1mo` is one, and `+5 seconds` is 5 days.
 */
import { quoted } from "../clock/clock-spec-error.ts";
import { addDuration, type CalendarDuration, formatDuration } from "../clock/duration.ts";
import { parseDuration } from "../clock/duration-grammar.ts";
import { VsyscallError } from "../errors.ts";
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { readNumber } from "./number.ts";

const SECOND = 1_000_000_000n;
const UNITS: readonly (readonly [letter: string, length: bigint])[] = [
	["m", 60n * SECOND],
	["h", 3600n * SECOND],
	["d", 86_400n * SECOND],
	["y", 365n * 86_400n * SECOND],
];
/** Words whose first such letter is their own. */
const PLAIN_WORD = /^\s*(?:[mhd]|hours?|days?)?\s*$/;

export type Offset = { readonly duration: CalendarDuration; readonly warnings: readonly string[] };

/** What the text means in the grammar of clock specs. */
const readByCalendar = (text: string): CalendarDuration | undefined => {
	try {
		return parseDuration(text);
	} catch (error) {
		if (error instanceof VsyscallError) return undefined;
		throw error;
	}
};

/**
 * @param number with its sign
 * @param unit what is behind it
 * @param now where the calendar counts from, to see whether the two readings differ
 */
export const readOffset = (number: string, unit: string, now: Nanoseconds): Offset => {
	const length = UNITS.find(([letter]) => unit.includes(letter))?.[1] ?? SECOND;
	const size = readNumber(number.slice(1), length);
	const duration: CalendarDuration = { sign: number.startsWith("-") ? -1 : 1, months: 0n, exact: nanoseconds(size) };
	const word = `${number}${unit}`;
	const calendarText = word
		.replace(",", ".")
		.replace(/\s+/g, "")
		.replace(/years?$/, "y");
	const meant = readByCalendar(calendarText);
	const reading = `faketime reads ${quoted(word)} as ${formatDuration(duration)}`;
	if (PLAIN_WORD.test(unit)) return { duration, warnings: [] };
	if (meant === undefined) {
		const isYears = /^\s*y(?:ears?)?\s*$/.test(unit);
		return { duration, warnings: isYears ? [] : [`${reading}: it has the units m, h, d and y`] };
	}
	if (addDuration(now, meant) === addDuration(now, duration)) return { duration, warnings: [] };
	return { duration, warnings: [`${reading}; by the calendar it is vsyscall run --clock ${calendarText}`] };
};
