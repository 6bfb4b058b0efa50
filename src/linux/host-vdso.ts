/**
 * The host's vDSO and vvar page, read from our own process: every process of the same class has the same image.
 *
 * No file is needed for it: getauxval gives the address. Only the place of the data pages is taken from /proc/self/maps; where
 * that is missing, the image calls the host's functions instead of reading the clocks itself.
 */
import * as elf from "../elf/constants.ts";
import { openElf, readProgramHeaders } from "../elf/headers.ts";
import { readElf } from "../elf/reader.ts";
import type { HostFunction, HostVdso } from "../vdso/host.ts";
import { joinNanoseconds, type Nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import * as linux from "./constants.ts";
import { ownAuxv, viewMemory } from "./ffi.ts";
import { readClock, readHostClocks } from "./host-clocks.ts";
import { readText } from "./proc-file.ts";

const PAGE_SIZE = 4096;
/** The program headers of a vDSO follow its ELF header. */
const HEADERS_READ = 4096;

export interface HostImage {
	readonly vdso: HostVdso;
	/** The bytes of the host's image, whole pages; empty when the host gives no vDSO. */
	readonly bytes: Uint8Array;
}

/** Bytes of address space of the image that is mapped at `address`. */
const imageLength = (address: bigint): number => {
	const end = readProgramHeaders(openElf(viewMemory(address, HEADERS_READ).slice()))
		.filter(({ type }) => type === elf.PT_LOAD)
		.reduce((length, segment) => Math.max(length, Number(segment.virtualAddress + segment.memorySize)), 0);
	return Math.ceil(end / PAGE_SIZE) * PAGE_SIZE;
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

const hasRdpid = (): boolean => /^flags\s*:.*\brdpid\b/m.test(readText("/proc/cpuinfo"));

/** Looks at the host once. */
export const readHostImage = (): HostImage => {
	const address = ownAuxv(linux.AT_SYSINFO_EHDR);
	if (address === 0n) {
		return {
			vdso: { functions: [], coarse: undefined, fine: undefined, hasRdpid: hasRdpid() },
			bytes: new Uint8Array(0),
		};
	}
	const bytes = viewMemory(address, imageLength(address)).slice();
	return { vdso: { functions: functionsOf(bytes), ...readHostClocks(address), hasRdpid: hasRdpid() }, bytes };
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
