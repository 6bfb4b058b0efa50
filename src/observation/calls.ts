/**
 * What is counted and traced in the image: each function by clock id, the entries of the vsyscall page, and the functions that are
 * forwarded to the host. A call is known by its number, which is also that of its counter.
 */
import type { HostFunction } from "../vdso/host.ts";
import { VSYSCALLS } from "../vsyscall/page.ts";
import { COUNTERS } from "./layout.ts";

/** By which way a call came. */
export type Way = "vdso" | "page" | "syscall";

export interface Call {
	readonly way: Way;
	/** "clock_gettime" */
	readonly name: string;
	/** The clock id; "other" for those beyond CLOCK_TAI; undefined for functions that have none. */
	readonly clock?: number | "other" | undefined;
}

/** Ids 0 to 11 have a counter each. */
export const CLOCK_IDS = 12;
const PER_CLOCK = CLOCK_IDS + 1;

/** The first number of each function; those of clocks have one for each id, and one for all others. */
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

/** In the number of a traced call: it was recorded when it began, and nobody has seen its result. */
export const UNFINISHED = 0x8000_0000;

/** The number of the forwarded function with this index; more of them than there are counters share the last. */
export const forwardedCall = (index: number): number => Math.min(CALL.forwarded + index, COUNTERS - 1);

/** All calls by number. @param forwarded the host's functions beyond the five, once each, in the order of the link page */
export const describeCalls = (forwarded: readonly HostFunction[]): readonly Call[] => {
	const calls: Call[] = [];
	for (const name of ["clock_gettime", "clock_getres"] as const) {
		for (let clock = 0; clock <= CLOCK_IDS; clock++) {
			calls.push({ way: "vdso", name, clock: clock === CLOCK_IDS ? "other" : clock });
		}
	}
	for (const name of ["gettimeofday", "time", "getcpu"]) calls.push({ way: "vdso", name });
	for (const { name } of VSYSCALLS) calls.push({ way: "page", name });
	const names = forwarded.map(({ name }) => name.replace(/^__vdso_/, ""));
	names.slice(0, COUNTERS - CALL.forwarded).forEach((name, index) => {
		const isLast = CALL.forwarded + index === COUNTERS - 1 && names.length > index + 1;
		calls.push({ way: "vdso", name: isLast ? "others" : name });
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
export const keyOfCall = ({ way, name, clock }: Call): string => `${way} ${name} ${clock ?? ""}`;
