/** What the image needs to know of the host's vDSO and processor. Plain data: found by linux/, injected in tests. */

/** A function that the host's vDSO exports. */
export interface HostFunction {
	readonly name: string;
	readonly binding: "global" | "weak";
	readonly version: string;
	/** Offset of its first instruction from the start of the host's image. */
	readonly offset: number;
}

/**
 * Where the host keeps its coarse clocks, in bytes from the start of the host's image (negative: the data pages lie below).
 *
 * `sequence` is a u32 that is odd while the kernel writes, and always 1 in a time namespace; each clock is a u64 of seconds and
 * a u64 of nanoseconds (lib/vdso/gettimeofday.c, v5.10 to v7.3).
 */
export interface HostCoarseClocks {
	readonly sequence: number;
	readonly realtime: number;
	readonly monotonic: number;
	/** Seconds of CLOCK_REALTIME at the last tick, which time() returns without a lock. */
	readonly realtimeSeconds: number;
}

/**
 * Where the host keeps what its clocks of full resolution are computed from, in bytes from the start of the host's image: struct
 * vdso_data, since v6.15 struct vdso_clock. Each clock has a base of seconds and of nanoseconds << shift (u64 each), by clock id.
 *
 * It holds for the clock mode VDSO_CLOCKMODE_TSC, which is looked at in every read.
 */
export interface HostFineClocks {
	readonly sequence: number;
	/** The counter at the last update, u64. */
	readonly cycleLast: number;
	/** The cycles after which 64 bits overflow, u64; undefined before Linux 6.10, which has none. */
	readonly maxCycles: number | undefined;
	/** u32 each. */
	readonly multiplier: number;
	readonly shift: number;
	/** The shift that stood there: code generated for it looks whether it still does. */
	readonly knownShift: number;
	/** The base of CLOCK_REALTIME, id 0. */
	readonly bases: number;
}

/** The clock mode, u32, stands right behind the sequence: include/vdso/datapage.h, v5.10 to v7.3. */
export const CLOCK_MODE_OFFSET = 4;
/** Its values: include/vdso/clocksource.h, arch/x86/include/asm/vdso/clocksource.h. */
export const CLOCK_MODE_NONE = 0;
export const CLOCK_MODE_TSC = 1;

/** Without `maxCycles`: a counter that is 2^32 or more ahead is left to the host; the multiplier is below 2^30 (linux/host-clocks.ts). */
export const FINE_DELTA_BITS = 32;

export interface HostVdso {
	/** The class of the processes that have it. */
	readonly bits: 32 | 64;
	readonly functions: readonly HostFunction[];
	/** Undefined when the layout was not recognised: the host's functions are called then. */
	readonly coarse: HostCoarseClocks | undefined;
	readonly fine: HostFineClocks | undefined;
	/** The processor has RDPID, so getcpu needs no call. */
	readonly hasRdpid: boolean;
}

/** Clock ids of clock_gettime(2): include/uapi/linux/time.h. */
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_MONOTONIC_COARSE = 6;
export const CLOCK_BOOTTIME = 7;
export const CLOCK_TAI = 11;

/** The clocks that the wall moves. */
export type WallClockId = typeof CLOCK_REALTIME | typeof CLOCK_TAI | typeof CLOCK_REALTIME_COARSE;
export const WALL_CLOCKS: readonly WallClockId[] = [CLOCK_REALTIME, CLOCK_TAI, CLOCK_REALTIME_COARSE];

export const isWallClock = (id: number): id is WallClockId => WALL_CLOCKS.some((clock) => clock === id);

/** What clock_gettime of an image answers itself, in the order of how often programs ask for them. */
export const SERVED_CLOCKS: readonly number[] = [
	CLOCK_REALTIME,
	CLOCK_MONOTONIC,
	CLOCK_MONOTONIC_COARSE,
	CLOCK_REALTIME_COARSE,
	CLOCK_BOOTTIME,
	CLOCK_TAI,
];

/** Numbers of the 64-bit system calls behind the functions: arch/x86/entry/syscalls/syscall_64.tbl. */
export const SYSCALLS = { clock_gettime: 228, gettimeofday: 96, time: 201, getcpu: 309, clock_getres: 229 } as const;

/** Numbers of the 32-bit ones: arch/x86/entry/syscalls/syscall_32.tbl. */
export const SYSCALLS_I386 = {
	clock_gettime: 265,
	clock_gettime64: 403,
	gettimeofday: 78,
	time: 13,
	getcpu: 318,
} as const;

/** The functions that every 64-bit image of ours exports. */
export type OwnFunction = keyof typeof SYSCALLS;
export const OWN_FUNCTIONS: readonly OwnFunction[] = [
	"clock_gettime",
	"gettimeofday",
	"time",
	"getcpu",
	"clock_getres",
];

/** The functions that every 32-bit image of ours exports, besides those of the kernel's entry and of signals. */
export type OwnFunctionI386 = keyof typeof SYSCALLS_I386;
export const OWN_FUNCTIONS_I386: readonly OwnFunctionI386[] = [
	"clock_gettime",
	"clock_gettime64",
	"gettimeofday",
	"time",
	"getcpu",
];

/** What only i386 has besides: the entry of the kernel, and where signal handlers return to. */
export const KERNEL_VSYSCALL = "__kernel_vsyscall";
/** Where it begins, from the start of the image; undefined where there is none. */
export const kernelVsyscallOffset = ({ functions }: Pick<HostVdso, "functions">): number | undefined =>
	functions.find(({ name }) => name === KERNEL_VSYSCALL)?.offset;
export const KERNEL_SIGRETURNS: readonly string[] = ["__kernel_sigreturn", "__kernel_rt_sigreturn"];
