/**
 * The host's vDSO and vvar page: every process of the same class has the same image.
 *
 * That of 64-bit processes is read from our own. No file is needed for it: getauxval gives the address. Only the place of the data pages
 * is taken from /proc/self/maps; where that is missing, the image calls the host's functions instead of reading the clocks itself. That
 * of 32-bit processes is read from one of them; the data page is the same one, at another distance.
 */
import * as elf from "../elf/constants.ts";
import { ownPid } from "./own-pid.ts";
import { readElf } from "../elf/reader.ts";
import type { HostFunction, HostVdso } from "../vdso/host.ts";
import { TIMEZONE_SIZE } from "../syscalls/time-structures.ts";
import { joinNanoseconds, type Nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import * as linux from "./constants.ts";
import { hasFlag, readCpuinfo } from "./cpuinfo.ts";
import { ownAuxv, syscallResult, viewMemory } from "./ffi.ts";
import { movedClocks, readClock, readHostClocks, UNKNOWN_CLOCKS } from "./host-clocks.ts";
import { hostDataDistance, hostVdsoRange } from "./maps.ts";
import { HEADERS_READ, imageLength, lengthOfImage, outerPage } from "./outer-page.ts";
import { readMemory } from "./remote-memory.ts";
import { SyscallError } from "./syscall-error.ts";

export interface HostImage {
	readonly vdso: HostVdso;
	/** The bytes of the host's image, whole pages; empty when the host gives no vDSO. */
	readonly bytes: Uint8Array;
	/** How far its data pages are from it, in bytes; undefined when that was not asked for or is not known. */
	readonly dataDistance?: number | undefined;
}

const functionsOf = (bytes: Uint8Array): readonly HostFunction[] => {
	const functions: HostFunction[] = [];
	for (const { name, type, binding, sectionIndex, value, version } of readElf(bytes).symbols) {
		if (type !== elf.STT_FUNC || sectionIndex === elf.SHN_UNDEF || version === undefined) continue;
		if (binding !== elf.STB_GLOBAL && binding !== elf.STB_WEAK) continue;
		functions.push({ name, binding: binding === elf.STB_GLOBAL ? "global" : "weak", version, offset: Number(value) });
	}
	return functions;
};

const hasRdpid = (): boolean => hasFlag(readCpuinfo(), "rdpid");

/** Where the kernel's vDSO is, in our own memory; 0 when there is none. Inside of a run, the auxiliary vector leads to that run's. */
const kernelImage = (): bigint => {
	if (outerPage() === undefined) return ownAuxv(linux.AT_SYSINFO_EHDR);
	return hostVdsoRange(ownPid())?.start ?? 0n;
};

/** Looks at the host once. */
export const readHostImage = (): HostImage => {
	const address = kernelImage();
	if (address === 0n) return none(64);
	const bytes = viewMemory(address, imageLength(address)).slice();
	return { vdso: { bits: 64, functions: functionsOf(bytes), ...readHostClocks(address), hasRdpid: hasRdpid() }, bytes };
};

/** The image of no vDSO. */
const none = (bits: HostVdso["bits"]): HostImage => ({
	vdso: { bits, functions: [], ...UNKNOWN_CLOCKS, hasRdpid: hasRdpid() },
	bytes: new Uint8Array(0),
});

/**
 * Looks at the host in a stopped 32-bit process.
 *
 * @param address of the host's image there; 0 for none
 * @param own what `readHostImage` says
 * @throws {VsyscallError} ERR_VSYSCALL_ELF when there is no image at the address. {SyscallError} when it cannot be read.
 */
export const readHostImageOf = (tid: number, address: bigint, own: HostImage): HostImage => {
	if (address === 0n) return none(32);
	const read = (length: number): Uint8Array => {
		const bytes = new Uint8Array(length);
		const count = readMemory(tid, address, bytes);
		if (count !== length) throw new SyscallError("process_vm_readv of the host's vDSO", Math.max(-count, 0));
		return bytes;
	};
	const bytes = read(lengthOfImage(read(HEADERS_READ)));
	const [distance, ownDistance] = [hostDataDistance(tid), hostDataDistance(ownPid())];
	const isKnown = distance !== undefined && ownDistance !== undefined;
	const clocks = isKnown ? movedClocks(own.vdso, distance - ownDistance) : UNKNOWN_CLOCKS;
	return {
		vdso: { bits: 32, functions: functionsOf(bytes), ...clocks, hasRdpid: hasRdpid() },
		bytes,
		dataDistance: distance,
	};
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

/** The host's struct timezone, which no clock of ours moves. */
export const hostTimezone = (): Uint8Array => {
	const bytes = new Uint8Array(TIMEZONE_SIZE);
	syscallResult(linux.SYS_gettimeofday, 0, bytes);
	return bytes;
};
