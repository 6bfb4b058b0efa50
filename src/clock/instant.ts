/**
 * The text of a time in a clock spec:
 *
 *     [@]YYYY-MM-DD[(T| )hh:mm[:ss[.fraction]]][Z|±hh[:mm]][\[Zone/Name\]]      year: four digits, or a sign and six
 *     @[-]SECONDS[.fraction]                                                   since 1970-01-01T00:00:00Z
 *
 * A time with `Z`, an offset or a zone is an instant as soon as it is read. A time without waits for the local zone.
 */
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { daysFromCivil, daysInMonth, isInRange, NANOSECONDS_PER_DAY } from "./civil.ts";
import { quoted } from "./clock-spec-error.ts";
import { multiplyExactly, readDecimal } from "./decimal.ts";
import { isoDateTime, isoInstant } from "./iso.ts";
import type { SpecCursor } from "./spec-cursor.ts";
import { instantOfLocal, instantWithOffset, openZone, type Zone } from "./zone.ts";

export type ClockTime =
	| { readonly kind: "instant"; readonly at: Nanoseconds }
	/** The date and time of day that the local zone shows, as nanoseconds, as if it were UTC. */
	| { readonly kind: "local"; readonly dateTime: Nanoseconds };

const EXAMPLE = "2038-01-19T03:14:07Z";
const EPOCH_EXAMPLE = "@1663468944.5";
const ZONE_EXAMPLE = "2026-10-25T02:59[Europe/Paris]";
const YEAR_EXAMPLE = "-000044-03-15";
const RANGE = "outside the years -9999 to 9999";

const expect = (cursor: SpecCursor, pattern: RegExp, what: string): void => {
	if (cursor.take(pattern) === undefined) throw cursor.error(`expected ${what}`, EXAMPLE);
};

type Field = { readonly name: string; readonly first: number; readonly last: number };

const MONTH: Field = { name: "month", first: 1, last: 12 };
const HOUR: Field = { name: "hour", first: 0, last: 23 };
const MINUTE: Field = { name: "minute", first: 0, last: 59 };
const SECOND: Field = { name: "second", first: 0, last: 59 };

const twoDigits = (value: number): string => String(value).padStart(2, "0");

const readField = (cursor: SpecCursor, { name, first, last }: Field): number => {
	const start = cursor.position;
	const digits = cursor.take(/\d\d/y);
	if (digits === undefined) throw cursor.error(`expected two digits (${name})`, EXAMPLE);
	const value = Number(digits);
	if (value >= first && value <= last) return value;
	const reason = `${name} ${digits} is outside ${twoDigits(first)} to ${twoDigits(last)}`;
	throw cursor.error(reason, EXAMPLE, start);
};

const readYear = (cursor: SpecCursor): bigint => {
	const start = cursor.position;
	const digits = cursor.take(/\d{4}(?!\d)|[+-]\d{6}(?!\d)/y);
	if (digits === undefined) throw cursor.error("expected a date YYYY-MM-DD", EXAMPLE);
	if (digits === "-000000") throw cursor.error("year 0 has no sign (0000)", YEAR_EXAMPLE, start);
	const year = BigInt(digits);
	if (year < -9999n || year > 9999n) throw cursor.error(`year ${digits} is ${RANGE}`, YEAR_EXAMPLE, start);
	return year;
};

const readDate = (cursor: SpecCursor): bigint => {
	const year = readYear(cursor);
	expect(cursor, /-/y, '"-" and a month');
	const month = readField(cursor, MONTH);
	expect(cursor, /-/y, '"-" and a day');
	const last = daysInMonth(year, month);
	const day = readField(cursor, { name: "day", first: 1, last });
	return daysFromCivil({ year, month, day });
};

/** Up to nine digits behind "." or ",", as nanoseconds. */
const readFraction = (cursor: SpecCursor): bigint => {
	if (cursor.take(/[.,]/y) === undefined) return 0n;
	const digits = cursor.take(/\d{1,9}/y);
	if (digits === undefined) throw cursor.error("expected the digits of a fraction", EXAMPLE);
	if (cursor.peek(/\d/y) !== undefined) throw cursor.error("a fraction has at most 9 digits", EXAMPLE);
	return BigInt(digits.padEnd(9, "0"));
};

const readTimeOfDay = (cursor: SpecCursor): bigint => {
	const hour = readField(cursor, HOUR);
	expect(cursor, /:/y, '":" and a minute');
	const minute = readField(cursor, MINUTE);
	const hasSecond = cursor.take(/:/y) !== undefined;
	const second = hasSecond ? readField(cursor, SECOND) : 0;
	const fraction = hasSecond ? readFraction(cursor) : 0n;
	return BigInt((hour * 60 + minute) * 60 + second) * NANOSECONDS_PER_SECOND + fraction;
};

const readDateTime = (cursor: SpecCursor): Nanoseconds => {
	const days = readDate(cursor);
	const hasTime = cursor.take(/[Tt]| +(?=\d)/y) !== undefined;
	return nanoseconds(days * NANOSECONDS_PER_DAY + (hasTime ? readTimeOfDay(cursor) : 0n));
};

/** ±hh[:mm], or undefined when there is no sign here. */
const readOffset = (cursor: SpecCursor): Nanoseconds | undefined => {
	const sign = cursor.take(/[+-]/y);
	if (sign === undefined) return undefined;
	const hours = readField(cursor, HOUR);
	if (cursor.peek(/\d/y) !== undefined) throw cursor.error('expected ":" and minutes', "2026-01-31T12:00+05:30");
	const minutes = cursor.take(/:/y) === undefined ? 0 : readField(cursor, MINUTE);
	const length = BigInt(hours * 60 + minutes) * 60n * NANOSECONDS_PER_SECOND;
	return nanoseconds(sign === "-" ? -length : length);
};

/** [Zone/Name], or undefined when there is no bracket here. */
const readZone = (cursor: SpecCursor): Zone | undefined => {
	if (cursor.take(/\[/y) === undefined) return undefined;
	const start = cursor.position;
	const name = cursor.take(/[A-Za-z][A-Za-z0-9_+/-]*/y);
	if (name === undefined) throw cursor.error("expected the name of a time zone", ZONE_EXAMPLE);
	if (cursor.take(/\]/y) === undefined) throw cursor.error('expected "]"', ZONE_EXAMPLE);
	const zone = openZone(name);
	if (zone === undefined) throw cursor.error(`unknown time zone ${quoted(name)}`, ZONE_EXAMPLE, start);
	return zone;
};

const readInstantWithOffset = (cursor: SpecCursor, dateTime: Nanoseconds): Nanoseconds | undefined => {
	const start = cursor.position;
	const offset = readOffset(cursor);
	const zone = readZone(cursor);
	if (offset === undefined) return zone && instantOfLocal(zone, dateTime);
	if (zone === undefined) return nanoseconds(dateTime - offset);
	const instant = instantWithOffset(zone, dateTime, offset);
	if (instant === undefined) {
		throw cursor.error(`${zone.name} does not have this offset at that time`, ZONE_EXAMPLE, start);
	}
	return instant;
};

const readIsoTime = (cursor: SpecCursor): ClockTime => {
	const start = cursor.position;
	const dateTime = readDateTime(cursor);
	const isUtc = cursor.take(/Z/iy) !== undefined;
	// With Z the instant is known: a zone that follows must exist and changes nothing, as in Temporal.
	if (isUtc) readZone(cursor);
	const at = isUtc ? dateTime : readInstantWithOffset(cursor, dateTime);
	if (at === undefined) return { kind: "local", dateTime };
	if (!isInRange(at)) throw cursor.error(`the time is ${RANGE}`, EXAMPLE, start);
	return { kind: "instant", at };
};

const readEpoch = (cursor: SpecCursor): ClockTime => {
	const start = cursor.position;
	if (cursor.peek(/-?\d/y) === undefined) {
		throw cursor.error("expected a date YYYY-MM-DD or seconds since 1970", EPOCH_EXAMPLE);
	}
	const isNegative = cursor.take(/-/y) !== undefined;
	const decimal = readDecimal(cursor, /\./y, EPOCH_EXAMPLE);
	if (cursor.peek(/-/y) !== undefined) {
		throw cursor.error("a year is four digits, or a sign and six digits", YEAR_EXAMPLE, start);
	}
	const distance = multiplyExactly(cursor, decimal, NANOSECONDS_PER_SECOND, EPOCH_EXAMPLE);
	const at = nanoseconds(isNegative ? -distance : distance);
	if (!isInRange(at)) throw cursor.error(`the time is ${RANGE}`, EPOCH_EXAMPLE, start);
	return { kind: "instant", at };
};

/** Reads a time, with its "@" if it has one. Stops at the first character that cannot belong to it. */
export const readTime = (cursor: SpecCursor): ClockTime => {
	const hasAt = cursor.take(/@/y) !== undefined;
	const isDate = cursor.peek(/(?:\d{4}|[+-]\d{6})-/y) !== undefined;
	return hasAt && !isDate ? readEpoch(cursor) : readIsoTime(cursor);
};

/** A time as the grammar has it: an instant in UTC, a local time without a zone. */
export const formatTime = (time: ClockTime): string =>
	`@${time.kind === "instant" ? isoInstant(time.at) : isoDateTime(time.dateTime)}`;
