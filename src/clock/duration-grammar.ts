/**
 * The text of a duration in a clock spec, with its sign:
 *
 *     +1mo2w  -1h30m  +1.5h         numbers with units
 *     -P1Y2M10DT2H30M  +PT0.5S      ISO 8601
 *     +01:30:00.5  -02:30           hours:minutes:seconds, minutes:seconds
 *     +90                           seconds
 */
import { nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { NANOSECONDS_PER_DAY } from "./civil.ts";
import { quoted } from "./clock-spec-error.ts";
import { type Decimal, multiplyExactly, readDecimal } from "./decimal.ts";
import { CALENDAR_UNITS, type CalendarDuration, EXACT_UNITS } from "./duration.ts";
import { SpecCursor } from "./spec-cursor.ts";

/** Months and nanoseconds. */
type Amount = { readonly months: bigint; readonly exact: bigint };

/** The length of one; either `months` or `exact` is 0. */
type Unit = Amount;

const UNITS: ReadonlyMap<string, Unit> = new Map<string, Unit>([
	...EXACT_UNITS.map(([unit, exact]) => [unit, { months: 0n, exact }] as const),
	...CALENDAR_UNITS.map(([unit, months]) => [unit, { months, exact: 0n }] as const),
]);
/** The micro sign and the Greek letter look the same; keyboards have either. */
const UNIT_NAME = /[A-Za-z\u00b5\u03bc]+/y;
const MICROSECONDS = /^[\u00b5\u03bc]s$/;
const UNIT_LIST = "ns us ms s m h d w mo y";

/** A part of an ISO 8601 duration. Ranks grow in the order in which parts must be. */
type IsoPart = Unit & { readonly letter: string; readonly rank: number };

const ISO_DATE_PARTS: readonly IsoPart[] = [
	{ letter: "Y", rank: 1, months: 12n, exact: 0n },
	{ letter: "M", rank: 2, months: 1n, exact: 0n },
	{ letter: "W", rank: 3, months: 0n, exact: 7n * NANOSECONDS_PER_DAY },
	{ letter: "D", rank: 4, months: 0n, exact: NANOSECONDS_PER_DAY },
];
/** The parts behind T. */
const ISO_TIME_PARTS: readonly IsoPart[] = [
	{ letter: "H", rank: 5, months: 0n, exact: 3600n * NANOSECONDS_PER_SECOND },
	{ letter: "M", rank: 6, months: 0n, exact: 60n * NANOSECONDS_PER_SECOND },
	{ letter: "S", rank: 7, months: 0n, exact: NANOSECONDS_PER_SECOND },
];

/** Longer than from -9999 to 9999, so that no clock can be that far from another. In months, and in nanoseconds. */
const LONGEST_MONTHS = 240_000n;
const LONGEST_EXACT = 7_305_000n * NANOSECONDS_PER_DAY;

const EXAMPLE = "+30d";
const FRACTION_EXAMPLE = "+1.5h";
const ISO_EXAMPLE = "+P1Y2M10DT2H30M";
const CLOCK_EXAMPLE = "+01:30:00";

const amountOf = (cursor: SpecCursor, decimal: Decimal, unit: Unit): Amount => {
	if (unit.months === 0n) return { months: 0n, exact: multiplyExactly(cursor, decimal, unit.exact, FRACTION_EXAMPLE) };
	if (decimal.fraction !== "") {
		const reason = "a fraction of a month or a year has no fixed length";
		throw cursor.error(reason, "+45d", decimal.fractionPosition);
	}
	return { months: decimal.whole * unit.months, exact: 0n };
};

const add = (left: Amount, right: Amount): Amount => ({
	months: left.months + right.months,
	exact: left.exact + right.exact,
});

const readUnit = (cursor: SpecCursor): Unit => {
	const start = cursor.position;
	const name = cursor.take(UNIT_NAME);
	if (name === undefined) throw cursor.error(`expected a unit (one of ${UNIT_LIST})`, EXAMPLE);
	const unit = UNITS.get(name.replace(MICROSECONDS, "us"));
	if (unit === undefined) {
		throw cursor.error(`unknown unit ${quoted(name)} (expected one of ${UNIT_LIST})`, EXAMPLE, start);
	}
	return unit;
};

const readUnits = (cursor: SpecCursor): Amount => {
	const first = readDecimal(cursor, /\./y, FRACTION_EXAMPLE);
	if (cursor.peek(UNIT_NAME) === undefined) {
		return { months: 0n, exact: multiplyExactly(cursor, first, NANOSECONDS_PER_SECOND, FRACTION_EXAMPLE) };
	}
	let sum = amountOf(cursor, first, readUnit(cursor));
	while (cursor.peek(/\d/y) !== undefined) {
		const decimal = readDecimal(cursor, /\./y, FRACTION_EXAMPLE);
		sum = add(sum, amountOf(cursor, decimal, readUnit(cursor)));
	}
	return sum;
};

const readIsoPart = (cursor: SpecCursor, parts: readonly IsoPart[], lastRank: number): IsoPart => {
	const start = cursor.position;
	const letters = parts.map(({ letter }) => letter).join(" ");
	const letter = cursor.take(/[A-Za-z]/y);
	if (letter === undefined) throw cursor.error(`expected one of ${letters}`, ISO_EXAMPLE);
	const part = parts.find((candidate) => candidate.letter === letter.toUpperCase());
	if (part === undefined) {
		throw cursor.error(`unknown part ${quoted(letter)} (expected one of ${letters})`, ISO_EXAMPLE, start);
	}
	if (part.rank <= lastRank) {
		throw cursor.error(`${quoted(letter)} is out of order (expected ${letters})`, ISO_EXAMPLE, start);
	}
	return part;
};

const readIsoDuration = (cursor: SpecCursor): Amount => {
	cursor.take(/P/iy);
	let sum: Amount = { months: 0n, exact: 0n };
	let parts = ISO_DATE_PARTS;
	let lastRank = 0;
	for (;;) {
		if (parts === ISO_DATE_PARTS && cursor.take(/T/iy) !== undefined) parts = ISO_TIME_PARTS;
		const decimal = readDecimal(cursor, /[.,]/y, ISO_EXAMPLE);
		const part = readIsoPart(cursor, parts, lastRank);
		lastRank = part.rank;
		sum = add(sum, amountOf(cursor, decimal, part));
		if (cursor.peek(/[T\d]/iy) === undefined) return sum;
		if (decimal.fraction !== "") {
			throw cursor.error("only the last part can have a fraction", ISO_EXAMPLE, decimal.fractionPosition);
		}
	}
};

const refuseUnlessSixtieth = (cursor: SpecCursor): void => {
	const digits = cursor.peek(/\d\d(?!\d)/y);
	if (digits === undefined) throw cursor.error("expected two digits", CLOCK_EXAMPLE);
	if (Number(digits) > 59) throw cursor.error(`${digits} is outside 00 to 59`, CLOCK_EXAMPLE);
};

/** hh:mm:ss or mm:ss; the first number has any size. */
const readClockDuration = (cursor: SpecCursor): Amount => {
	let last = readDecimal(cursor, /\./y, CLOCK_EXAMPLE);
	let whole = last.whole;
	for (let colons = 0; colons < 2 && last.fraction === "" && cursor.take(/:/y) !== undefined; colons++) {
		refuseUnlessSixtieth(cursor);
		last = readDecimal(cursor, /\./y, CLOCK_EXAMPLE);
		whole = whole * 60n + last.whole;
	}
	const exact = multiplyExactly(cursor, { ...last, whole }, NANOSECONDS_PER_SECOND, CLOCK_EXAMPLE);
	return { months: 0n, exact };
};

const readAmount = (cursor: SpecCursor): Amount => {
	if (cursor.peek(/P/iy) !== undefined) return readIsoDuration(cursor);
	if (cursor.peek(/\d+:/y) !== undefined) return readClockDuration(cursor);
	return readUnits(cursor);
};

/** Reads a duration without a sign. Stops at the first character that cannot belong to it. @param start its sign */
export const readLength = (cursor: SpecCursor, start: number = cursor.position): Amount => {
	const amount = readAmount(cursor);
	if (amount.months > LONGEST_MONTHS || amount.exact > LONGEST_EXACT) {
		throw cursor.error("the duration is longer than 20000 years", EXAMPLE, start);
	}
	return amount;
};

/** Reads a duration with its sign; "+" where there is none. Stops at the first character that cannot belong to it. */
export const readDuration = (cursor: SpecCursor): CalendarDuration => {
	const start = cursor.position;
	const sign = cursor.take(/[+-]/y) === "-" ? -1 : 1;
	const { months, exact } = readLength(cursor, start);
	return { sign, months, exact: nanoseconds(exact) };
};

/**
 * Reads a duration on its own: `30d`, `+1mo2w`, `-PT5M`. It goes forward unless it has a "-".
 *
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when `text` is not a duration.
 */
export const parseDuration = (text: string): CalendarDuration => {
	const cursor = new SpecCursor(text, "duration");
	const duration = readDuration(cursor);
	if (!cursor.isAtEnd) throw cursor.error(`unexpected ${quoted(text.slice(cursor.position))}`, EXAMPLE);
	return duration;
};
