/**
 * The kernel's vvar page in words: its layout, what it counts by, and how old it is.
 *
 * In a time namespace the first page is one of the namespace: its sequence is 1 for ever, and its bases are the offsets of the
 * namespace. The kernel's own page is another one of the mapping then (kernel/time/namespace_vdso.c, v6.18).
 */
import { ByteReader } from "../bytes.ts";
import { type Nanoseconds, nanoseconds, joinNanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { CLOCK_MODE_OFFSET, CLOCK_MONOTONIC_COARSE } from "../vdso/host.ts";
import { baseOf, type CoarseTimes, fieldsOf, findPlace, type Place, PLACES } from "../vdso/host-layout.ts";

/** Copies of the pages, made one after the other. */
export interface VvarPages {
	/** In the order of their addresses; undefined for one that is not there. */
	readonly pages: readonly (Uint8Array | undefined)[];
	/** The coarse clocks of the host before the copies were made, without the offsets of a time namespace. */
	readonly coarse: CoarseTimes;
	/** CLOCK_MONOTONIC after the copies were made, without the offset of a time namespace. */
	readonly monotonic: Nanoseconds;
}

export interface VvarReport {
	/** Which of the pages has it. */
	readonly page: number;
	/** Where the structure stands in it. */
	readonly offset: number;
	readonly layout: string;
	readonly sequence: number;
	readonly clockMode: { readonly value: number; readonly name: string };
	readonly cycleLast: bigint;
	readonly maxCycles: bigint | undefined;
	readonly multiplier: number;
	readonly shift: number;
	/** Counts in a second, by the multiplier and the shift. */
	readonly cyclesPerSecond: bigint;
	/** Since the kernel has written the page. */
	readonly age: Nanoseconds;
	/** The first page is that of a time namespace. */
	readonly isInTimeNamespace: boolean;
}

/** include/vdso/clocksource.h and arch/x86/include/asm/vdso/clocksource.h, v6.18. */
const CLOCK_MODES: ReadonlyMap<number, string> = new Map([
	[0, "none: every read is a system call"],
	[1, "tsc"],
	[2, "pvclock"],
	[3, "hvclock"],
]);
const CLOCK_MODE_TIME_NAMESPACE = 0x7fff_ffff;

const layoutText = ({ data, bases }: Place): string => {
	if (data === 0) return "as of Linux 6.15 and later";
	return bases - data === 32 ? "as of Linux 5.3 to 6.9" : "as of Linux 6.10 to 6.14";
};

const isNamespacePage = (page: Uint8Array): boolean => {
	const reader = new ByteReader(page);
	return PLACES.some(
		({ data }) => reader.u32(data) === 1 && reader.u32(data + CLOCK_MODE_OFFSET) === CLOCK_MODE_TIME_NAMESPACE,
	);
};

/** @returns undefined when no page has a known layout, or the kernel has written meanwhile */
export const describeVvar = ({ pages, coarse, monotonic }: VvarPages): VvarReport | undefined => {
	const [first] = pages;
	for (const [page, bytes] of pages.entries()) {
		if (bytes === undefined) continue;
		const reader = new ByteReader(bytes);
		const place = findPlace(reader, coarse);
		if (place === undefined) continue;
		const fields = fieldsOf(place);
		const [mode, multiplier, shift] = [fields.clockMode, fields.multiplier, fields.shift].map((at) => reader.u32(at));
		const base = baseOf(place, CLOCK_MONOTONIC_COARSE);
		const written = joinNanoseconds(reader.u64(base), reader.u64(base + 8));
		return {
			page,
			offset: place.data,
			layout: layoutText(place),
			sequence: reader.u32(fields.sequence),
			clockMode: { value: mode ?? 0, name: CLOCK_MODES.get(mode ?? 0) ?? `unknown mode ${mode}` },
			cycleLast: reader.u64(fields.cycleLast),
			maxCycles: fields.maxCycles === undefined ? undefined : reader.u64(fields.maxCycles),
			multiplier: multiplier ?? 0,
			shift: shift ?? 0,
			cyclesPerSecond: rate(multiplier ?? 0, shift ?? 0),
			age: nanoseconds(monotonic - written),
			isInTimeNamespace: first !== undefined && isNamespacePage(first),
		};
	}
	return undefined;
};

const rate = (multiplier: number, shift: number): bigint =>
	multiplier === 0 ? 0n : (NANOSECONDS_PER_SECOND << BigInt(shift)) / BigInt(multiplier);
