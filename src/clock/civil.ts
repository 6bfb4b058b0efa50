/**
 * The proleptic Gregorian calendar: days counted from 1970-01-01 <-> year, month, day.
 *
 * Years are astronomical: year 0 is 1 BC. The arithmetic is on bigints and exact for any day. It counts from the first
 * of March, so that the leap day is the last day of a year, in eras of 400 years = 146,097 days (ISO 8601:2004, 3.2.1;
 * the formulas are those of H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";

export type CivilDate = {
	readonly year: bigint;
	/** 1 to 12. */
	readonly month: number;
	/** 1 to the length of the month. */
	readonly day: number;
};

export const NANOSECONDS_PER_DAY = 86_400_000_000_000n;

/** The range of instants and of local date-times that a clock can show: the years -9999 to 9999. */
const EARLIEST = -377_705_116_800_000_000_000n;
const LATEST = 253_402_300_799_999_999_999n;

const DAYS_PER_ERA = 146_097n;
/** Days from 0000-03-01 to 1970-01-01. */
const DAYS_TO_1970 = 719_468n;
const MONTH_LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** The quotient towards minus infinity; `divisor` is positive. */
const floorDivide = (dividend: bigint, divisor: bigint): bigint => {
	const quotient = dividend / divisor;
	return quotient * divisor > dividend ? quotient - 1n : quotient;
};

const isLeapYear = (year: bigint): boolean => year % 4n === 0n && (year % 100n !== 0n || year % 400n === 0n);

/** The length in days of a month from 1 to 12. */
export const daysInMonth = (year: bigint, month: number): number =>
	month === 2 && isLeapYear(year) ? 29 : (MONTH_LENGTHS[month - 1] ?? 0);

/** The day number of a date; 1970-01-01 is day 0. */
export const daysFromCivil = ({ year, month, day }: CivilDate): bigint => {
	const marchYear = month > 2 ? year : year - 1n;
	const marchMonth = BigInt((month + 9) % 12);
	const era = floorDivide(marchYear, 400n);
	const yearOfEra = marchYear - era * 400n;
	const dayOfYear = (153n * marchMonth + 2n) / 5n + BigInt(day) - 1n;
	const dayOfEra = yearOfEra * 365n + yearOfEra / 4n - yearOfEra / 100n + dayOfYear;
	return era * DAYS_PER_ERA + dayOfEra - DAYS_TO_1970;
};

/** The date of a day number; the inverse of {@link daysFromCivil}. */
export const civilFromDays = (days: bigint): CivilDate => {
	const shifted = days + DAYS_TO_1970;
	const era = floorDivide(shifted, DAYS_PER_ERA);
	const dayOfEra = shifted - era * DAYS_PER_ERA;
	// Takes out the leap days of the era, so that every year has 365 days left.
	const yearOfEra = (dayOfEra - dayOfEra / 1460n + dayOfEra / 36_524n - dayOfEra / 146_096n) / 365n;
	const dayOfYear = dayOfEra - (365n * yearOfEra + yearOfEra / 4n - yearOfEra / 100n);
	const marchMonth = (5n * dayOfYear + 2n) / 153n;
	const month = (Number(marchMonth) + 2) % 12;
	const day = Number(dayOfYear - (153n * marchMonth + 2n) / 5n) + 1;
	return { year: era * 400n + yearOfEra + (month < 2 ? 1n : 0n), month: month + 1, day };
};

/** The same day `months` later (earlier when negative), or the last of that month when it is shorter. */
export const addMonths = ({ year, month, day }: CivilDate, months: bigint): CivilDate => {
	const monthCount = year * 12n + BigInt(month - 1) + months;
	const newYear = floorDivide(monthCount, 12n);
	const newMonth = Number(monthCount - newYear * 12n) + 1;
	return { year: newYear, month: newMonth, day: Math.min(day, daysInMonth(newYear, newMonth)) };
};

/** The day number of a time, and the nanoseconds since that day's midnight: not negative, less than a day. */
export const splitDay = (time: Nanoseconds): { readonly days: bigint; readonly timeOfDay: Nanoseconds } => {
	const days = floorDivide(time, NANOSECONDS_PER_DAY);
	return { days, timeOfDay: nanoseconds(time - days * NANOSECONDS_PER_DAY) };
};

/** Whether a time lies in the years -9999 to 9999. */
export const isInRange = (time: Nanoseconds): boolean => EARLIEST <= time && time <= LATEST;
