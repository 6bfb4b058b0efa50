import type { SpecCursor } from "./spec-cursor.ts";

/** An unsigned decimal number as it was written, kept exact. */
export type Decimal = {
	readonly whole: bigint;
	/** The digits behind the separator; empty when there is none. */
	readonly fraction: string;
	/** Where the separator is in the input, or would be. */
	readonly fractionPosition: number;
};

/** The range of clocks has 21 digits in nanoseconds; the bound keeps bigint arithmetic on hostile input short. */
const MOST_DIGITS = 30;

const takeDigits = (cursor: SpecCursor, example: string): string => {
	const start = cursor.position;
	const digits = cursor.take(/\d+/y);
	if (digits === undefined) throw cursor.error("expected a number", example);
	if (digits.length > MOST_DIGITS) {
		throw cursor.error(`a number has at most ${MOST_DIGITS} digits`, example, start + MOST_DIGITS);
	}
	return digits;
};

/** Reads digits and, behind a character that `separator` matches, a fraction. */
export const readDecimal = (cursor: SpecCursor, separator: RegExp, example: string): Decimal => {
	const whole = BigInt(takeDigits(cursor, example));
	const fractionPosition = cursor.position;
	if (cursor.take(separator) !== undefined) {
		return { whole, fraction: takeDigits(cursor, example), fractionPosition };
	}
	if (cursor.peek(/,\d/y) !== undefined) throw cursor.error('the decimal separator is "."', example);
	return { whole, fraction: "", fractionPosition };
};

/** `decimal` times `unit`. @throws {ClockSpecError} when that is not a whole number. */
export const multiplyExactly = (cursor: SpecCursor, decimal: Decimal, unit: bigint, example: string): bigint => {
	const scale = 10n ** BigInt(decimal.fraction.length);
	const scaled = BigInt(decimal.fraction) * unit;
	if (scaled % scale !== 0n) {
		throw cursor.error("the fraction is not a whole number of nanoseconds", example, decimal.fractionPosition);
	}
	return decimal.whole * unit + scaled / scale;
};
