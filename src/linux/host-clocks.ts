/**
 * The layout of the host's vvar page, recognised by what stands in it and never by the kernel's version.
 *
 * A clock mode that exists, and behind it an array of bases in which the clocks are what the system call returns. Known places of
 * the structure: 0x80 (3.15 to 6.14) and 0 (6.15 and later); of the array in it: 32 and, with max_cycles, 40 (6.10 and later). A
 * layout of the fine clocks counts only when `verifyFineClocks` has read them in it.
 */
import { ByteReader } from "../bytes.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { CLOCK_MODE_OFFSET, CLOCK_MODE_TSC, type HostCoarseClocks, type HostFineClocks } from "../vdso/host.ts";
import { BASE_STRIDE } from "../vdso/host-page.ts";
import * as linux from "./constants.ts";
import { hasFlag, readCpuinfo } from "./cpuinfo.ts";
import { rawSyscall, syscallResult } from "./ffi.ts";
import { verifyFineClocks } from "./fine-clocks-check.ts";
import { mappingOf } from "./maps.ts";
import { createMemoryFile } from "./memfd.ts";
import { readText } from "./proc-file.ts";

const PAGE_SIZE = 4096;
const CLOCK_MODE_MAX = 3;

type Time = readonly [seconds: bigint, nanoseconds: bigint];

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

/** A place of the structure in the page, and of the array of bases. */
interface Place {
	readonly data: number;
	readonly bases: number;
}

const PLACES: readonly Place[] = [0, 0x80].flatMap((data) => [32, 40].map((array) => ({ data, bases: data + array })));

/** The place where REALTIME_COARSE and MONOTONIC_COARSE are what the system call returns, to the nanosecond. */
const findPlace = (page: ByteReader): Place | undefined => {
	const realtime = readClock(linux.CLOCK_REALTIME_COARSE);
	const monotonic = readClock(linux.CLOCK_MONOTONIC_COARSE);
	const shows = (offset: number, [seconds, nanoseconds]: Time): boolean =>
		page.u64(offset) === seconds && page.u64(offset + 8) === nanoseconds;
	return PLACES.find(
		({ data, bases }) =>
			(page.u32(data) & 1) === 0 &&
			page.u32(data + CLOCK_MODE_OFFSET) <= CLOCK_MODE_MAX &&
			shows(bases + linux.CLOCK_REALTIME_COARSE * BASE_STRIDE, realtime) &&
			shows(bases + linux.CLOCK_MONOTONIC_COARSE * BASE_STRIDE, monotonic) &&
			page.u64(bases) === realtime[0],
	);
};

const coarseClocks = ({ data, bases }: Place): HostCoarseClocks => ({
	sequence: data,
	realtime: bases + linux.CLOCK_REALTIME_COARSE * BASE_STRIDE,
	monotonic: bases + linux.CLOCK_MONOTONIC_COARSE * BASE_STRIDE,
	realtimeSeconds: bases,
});

/** Below it a difference of FINE_DELTA_BITS times the multiplier and a base of two seconds fit 64 bits. */
const MULTIPLIER_LIMIT = 1 << 30;
const SHIFT_MAX = 32;
/** Below it a counter that lies behind the last update is told from one that is ahead: the difference is 63 bits and a sign. */
const MAX_CYCLES_LIMIT = 1n << 62n;

/** The fine clocks of a place, when its numbers can be theirs: multiplier and shift stand in front of the array. */
const fineClocks = (page: ByteReader, { data, bases }: Place): HostFineClocks | undefined => {
	const [multiplier, shift] = [page.u32(bases - 8), page.u32(bases - 4)];
	const hasMaxCycles = bases - data === 40;
	const maxCycles = page.u64(data + 16);
	const isPossible =
		hasFlag(readCpuinfo(), "rdtscp") &&
		page.u32(data + CLOCK_MODE_OFFSET) === CLOCK_MODE_TSC &&
		page.u64(data + 8) !== 0n &&
		multiplier > 0 &&
		multiplier < MULTIPLIER_LIMIT &&
		shift > 0 &&
		shift <= SHIFT_MAX &&
		(!hasMaxCycles || (maxCycles > 0n && maxCycles < MAX_CYCLES_LIMIT && maxCycles * BigInt(multiplier) < 1n << 64n));
	if (!isPossible) return undefined;
	return {
		sequence: data,
		cycleLast: data + 8,
		maxCycles: hasMaxCycles ? data + 16 : undefined,
		multiplier: bases - 8,
		shift: bases - 4,
		bases,
	};
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

/** The same clocks as a process of the other class sees them, whose image is further from the same page. @param by bytes */
export const movedClocks = ({ coarse, fine }: HostClocks, by: number): HostClocks => ({
	coarse: coarse && moved(coarse, by),
	fine: fine && moved(fine, by),
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
	const fd = createMemoryFile();
	try {
		for (let attempt = 0; attempt < SNAPSHOTS; attempt++) {
			// The kernel copies: a page that is not there gives EFAULT where a load of ours would be killed by SIGBUS.
			if (syscallResult(linux.SYS_pwrite64, fd, address, PAGE_SIZE, 0) !== PAGE_SIZE) return UNKNOWN_CLOCKS;
			const page = new ByteReader(readBack(fd));
			const place = findPlace(page);
			if (place === undefined) continue;
			const candidate = fineClocks(page, place);
			const fine = candidate === undefined ? undefined : moved(candidate, distance);
			return {
				coarse: moved(coarseClocks(place), distance),
				fine: fine !== undefined && verifyFineClocks(fine, imageAddress) ? fine : undefined,
			};
		}
		return UNKNOWN_CLOCKS;
	} finally {
		syscallResult(linux.SYS_close, fd);
	}
};

const readBack = (fd: number): Uint8Array => {
	const bytes = new Uint8Array(PAGE_SIZE);
	rawSyscall(linux.SYS_pread64, fd, bytes, PAGE_SIZE, 0);
	return bytes;
};
