/** Hosts that no machine needs to have: what buildImage is asked to make images for. */
import { layOutObservation, type Observation } from "../../src/observation/layout.ts";
import type { ImageRequest } from "../../src/vdso/image.ts";
import type { HostCoarseClocks, HostFineClocks, HostFunction, HostVdso } from "../../src/vdso/host.ts";
import { OWN_FUNCTIONS } from "../../src/vdso/host.ts";

export const hostFunction = (
	name: string,
	offset: number,
	{ binding = "global", version = "LINUX_2.6" }: Partial<Pick<HostFunction, "binding" | "version">> = {},
): HostFunction => ({ name, binding, version, offset });

/** Both names of a function, as the kernel exports them. */
export const hostPair = (name: string, offset: number): readonly HostFunction[] => [
	hostFunction(`__vdso_${name}`, offset),
	hostFunction(name, offset, { binding: "weak" }),
];

/** Offsets of the five functions in every synthetic host. */
export const OWN_OFFSETS: Readonly<Record<(typeof OWN_FUNCTIONS)[number], number>> = {
	clock_gettime: 0x800,
	gettimeofday: 0x900,
	time: 0xa00,
	getcpu: 0xb00,
	clock_getres: 0xc00,
};

export const OWN_PAIRS: readonly HostFunction[] = OWN_FUNCTIONS.flatMap((name) => hostPair(name, OWN_OFFSETS[name]));

/** Where Linux 6.18 keeps them: the page of the data starts 6 pages below the image. */
export const COARSE_6_18: HostCoarseClocks = {
	sequence: -0x6000,
	realtime: -0x6000 + 40 + 5 * 16,
	monotonic: -0x6000 + 40 + 6 * 16,
	realtimeSeconds: -0x6000 + 40,
};

export const FINE_6_18: HostFineClocks = {
	sequence: -0x6000,
	cycleLast: -0x6000 + 8,
	maxCycles: -0x6000 + 16,
	multiplier: -0x6000 + 32,
	shift: -0x6000 + 36,
	knownShift: 24,
	bases: -0x6000 + 40,
};

/** Linux 6.1: 4 pages below the image, 0x80 into the page, without max_cycles. */
export const FINE_6_1: HostFineClocks = {
	sequence: -0x3f80,
	cycleLast: -0x3f78,
	maxCycles: undefined,
	multiplier: -0x3f68,
	shift: -0x3f64,
	knownShift: 23,
	bases: -0x3f60,
};

/** Linux 7.2 and later. */
export const FULL_HOST: HostVdso = {
	bits: 64,
	functions: [
		...OWN_PAIRS,
		...hostPair("getrandom", 0xd00),
		hostFunction("__vdso_sgx_enter_enclave", 0xe00),
		hostFunction("__vdso_futex_robust_list64_try_unlock", 0xf00),
	],
	coarse: COARSE_6_18,
	fine: FINE_6_18,
	hasRdpid: true,
};

/** Name and host of every variant that the image must be right for. */
export const SYNTHETIC_HOSTS: readonly (readonly [string, HostVdso])[] = [
	["a full host", FULL_HOST],
	["a host without any vDSO", { bits: 64, functions: [], coarse: undefined, fine: undefined, hasRdpid: true }],
	[
		"a host without any vDSO on an old processor",
		{ bits: 64, functions: [], coarse: undefined, fine: undefined, hasRdpid: false },
	],
	["a host whose data pages were not recognised", { ...FULL_HOST, coarse: undefined, fine: undefined }],
	["a host whose fine clocks were not recognised", { ...FULL_HOST, fine: undefined }],
	["a host without RDPID", { ...FULL_HOST, hasRdpid: false }],
	[
		"a host without RDPID and recognised data pages",
		{ ...FULL_HOST, coarse: undefined, fine: undefined, hasRdpid: false },
	],
	[
		"a host with the four functions of Linux 3.0",
		{
			bits: 64,
			functions: OWN_PAIRS.filter(({ name }) => !name.endsWith("clock_getres")),
			coarse: { sequence: -0x3f80, realtime: -0x3f10, monotonic: -0x3f00, realtimeSeconds: -0x3f60 },
			fine: FINE_6_1,
			hasRdpid: false,
		},
	],
	[
		"a host that exports plain names only",
		{ ...FULL_HOST, functions: OWN_PAIRS.filter(({ name }) => !name.startsWith("__vdso_")) },
	],
	[
		"a host with unknown functions of versions of their own",
		{
			...FULL_HOST,
			functions: [
				...FULL_HOST.functions,
				hostFunction("__vdso_teleport", 0x1000, { version: "LINUX_9.1" }),
				hostFunction("__kernel_wormhole", 0x1010, { version: "LINUX_9.2", binding: "weak" }),
				hostFunction("__vdso_clone_world", 0x1020),
			],
		},
	],
	[
		"a host with several names for one function",
		{
			...FULL_HOST,
			functions: [
				...FULL_HOST.functions,
				...hostPair("teleport", 0x1000),
				hostFunction("__vdso_beam", 0x1000),
				hostFunction("__vdso_beam_up", 0x1000),
			],
		},
	],
];

/** What an image is asked for in a run that counts or traces, with the entries of the vsyscall page. */
export const observed = (observation: Observation): ImageRequest => ({
	hasEntryPage: true,
	copy: "none",
	observation: { layout: layOutObservation(observation, 2), hasFsBase: true },
});
