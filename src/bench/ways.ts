/**
 * The ways to ask for the time, in groups that are measured together, each with the programs that try them.
 *
 * Every program measures the host's own vDSO too, in turn with the others, so that ratios are of one process at one time.
 */
import type { RequestedMode } from "../vsyscall/mode.ts";
import { MODES } from "../vsyscall/mode.ts";
import type { CallKind, TimeFunction } from "./protocol.ts";

/** What a loop calls: nothing that has an address, a function of the host's image or of the one that the program was given, ... */
export type Target =
	| { readonly kind: "none" }
	| { readonly kind: "symbol"; readonly of: "host" | "process"; readonly name: string }
	/** `__kernel_vsyscall`, by AT_SYSINFO. */
	| { readonly kind: "entry" }
	| { readonly kind: "import"; readonly index: number };

export interface Way {
	/** Stable, unique in all groups. */
	readonly id: string;
	readonly name: string;
	readonly kind: CallKind;
	readonly target: Target;
}

/** A measuring program: how it is started, and what it tries. */
export interface Trial {
	readonly bits: 32 | 64;
	readonly start:
		| { readonly kind: "native" }
		| { readonly kind: "run"; readonly flags: readonly string[] }
		| { readonly kind: "faketime" };
	readonly ways: readonly Way[];
}

export interface Group {
	readonly id: string;
	readonly title: string;
	readonly function: TimeFunction;
	/** The host's vDSO: the ratio 1. */
	readonly yardstick: Way;
	readonly trials: readonly Trial[];
}

const NONE: Target = { kind: "none" };

/** Every clock of a run is ten years ahead, so that no answer can be the host's. */
const CLOCK = "+10y";
const clock = (spec: string, ...flags: readonly string[]): Trial["start"] => ({
	kind: "run",
	flags: ["--clock", spec, ...flags],
});

const hostVdso = (id: string, symbol: string): Way => ({
	id,
	name: "host's vDSO",
	kind: "function",
	target: { kind: "symbol", of: "host", name: symbol },
});

const image = (id: string, name: string, symbol = "__vdso_clock_gettime"): Way => ({
	id,
	name,
	kind: "function",
	target: { kind: "symbol", of: "process", name: symbol },
});

const CALLS: Group = {
	id: "clock_gettime",
	title: "clock_gettime(CLOCK_REALTIME)",
	function: "clock_gettime",
	yardstick: hostVdso("vdso", "__vdso_clock_gettime"),
	trials: [
		{
			bits: 64,
			start: { kind: "native" },
			ways: [
				{ id: "syscall", name: "system call", kind: "syscall", target: NONE },
				{ id: "int80", name: "system call by int 0x80", kind: "int80", target: NONE },
			],
		},
		{
			bits: 64,
			start: clock(CLOCK),
			ways: [
				image("image-offset", "our image, offset"),
				{ id: "syscall-in-run", name: "system call in a run", kind: "syscall", target: NONE },
			],
		},
		{ bits: 64, start: clock(`${CLOCK} frozen`), ways: [image("image-frozen", "our image, frozen")] },
		{ bits: 64, start: clock(CLOCK, "--reads=relaxed"), ways: [image("image-relaxed", "our image, relaxed")] },
		{ bits: 64, start: clock(CLOCK, "--reads=coarse"), ways: [image("image-coarse", "our image, coarse")] },
		{
			bits: 64,
			start: { kind: "faketime" },
			ways: [{ id: "libfaketime", name: "libfaketime", kind: "function", target: { kind: "import", index: 0 } }],
		},
	],
};

const pageTrials = (mode: RequestedMode): readonly Trial[] => {
	const flags = [`--vsyscall=${mode}`];
	const call = { kind: "page", target: NONE } as const;
	const patched: Trial = {
		bits: 64,
		start: clock(CLOCK, ...flags),
		ways: [{ id: `page-${mode}`, name: mode === "none" ? mode : `${mode}, patched`, ...call }],
	};
	if (mode === "none") return [patched];
	const trapped: Trial = {
		bits: 64,
		start: clock(CLOCK, ...flags, "--no-patch"),
		ways: [{ id: `page-${mode}-trapped`, name: `${mode}, not patched`, ...call }],
	};
	return [trapped, patched];
};

const PAGE: Group = {
	id: "vsyscall-page",
	title: "vsyscall page: gettimeofday",
	function: "gettimeofday",
	yardstick: hostVdso("vdso-gettimeofday", "__vdso_gettimeofday"),
	trials: [
		{
			bits: 64,
			start: { kind: "native" },
			ways: [{ id: "page-host", name: "host's page", kind: "page", target: NONE }],
		},
		...MODES.flatMap(pageTrials),
	],
};

const entry = (id: string, name: string): Way => ({ id, name, kind: "entry", target: { kind: "entry" } });

const NARROW: Group = {
	id: "32-bit",
	title: "32-bit programs: clock_gettime64(CLOCK_REALTIME), __kernel_vsyscall",
	function: "clock_gettime",
	yardstick: hostVdso("vdso-32", "__vdso_clock_gettime64"),
	trials: [
		{
			bits: 32,
			start: { kind: "native" },
			ways: [
				entry("entry", "host's entry"),
				{ id: "int80-32", name: "system call by int 0x80", kind: "int80", target: NONE },
			],
		},
		{
			bits: 32,
			start: clock(CLOCK),
			ways: [image("image-32", "our image, offset", "__vdso_clock_gettime64"), entry("entry-in-run", "our entry")],
		},
	],
};

export const GROUPS: readonly Group[] = [CALLS, PAGE, NARROW];
