/**
 * Drift: how much faster or slower than the host's a wall clock ticks, in parts per million (PPM) as crystals are rated.
 *
 *     drift=12.5      gains 12.5 us in every second
 *     drift=-0.000001 loses a picosecond in every second
 *
 * A spec keeps it in parts per trillion, the millionths of a PPM. A clock keeps it as a rate: the same as a fraction of
 * 2^RATE_SHIFT, which a reader applies with one multiplication and one shift. A unit of the rate is 0.91 parts per
 * trillion, so every drift has a rate of its own and can be told from it.
 */
import type { SpecCursor } from "./spec-cursor.ts";

/** A rate counts units of 2^-RATE_SHIFT. */
export const RATE_SHIFT = 40n;

const PARTS_PER_PPM = 1_000_000n;
const TRILLION = 1_000_000_000_000n;
const FRACTION_DIGITS = 6;
const EXAMPLE = "drift=-12.5";

/** The quotient to the nearest whole number. There are no ties: 2^40 / 10^12 is 2^28 / 5^12, whose divisor is odd. */
const divideRounded = (dividend: bigint, divisor: bigint): bigint => {
	const half = divisor / 2n;
	return (dividend < 0n ? dividend - half : dividend + half) / divisor;
};

/** Whether a clock of this rate goes on while the host's does. */
export const isRate = (rate: bigint): boolean => -(1n << RATE_SHIFT) < rate && rate < 1n << RATE_SHIFT;

/** The rate of a drift. `|rate| < 2^40` when `|partsPerTrillion| < 10^12`. */
export const driftRate = (partsPerTrillion: bigint): bigint => divideRounded(partsPerTrillion << RATE_SHIFT, TRILLION);

/** The drift that has this rate: the inverse of {@link driftRate}. */
export const driftOfRate = (rate: bigint): bigint => divideRounded(rate * TRILLION, 1n << RATE_SHIFT);

/** What a clock of this rate gains while the host's goes on by `elapsed`, rounded towards minus infinity. */
export const driftGain = (elapsed: bigint, rate: bigint): bigint => (elapsed * rate) >> RATE_SHIFT;

/** Reads PPM behind `drift=`, in parts per trillion. */
export const readDrift = (cursor: SpecCursor): bigint => {
	const start = cursor.position;
	const sign = cursor.take(/[+-]/y) === "-" ? -1n : 1n;
	const digits = cursor.take(/\d{1,30}(?!\d)/y);
	if (digits === undefined) throw cursor.error("expected a number of parts per million", EXAMPLE);
	const fractionStart = cursor.position;
	if (cursor.peek(/,\d/y) !== undefined) throw cursor.error('the decimal separator is "."', EXAMPLE);
	const hasFraction = cursor.take(/\./y) !== undefined;
	const fraction = hasFraction ? cursor.take(/\d+/y)?.replace(/0+$/, "") : "";
	if (fraction === undefined) throw cursor.error("expected a number", EXAMPLE);
	if (fraction.length > FRACTION_DIGITS) {
		throw cursor.error("a drift has at most 6 digits behind the point", EXAMPLE, fractionStart);
	}
	const parts = BigInt(digits) * PARTS_PER_PPM + BigInt(fraction.padEnd(FRACTION_DIGITS, "0"));
	if (parts >= TRILLION) throw cursor.error("a drift is less than 1000000 parts per million", EXAMPLE, start);
	return sign * parts;
};

/** A drift as the grammar has it, in parts per million. */
export const formatDrift = (partsPerTrillion: bigint): string => {
	const size = partsPerTrillion < 0n ? -partsPerTrillion : partsPerTrillion;
	const fraction = String(size % PARTS_PER_PPM)
		.padStart(FRACTION_DIGITS, "0")
		.replace(/0+$/, "");
	return `${partsPerTrillion < 0n ? "-" : ""}${size / PARTS_PER_PPM}${fraction === "" ? "" : `.${fraction}`}`;
};
