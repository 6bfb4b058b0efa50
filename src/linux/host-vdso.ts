/**
 * The host's vDSO and vvar page, read from our own process: every process of the same class has the same image.
 *
 * No file is needed for it: getauxval gives the address. Only the place of the data pages is taken from /proc/self/maps; where
 * that is missing, the image calls the host's functions instead of reading the coarse clocks itself.
 */
import { readFileSync } from "node:fs";
import { ByteReader } from "../bytes.ts";
import * as elf from "../elf/constants.ts";
import { readElf } from "../elf/reader.ts";
import type { HostCoarseClocks, HostFunction, HostVdso } from "../vdso/host.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { joinNanoseconds, type Nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import * as linux from "./constants.ts";
import { ownAuxv, rawSyscall, syscallResult, viewMemory } from "./ffi.ts";
import { hostVdsoRange } from "./maps.ts";
import { createMemoryFile } from "./memfd.ts";
import { imageLength, outerPage } from "./outer-page.ts";

const PAGE_SIZE = 4096;

export interface HostImage {
	readonly vdso: HostVdso;
	/** The bytes of the host's image, whole pages; empty when the host gives no vDSO. */
	readonly bytes: Uint8Array;
}

const readText = (path: string): string => {
	try {
		return readFileSync(path, "latin1");
	} catch {
		return "";
	}
};

const functionsOf = (bytes: Uint8Array): readonly HostFunction[] => {
	const functions: HostFunction[] = [];
	for (const { name, type, binding, sectionIndex, value, version } of readElf(bytes).symbols) {
		if (type !== elf.STT_FUNC || sectionIndex === elf.SHN_UNDEF || version === undefined) continue;
		if (binding !== elf.STB_GLOBAL && binding !== elf.STB_WEAK) continue;
		functions.push({ name, binding: binding === elf.STB_GLOBAL ? "global" : "weak", version, offset: Number(value) });
	}
	return functions;
};

/** Seconds and nanoseconds of a clock, as the kernel's own system call tells: also inside of a run, whose filter knows the key. */
const readClock = (id: number): readonly [bigint, bigint] => {
	const time = new BigInt64Array(2);
	rawSyscall(linux.SYS_clock_gettime, id, time, SYSCALL_KEY);
	return [time[0] ?? 0n, time[1] ?? 0n];
};

const CLOCK_MODE_MAX = 3;
/** Stride of the bases of two clocks, by clock id (struct vdso_timestamp). */
const BASE_STRIDE = 16;

/**
 * Finds the coarse clocks in the first page of [vvar] by what they say, not by the kernel's version: a clock mode that exists,
 * and behind it an array of bases in which REALTIME_COARSE and MONOTONIC_COARSE are to the nanosecond what the system call
 * returns. Known places of the structure: 0x80 (3.15 to 6.14) and 0 (6.15 and later); of the array in it: 32 and, with
 * max_cycles, 40 (6.10 and later).
 */
const findCoarseClocks = (page: ByteReader, dataOffset: number): HostCoarseClocks | undefined => {
	const realtime = readClock(linux.CLOCK_REALTIME_COARSE);
	const monotonic = readClock(linux.CLOCK_MONOTONIC_COARSE);
	const shows = (offset: number, [seconds, nanoseconds]: readonly [bigint, bigint]): boolean =>
		page.u64(offset) === seconds && page.u64(offset + 8) === nanoseconds;
	for (const data of [0, 0x80]) {
		if ((page.u32(data) & 1) !== 0 || page.u32(data + 4) > CLOCK_MODE_MAX) continue;
		for (const bases of [data + 32, data + 40]) {
			const realtimeCoarse = bases + linux.CLOCK_REALTIME_COARSE * BASE_STRIDE;
			const monotonicCoarse = bases + linux.CLOCK_MONOTONIC_COARSE * BASE_STRIDE;
			if (!shows(realtimeCoarse, realtime) || !shows(monotonicCoarse, monotonic)) continue;
			if (page.u64(bases) !== realtime[0]) continue;
			return {
				sequence: dataOffset + data,
				realtime: dataOffset + realtimeCoarse,
				monotonic: dataOffset + monotonicCoarse,
				realtimeSeconds: dataOffset + bases,
			};
		}
	}
	return undefined;
};

/** Ticks may come between the page and the system calls: so many snapshots are tried before giving up. */
const SNAPSHOTS = 5;

const coarseClocks = (imageAddress: bigint): HostCoarseClocks | undefined => {
	const line = /^([0-9a-f]+)-[0-9a-f]+ r--p .*\[vvar\]$/m.exec(readText("/proc/self/maps"));
	if (line?.[1] === undefined) return undefined;
	const address = BigInt(`0x${line[1]}`);
	const fd = createMemoryFile();
	try {
		const page = new Uint8Array(PAGE_SIZE);
		for (let attempt = 0; attempt < SNAPSHOTS; attempt++) {
			// The kernel copies: a page that is not there gives EFAULT where a load of ours would be killed by SIGBUS.
			if (syscallResult(linux.SYS_pwrite64, fd, address, PAGE_SIZE, 0) !== PAGE_SIZE) return undefined;
			page.set(readBack(fd));
			const found = findCoarseClocks(new ByteReader(page), Number(address - imageAddress));
			if (found !== undefined) return found;
		}
		return undefined;
	} finally {
		syscallResult(linux.SYS_close, fd);
	}
};

const readBack = (fd: number): Uint8Array => {
	const bytes = new Uint8Array(PAGE_SIZE);
	rawSyscall(linux.SYS_pread64, fd, bytes, PAGE_SIZE, 0);
	return bytes;
};

const hasRdpid = (): boolean => /^flags\s*:.*\brdpid\b/m.test(readText("/proc/cpuinfo"));

/** Where the kernel's vDSO is, in our own memory; 0 when there is none. Inside of a run, the auxiliary vector leads to that run's. */
const kernelImage = (): bigint => {
	if (outerPage() === undefined) return ownAuxv(linux.AT_SYSINFO_EHDR);
	return hostVdsoRange(process.pid)?.start ?? 0n;
};

/** Looks at the host once. */
export const readHostImage = (): HostImage => {
	const address = kernelImage();
	if (address === 0n) {
		return { vdso: { functions: [], coarse: undefined, hasRdpid: hasRdpid() }, bytes: new Uint8Array(0) };
	}
	const bytes = viewMemory(address, imageLength(address)).slice();
	return { vdso: { functions: functionsOf(bytes), coarse: coarseClocks(address), hasRdpid: hasRdpid() }, bytes };
};

/** Bytes that a stretch of zeros must be away from the last byte of anything else. */
const MARGIN = 16;

/**
 * Offset of `length` zeros behind everything else in the host's image: room for code that is not the kernel's.
 *
 * @returns undefined when the image fills its pages.
 */
export const zeroTail = (image: Uint8Array, length: number): number | undefined => {
	let end = image.length;
	while (end > 0 && image[end - 1] === 0) end--;
	const start = (end + MARGIN + 15) & ~15;
	return end > 0 && start + length <= image.length ? start : undefined;
};

/** TAI minus UTC of the host, whole seconds: 0 where nobody has told the kernel. */
export const readTaiOffset = (): bigint => {
	const utc = joinNanoseconds(...readClock(linux.CLOCK_REALTIME));
	const tai = joinNanoseconds(...readClock(linux.CLOCK_TAI));
	// The two reads are some microseconds apart, so the difference is rounded.
	return (tai - utc + NANOSECONDS_PER_SECOND / 2n) / NANOSECONDS_PER_SECOND;
};

/** The host's CLOCK_REALTIME in nanoseconds, before any transformation of ours. */
export const hostRealtime = (): Nanoseconds => {
	return joinNanoseconds(...readClock(linux.CLOCK_REALTIME));
};

/** The host's CLOCK_REALTIME_COARSE in nanoseconds: what its time() shows. */
export const hostCoarseRealtime = (): Nanoseconds => joinNanoseconds(...readClock(linux.CLOCK_REALTIME_COARSE));

/** The host's CLOCK_MONOTONIC in nanoseconds. */
export const hostMonotonic = (): Nanoseconds => joinNanoseconds(...readClock(linux.CLOCK_MONOTONIC));
