/**
 * What can be read of the host's vvar page: its layout recognised by what stands in it (vdso/host-layout.ts). A layout of the fine
 * clocks counts only when `verifyFineClocks` has read them in it.
 */
import { ByteReader } from "../bytes.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { CLOCK_MODE_TSC, type HostCoarseClocks, type HostFineClocks } from "../vdso/host.ts";
import { baseOf, fieldsOf, findPlace, type Place, type Time } from "../vdso/host-layout.ts";
import * as linux from "./constants.ts";
import { hasFlag, readCpuinfo } from "./cpuinfo.ts";
import { rawSyscall } from "./ffi.ts";
import { verifyFineClocks } from "./fine-clocks-check.ts";
import { mappingOf } from "./maps.ts";
import { readText } from "./proc-file.ts";
import { VvarSnapshots } from "./vvar-snapshot.ts";

/** Seconds and nanoseconds of a clock, as the kernel's own system call tells: also inside of a run, whose filter knows the key. */
export const readClock = (id: number): Time => {
	const time = new BigInt64Array(2);
	rawSyscall(linux.SYS_clock_gettime, id, time, SYSCALL_KEY);
	return [time[0] ?? 0n, time[1] ?? 0n];
};

export interface HostClocks {
	readonly coarse: HostCoarseClocks | undefined;
	readonly fine: HostFineClocks | undefined;
}

export const UNKNOWN_CLOCKS: HostClocks = { coarse: undefined, fine: undefined };

/** The place where REALTIME_COARSE and MONOTONIC_COARSE are what the system call returns. */
const currentPlace = (page: ByteReader): Place | undefined =>
	findPlace(page, {
		realtime: readClock(linux.CLOCK_REALTIME_COARSE),
		monotonic: readClock(linux.CLOCK_MONOTONIC_COARSE),
	});

const coarseClocks = (place: Place): HostCoarseClocks => ({
	sequence: fieldsOf(place).sequence,
	realtime: baseOf(place, linux.CLOCK_REALTIME_COARSE),
	monotonic: baseOf(place, linux.CLOCK_MONOTONIC_COARSE),
	realtimeSeconds: place.bases,
});

/** Below it a difference of FINE_DELTA_BITS times the multiplier and a base of two seconds fit 64 bits. */
const MULTIPLIER_LIMIT = 1 << 30;
const SHIFT_MAX = 32;
/** Below it a counter that lies behind the last update is told from one that is ahead: the difference is 63 bits and a sign. */
const MAX_CYCLES_LIMIT = 1n << 62n;

/** The fine clocks of a place, when its numbers can be theirs. */
const fineClocks = (page: ByteReader, place: Place): HostFineClocks | undefined => {
	const { clockMode, ...fields } = fieldsOf(place);
	const [multiplier, shift] = [page.u32(fields.multiplier), page.u32(fields.shift)];
	const maxCycles = fields.maxCycles === undefined ? undefined : page.u64(fields.maxCycles);
	const isPossible =
		hasFlag(readCpuinfo(), "rdtscp") &&
		page.u32(clockMode) === CLOCK_MODE_TSC &&
		page.u64(fields.cycleLast) !== 0n &&
		multiplier > 0 &&
		multiplier < MULTIPLIER_LIMIT &&
		shift > 0 &&
		shift <= SHIFT_MAX &&
		(maxCycles === undefined ||
			(maxCycles > 0n && maxCycles < MAX_CYCLES_LIMIT && maxCycles * BigInt(multiplier) < 1n << 64n));
	return isPossible ? { ...fields, knownShift: shift, bases: place.bases } : undefined;
};

/** The same fields, counted from the host's image. */
const moved = <Fields extends Readonly<Record<keyof Fields, number | undefined>>>(
	fields: Fields,
	distance: number,
): Fields =>
	Object.fromEntries(
		Object.entries<number | undefined>(fields).map(([name, place]) => [
			name,
			place === undefined ? undefined : place + distance,
		]),
	) as Fields;

const movedFine = ({ knownShift, ...places }: HostFineClocks, distance: number): HostFineClocks => ({
	...moved(places, distance),
	knownShift,
});

/** The same clocks as a process of the other class sees them, whose image is further from the same page. @param by bytes */
export const movedClocks = ({ coarse, fine }: HostClocks, by: number): HostClocks => ({
	coarse: coarse && moved(coarse, by),
	fine: fine && movedFine(fine, by),
});

/** Ticks may come between the page and the system calls: so many snapshots are tried before giving up. */
const SNAPSHOTS = 5;

/** Finds what can be read of the page that belongs to the host's image at `imageAddress`. */
export const readHostClocks = (imageAddress: bigint): HostClocks => {
	const maps = readText("/proc/self/maps");
	const address = mappingOf(maps, "vvar")?.start;
	// Another image than the kernel's (that of a run around this one) is at another distance from the page in every process.
	if (address === undefined || mappingOf(maps, "vdso")?.start !== imageAddress) return UNKNOWN_CLOCKS;
	const distance = Number(address - imageAddress);
	const snapshots = new VvarSnapshots();
	try {
		for (let attempt = 0; attempt < SNAPSHOTS; attempt++) {
			const bytes = snapshots.take(address);
			if (bytes === undefined) return UNKNOWN_CLOCKS;
			const page = new ByteReader(bytes);
			const place = currentPlace(page);
			if (place === undefined) continue;
			const candidate = fineClocks(page, place);
			const fine = candidate === undefined ? undefined : movedFine(candidate, distance);
			return {
				coarse: moved(coarseClocks(place), distance),
				fine: fine !== undefined && verifyFineClocks(fine, imageAddress) ? fine : undefined,
			};
		}
		return UNKNOWN_CLOCKS;
	} finally {
		snapshots.close();
	}
};
