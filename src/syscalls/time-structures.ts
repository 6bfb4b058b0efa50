/**
 * Time structures of system calls, by layout: timespec and timeval are two words, itimerspec two timespecs (the interval first).
 *
 * Values are what the program has given, valid or not: the kernel's own checks are hasValidNanoseconds and those of the calls.
 */
import { ByteReader, setU32, setU64 } from "../bytes.ts";
import { joinNanoseconds, type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND, splitNanoseconds } from "../units.ts";
import type { TimeLayout } from "./time-calls.ts";

/** Seconds, and nanoseconds or microseconds as they stand in memory. */
export interface TimeWords {
	readonly seconds: bigint;
	readonly fraction: bigint;
}

export const wordSize = (layout: TimeLayout): 4 | 8 => (layout === "32" ? 4 : 8);
export const timespecSize = (layout: TimeLayout): number => 2 * wordSize(layout);

/** struct timezone: two ints in every layout. */
export const TIMEZONE_SIZE = 8;

const NARROW_MAX = 0x7fff_ffffn;
const LOW_HALF = 0xffff_ffffn;

export const readWord = (bytes: Uint8Array, offset: number, layout: TimeLayout): bigint =>
	layout === "32" ? BigInt(new ByteReader(bytes).i32(offset)) : new ByteReader(bytes).i64(offset);

export const writeWord = (bytes: Uint8Array, offset: number, layout: TimeLayout, value: bigint): void => {
	if (layout === "32") setU32(bytes, offset, Number(BigInt.asUintN(32, value)));
	else setU64(bytes, offset, BigInt.asUintN(64, value));
};

export const readTime = (bytes: Uint8Array, offset: number, layout: TimeLayout): TimeWords => {
	const fraction = readWord(bytes, offset + wordSize(layout), layout);
	return {
		seconds: readWord(bytes, offset, layout),
		fraction: layout === "64 on i386" ? fraction & LOW_HALF : fraction,
	};
};

export const writeTime = (bytes: Uint8Array, offset: number, layout: TimeLayout, time: TimeWords): void => {
	writeWord(bytes, offset, layout, time.seconds);
	writeWord(bytes, offset + wordSize(layout), layout, time.fraction);
};

export const timespecBytes = (layout: TimeLayout, time: Nanoseconds): Uint8Array => {
	const bytes = new Uint8Array(timespecSize(layout));
	const { seconds, nanoseconds: fraction } = splitNanoseconds(time);
	writeTime(bytes, 0, layout, { seconds, fraction });
	return bytes;
};

const NANOSECONDS_PER_MICROSECOND = 1000n;

export const timevalBytes = (layout: TimeLayout, time: Nanoseconds): Uint8Array => {
	const bytes = new Uint8Array(timespecSize(layout));
	const { seconds, nanoseconds: rest } = splitNanoseconds(time);
	writeTime(bytes, 0, layout, { seconds, fraction: rest / NANOSECONDS_PER_MICROSECOND });
	return bytes;
};

/** timespec64_valid but for the sign of the seconds: include/linux/time64.h, v6.18. */
export const hasValidNanoseconds = ({ fraction }: TimeWords): boolean =>
	fraction >= 0n && fraction < NANOSECONDS_PER_SECOND;

export const timeOf = ({ seconds, fraction }: TimeWords): Nanoseconds => joinNanoseconds(seconds, fraction);

/** The last second of ktime_t: a deadline from there on is never reached (timespec64_to_ktime saturates). */
const KTIME_SEC_MAX = 9_223_372_036n;

/** The nearest deadline that the kernel takes: not before 1970, not the zero that disarms a timer, and in range of the layout. */
export const deadlineWords = (layout: TimeLayout, time: Nanoseconds): TimeWords => {
	if (time < 1n) return { seconds: 0n, fraction: 1n };
	const last = layout === "32" ? NARROW_MAX : KTIME_SEC_MAX;
	const { seconds, nanoseconds: fraction } = splitNanoseconds(time);
	return seconds >= last ? { seconds: last, fraction: 0n } : { seconds, fraction };
};

/** Writes a deadline as a timespec that the kernel takes. */
export const writeDeadline = (bytes: Uint8Array, offset: number, layout: TimeLayout, time: Nanoseconds): void =>
	writeTime(bytes, offset, layout, deadlineWords(layout, time));

/** struct itimerspec. */
export const itimerspecBytes = (
	layout: TimeLayout,
	{ interval, value }: { readonly interval: Nanoseconds; readonly value: Nanoseconds },
): Uint8Array => {
	const bytes = new Uint8Array(2 * timespecSize(layout));
	bytes.set(timespecBytes(layout, interval), 0);
	bytes.set(timespecBytes(layout, value), timespecSize(layout));
	return bytes;
};

/** struct itimerspec whose value is a deadline that the kernel takes. */
export const deadlineItimerspecBytes = (
	layout: TimeLayout,
	{ interval, deadline }: { readonly interval: Nanoseconds; readonly deadline: Nanoseconds },
): Uint8Array => {
	const bytes = itimerspecBytes(layout, { interval, value: deadline });
	writeDeadline(bytes, timespecSize(layout), layout, deadline);
	return bytes;
};

/** A deadline that is never reached, as large as every layout can say it. */
export const NEVER: Nanoseconds = nanoseconds(KTIME_SEC_MAX * NANOSECONDS_PER_SECOND);
