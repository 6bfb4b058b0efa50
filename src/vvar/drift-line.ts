/**
 * A drifting wall as a line over the host's clock h, for readers that compute it from the processor's counter:
 *
 *     v + (h - a) * (2^40 + rate) / 2^40 = h * factor / 2^40 + line
 *
 * The line's end at h = 0 is exact: seconds, a fraction of 2^-64 s, and a rest of 2^-64 ns.
 */
import { NANOSECONDS_PER_SECOND, type Nanoseconds, nanoseconds, splitNanoseconds } from "../units.ts";
import { LINE, PAGE, RATE_SHIFT } from "./layout.ts";

const SHIFT = BigInt(RATE_SHIFT);
const ONE = 1n << SHIFT;
/** From units of a rate to those of 2^-64. */
const FRACTION_SHIFT = 64n - SHIFT;

/** Each is a word of 64 bits. */
export interface DriftLine {
	/** 2^40 + rate. */
	readonly factor: bigint;
	/** rate * 2^24: times seconds it is seconds, and a fraction of 2^-64 s. */
	readonly scaledRate: bigint;
	readonly seconds: bigint;
	/** In 2^-64 s. */
	readonly fraction: bigint;
	/** In 2^-64 ns, less than 10^9. */
	readonly rest: bigint;
}

/** @returns undefined when `scaledRate` does not fit: for clocks less than half as fast as the host's, and from one and a half on */
export const driftLine = ({
	time,
	anchor,
	rate,
}: {
	readonly time: Nanoseconds;
	readonly anchor: Nanoseconds;
	readonly rate: bigint;
}): DriftLine | undefined => {
	const scaledRate = rate << FRACTION_SHIFT;
	if (BigInt.asIntN(64, scaledRate) !== scaledRate) return undefined;
	const factor = ONE + rate;
	const line = ((time << SHIFT) - anchor * factor) << FRACTION_SHIFT;
	const whole = splitNanoseconds(nanoseconds(line >> 64n));
	const behindSeconds = (whole.nanoseconds << 64n) | BigInt.asUintN(64, line);
	return {
		factor,
		scaledRate,
		seconds: whole.seconds,
		fraction: behindSeconds / NANOSECONDS_PER_SECOND,
		rest: behindSeconds % NANOSECONDS_PER_SECOND,
	};
};

/** Where each stands in a page, and what it is there. @param index of the slot */
export const fieldsOfLine = (line: DriftLine, index: number): readonly (readonly [offset: number, value: bigint])[] => {
	const start = PAGE.lines + index * LINE.size;
	return [
		[start + LINE.factor, line.factor],
		[start + LINE.scaledRate, line.scaledRate],
		[start + LINE.seconds, line.seconds],
		[start + LINE.fraction, line.fraction],
		[start + LINE.rest, line.rest],
	];
};
