/**
 * The layout of the host's vvar page, recognised by what stands in it and never by the kernel's version.
 *
 * A clock mode that exists, and behind it an array of bases in which the clocks are what the system call returns. Known places of
 * the structure: 0x80 (3.15 to 6.14) and 0 (6.15 and later); of the array in it: 32 and, with max_cycles, 40 (6.10 and later).
 * notes/linux/vvar-page.md has the table.
 */
import type { ByteReader } from "../bytes.ts";
import { CLOCK_MODE_OFFSET, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_COARSE } from "./host.ts";
import { BASE_STRIDE } from "./host-page.ts";

export type Time = readonly [seconds: bigint, nanoseconds: bigint];

/** A place of the structure in the page, and of the array of bases. */
export interface Place {
	readonly data: number;
	readonly bases: number;
}

const CLOCK_MODE_MAX = 3;
/** From the structure to the array, with max_cycles between them. */
const BASES_BEHIND_MAX_CYCLES = 40;

export const PLACES: readonly Place[] = [0, 0x80].flatMap((data) =>
	[32, BASES_BEHIND_MAX_CYCLES].map((array) => ({ data, bases: data + array })),
);

/** Where the base of a clock stands: a u64 of seconds, and one of nanoseconds. */
export const baseOf = ({ bases }: Place, clock: number): number => bases + clock * BASE_STRIDE;

/** Fields in bytes from the start of the page; `maxCycles` undefined before Linux 6.10, which has none. */
export const fieldsOf = ({
	data,
	bases,
}: Place): {
	readonly sequence: number;
	readonly clockMode: number;
	readonly cycleLast: number;
	readonly maxCycles: number | undefined;
	readonly multiplier: number;
	readonly shift: number;
} => ({
	sequence: data,
	clockMode: data + CLOCK_MODE_OFFSET,
	cycleLast: data + 8,
	maxCycles: bases - data === BASES_BEHIND_MAX_CYCLES ? data + 16 : undefined,
	// Both stand in front of the array.
	multiplier: bases - 8,
	shift: bases - 4,
});

/** The coarse clocks as the system call tells them. */
export interface CoarseTimes {
	readonly realtime: Time;
	readonly monotonic: Time;
}

/** The place where the coarse clocks are these, to the nanosecond. */
export const findPlace = (page: ByteReader, { realtime, monotonic }: CoarseTimes): Place | undefined => {
	const shows = (offset: number, [seconds, nanoseconds]: Time): boolean =>
		page.u64(offset) === seconds && page.u64(offset + 8) === nanoseconds;
	return PLACES.find(
		(place) =>
			(page.u32(place.data) & 1) === 0 &&
			page.u32(place.data + CLOCK_MODE_OFFSET) <= CLOCK_MODE_MAX &&
			shows(baseOf(place, CLOCK_REALTIME_COARSE), realtime) &&
			shows(baseOf(place, CLOCK_MONOTONIC_COARSE), monotonic) &&
			page.u64(place.bases) === realtime[0],
	);
};
