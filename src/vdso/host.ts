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

export interface HostVdso {
	readonly functions: readonly HostFunction[];
	/** Undefined when the layout was not recognised: the host's functions are called then. */
	readonly coarse: HostCoarseClocks | undefined;
	/** The processor has RDPID, so getcpu needs no call. */
	readonly hasRdpid: boolean;
}

/** Clock ids of clock_gettime(2): include/uapi/linux/time.h. */
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_MONOTONIC_COARSE = 6;
export const CLOCK_TAI = 11;

/** Numbers of the 64-bit system calls behind the functions: arch/x86/entry/syscalls/syscall_64.tbl. */
export const SYSCALLS = { clock_gettime: 228, gettimeofday: 96, time: 201, getcpu: 309, clock_getres: 229 } as const;

/** The functions that every image of ours exports. */
export type OwnFunction = keyof typeof SYSCALLS;
export const OWN_FUNCTIONS: readonly OwnFunction[] = [
	"clock_gettime",
	"gettimeofday",
	"time",
	"getcpu",
	"clock_getres",
];
