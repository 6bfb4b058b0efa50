/**
 * What is counted and traced in the images: each function by clock id, the entries of the vsyscall page, and the functions that are
 * forwarded to the host. A call is known by its number, which is also that of its counter. Those of 32-bit programs have numbers of their
 * own, so that one table serves all processes of a run.
 */
import type { HostFunction } from "../vdso/host.ts";
import { VSYSCALLS } from "../vsyscall/page.ts";
import { COUNTERS } from "./layout.ts";

/** By which way a call came. */
export type Way = "vdso" | "page" | "syscall";

export interface Call {
	readonly way: Way;
	/** The class of the code: that of the program, or of the system call. */
	readonly bits: 32 | 64;
	/** "clock_gettime" */
	readonly name: string;
	/** The clock id; "other" for those beyond CLOCK_TAI; undefined for functions that have none. */
	readonly clock?: number | "other" | undefined;
}

/** Ids 0 to 11 have a counter each. */
export const CLOCK_IDS = 12;
const PER_CLOCK = CLOCK_IDS + 1;

const CLOCK_FUNCTIONS = {
	64: ["clock_gettime", "clock_getres"],
	32: ["clock_gettime", "clock_gettime64", "clock_getres"],
} as const;

/** The first number of each function of 64-bit programs; those of clocks have one for each id, and one for all others. */
export const CALL: Readonly<
	Record<"clock_gettime" | "clock_getres" | "gettimeofday" | "time" | "getcpu" | "page" | "forwarded", number>
> = {
	clock_gettime: 0,
	clock_getres: PER_CLOCK,
	gettimeofday: 2 * PER_CLOCK,
	time: 2 * PER_CLOCK + 1,
	getcpu: 2 * PER_CLOCK + 2,
	page: 2 * PER_CLOCK + 3,
	forwarded: 2 * PER_CLOCK + 6,
};

/** How many of the forwarded functions of 64-bit programs have a counter of their own. */
const FORWARDED = 20;
const FIRST_I386 = CALL.forwarded + FORWARDED;

/** The same of 32-bit programs, which have two widths of time. */
export const CALL_I386: Readonly<Record<ClockFunctionI386 | "gettimeofday" | "time" | "getcpu" | "forwarded", number>> =
	{
		clock_gettime: FIRST_I386,
		clock_gettime64: FIRST_I386 + PER_CLOCK,
		clock_getres: FIRST_I386 + 2 * PER_CLOCK,
		gettimeofday: FIRST_I386 + 3 * PER_CLOCK,
		time: FIRST_I386 + 3 * PER_CLOCK + 1,
		getcpu: FIRST_I386 + 3 * PER_CLOCK + 2,
		forwarded: FIRST_I386 + 3 * PER_CLOCK + 3,
	};

/** Functions of 32-bit programs whose first argument is a clock id. */
type ClockFunctionI386 = (typeof CLOCK_FUNCTIONS)[32][number];

/** In the number of a traced call: it was recorded when it began, and nobody has seen its result. */
export const UNFINISHED = 0x8000_0000;

/** The numbers of forwarded functions, from the first to the last: more of them than there are counters share the last. */
const FORWARDED_NUMBERS = {
	64: { first: CALL.forwarded, last: FIRST_I386 - 1 },
	32: { first: CALL_I386.forwarded, last: COUNTERS - 1 },
} as const;

/** The number of the forwarded function with this index. */
export const forwardedCall = (index: number, bits: Call["bits"]): number => {
	const { first, last } = FORWARDED_NUMBERS[bits];
	return Math.min(first + index, last);
};

export type Calls = ReadonlyMap<number, Call>;

/**
 * The calls of the programs of one class by number.
 *
 * @param forwarded the host's functions beyond those that the image has itself, once each, in the order of the link page
 */
export const describeCalls = (bits: Call["bits"], forwarded: readonly HostFunction[]): Calls => {
	const calls = new Map<number, Call>();
	const add = (number: number, call: Omit<Call, "bits">): void => void calls.set(number, { ...call, bits });
	const numbers: Readonly<Record<string, number>> = bits === 64 ? CALL : CALL_I386;
	for (const name of CLOCK_FUNCTIONS[bits]) {
		for (let clock = 0; clock <= CLOCK_IDS; clock++) {
			add((numbers[name] ?? 0) + clock, { way: "vdso", name, clock: clock === CLOCK_IDS ? "other" : clock });
		}
	}
	for (const name of ["gettimeofday", "time", "getcpu"]) add(numbers[name] ?? 0, { way: "vdso", name });
	if (bits === 64) VSYSCALLS.forEach(({ name }, number) => add(CALL.page + number, { way: "page", name }));
	const { first, last } = FORWARDED_NUMBERS[bits];
	const areTooMany = forwarded.length > last - first + 1;
	forwarded.forEach(({ name }, index) => {
		const number = forwardedCall(index, bits);
		const isShared = areTooMany && number === last;
		add(number, { way: "vdso", name: isShared ? "others" : name.replace(/^__vdso_/, "") });
	});
	return calls;
};

const CLOCK_NAMES = [
	"CLOCK_REALTIME",
	"CLOCK_MONOTONIC",
	"CLOCK_PROCESS_CPUTIME_ID",
	"CLOCK_THREAD_CPUTIME_ID",
	"CLOCK_MONOTONIC_RAW",
	"CLOCK_REALTIME_COARSE",
	"CLOCK_MONOTONIC_COARSE",
	"CLOCK_BOOTTIME",
	"CLOCK_REALTIME_ALARM",
	"CLOCK_BOOTTIME_ALARM",
	"CLOCK_SGI_CYCLE",
	"CLOCK_TAI",
] as const;

/** The name of a clock id, as clock_gettime(2) and include/uapi/linux/time.h spell it; the number where it has none. */
export const clockName = (clock: number | "other"): string =>
	clock === "other" ? "other clocks" : (CLOCK_NAMES[clock] ?? String(clock));

/** Equal for equal calls. */
export const keyOfCall = ({ way, name, bits, clock }: Call): string => `${way} ${name} ${bits} ${clock ?? ""}`;
