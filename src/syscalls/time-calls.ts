/**
 * The system calls that read, set or wait for the wall clock: their numbers on both architectures, the arguments that decide
 * whether the wall clock is meant at all, and the layout of their time structures.
 *
 * Sources: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl, v6.18. On i386 most calls exist twice: with 32-bit times, and,
 * since Linux 5.1, with 64-bit ones.
 */

export const CLOCK_REALTIME = 0;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_TAI = 11;

/** TIMER_ABSTIME of clock_nanosleep and timer_settime, TFD_TIMER_ABSTIME of timerfd_settime. */
export const TIMER_ABSTIME = 1;

// futex(2)
const FUTEX_LOCK_PI = 6;
const FUTEX_WAIT_BITSET = 9;
const FUTEX_WAIT_REQUEUE_PI = 11;
const FUTEX_LOCK_PI2 = 13;
const FUTEX_PRIVATE_FLAG = 128;
const FUTEX_CLOCK_REALTIME = 256;

/**
 * The fields of time structures: words of 4 or 8 bytes.
 *
 *     "64"          x86-64, and what i386 shares with it
 *     "32"          i386, times until 2038
 *     "64 on i386"  words of 8 bytes, of whose nanoseconds the kernel reads the lower half (get_timespec64, kernel/time/time.c)
 */
export type TimeLayout = "64" | "32" | "64 on i386";

export type Architecture = "x86-64" | "i386";

export type TimeCallName =
	| "clock_gettime"
	| "gettimeofday"
	| "time"
	| "clock_settime"
	| "settimeofday"
	| "stime"
	| "adjtimex"
	| "clock_adjtime"
	| "clock_nanosleep"
	| "timer_create"
	| "timer_settime"
	| "timer_gettime"
	| "timer_delete"
	| "timerfd_settime"
	| "timerfd_gettime"
	| "futex"
	| "futex_waitv"
	| "futex_wait"
	| "mq_timedsend"
	| "mq_timedreceive"
	/** Of a timerfd that is cancelled when the clock is set: in no table, since the descriptor decides. */
	| "read"
	/** The calls of io-uring.ts. */
	| "io_uring"
	/** The calls of pretended-calls.ts. */
	| "pretended";

export interface TimeCall {
	readonly name: TimeCallName;
	readonly number: number;
	readonly layout: TimeLayout;
}

const WIDE: readonly (readonly [TimeCallName, number])[] = [
	["futex", 202],
	["gettimeofday", 96],
	["time", 201],
	["clock_gettime", 228],
	["clock_nanosleep", 230],
	["timerfd_settime", 286],
	["timerfd_gettime", 287],
	["timer_create", 222],
	["timer_settime", 223],
	["timer_gettime", 224],
	["timer_delete", 226],
	["mq_timedsend", 242],
	["mq_timedreceive", 243],
	["futex_waitv", 449],
	["futex_wait", 455],
	["clock_settime", 227],
	["settimeofday", 164],
	["adjtimex", 159],
	["clock_adjtime", 305],
];

/** Name, number with 32-bit times, number with 64-bit times. */
const NARROW: readonly (readonly [TimeCallName, number | undefined, number | undefined])[] = [
	["futex", 240, 422],
	["gettimeofday", 78, undefined],
	["time", 13, undefined],
	["clock_gettime", 265, 403],
	["clock_nanosleep", 267, 407],
	["timerfd_settime", 325, 411],
	["timerfd_gettime", 326, 410],
	["timer_create", 259, undefined],
	["timer_settime", 260, 409],
	["timer_gettime", 261, 408],
	["timer_delete", 263, undefined],
	["mq_timedsend", 279, 418],
	["mq_timedreceive", 280, 419],
	["futex_waitv", undefined, 449],
	["futex_wait", undefined, 455],
	["clock_settime", 264, 404],
	["settimeofday", 79, undefined],
	["stime", 25, undefined],
	["adjtimex", 124, undefined],
	["clock_adjtime", 343, 405],
];

const narrowCalls = (): readonly TimeCall[] =>
	NARROW.flatMap(([name, short, long]) => [
		...(short === undefined ? [] : [{ name, number: short, layout: "32" } as const]),
		...(long === undefined ? [] : [{ name, number: long, layout: "64 on i386" } as const]),
	]);

/** Every call that may mean the wall clock; the one that is called most comes first. */
export const TIME_CALLS: Readonly<Record<Architecture, readonly TimeCall[]>> = {
	"x86-64": WIDE.map(([name, number]) => ({ name, number, layout: "64" })),
	i386: narrowCalls(),
};

/** What the table appends to the names of calls of i386 that exist with times of 32 bits, too. */
const WITH_TIME64: ReadonlySet<TimeCallName> = new Set(["clock_nanosleep", "futex", "mq_timedsend", "mq_timedreceive"]);
const WITHOUT_SUFFIX: ReadonlySet<TimeCallName> = new Set(["futex_waitv", "futex_wait"]);

/** The name of a call in the table of its architecture, which is strace's: "clock_gettime64" of i386. */
export const tableName = ({ name, layout }: Pick<TimeCall, "name" | "layout">): string => {
	if (layout !== "64 on i386" || WITHOUT_SUFFIX.has(name)) return name;
	return WITH_TIME64.has(name) ? `${name}_time64` : `${name}64`;
};

/** Arguments that hold structures of which one must be given for the call to mean the wall clock. */
export type ArgumentTest =
	/** The lower half, less the bits of `without`, is one of these: the kernel takes an int there. */
	| { readonly argument: number; readonly without?: number; readonly isOneOf: readonly number[] }
	/** The lower half has this bit. */
	| { readonly argument: number; readonly hasBit: number }
	| { readonly argument: number; readonly isNull: false };

/** All of these hold where a call means the wall clock. */
export const ARGUMENT_TESTS: Readonly<Partial<Record<TimeCallName, readonly ArgumentTest[]>>> = {
	clock_gettime: [{ argument: 0, isOneOf: [CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI] }],
	clock_settime: [{ argument: 0, isOneOf: [CLOCK_REALTIME] }],
	clock_adjtime: [{ argument: 0, isOneOf: [CLOCK_REALTIME] }],
	clock_nanosleep: [
		{ argument: 0, isOneOf: [CLOCK_REALTIME, CLOCK_TAI] },
		{ argument: 1, hasBit: TIMER_ABSTIME },
	],
	timer_create: [{ argument: 0, isOneOf: [CLOCK_REALTIME, CLOCK_TAI] }],
	timer_settime: [{ argument: 1, hasBit: TIMER_ABSTIME }],
	timerfd_settime: [{ argument: 1, hasBit: TIMER_ABSTIME }],
	futex: [
		{
			argument: 1,
			without: FUTEX_PRIVATE_FLAG,
			isOneOf: [
				FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME,
				FUTEX_LOCK_PI,
				FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME,
				FUTEX_WAIT_REQUEUE_PI | FUTEX_CLOCK_REALTIME,
			],
		},
		{ argument: 3, isNull: false },
	],
	futex_waitv: [
		{ argument: 4, isOneOf: [CLOCK_REALTIME] },
		{ argument: 3, isNull: false },
	],
	futex_wait: [
		{ argument: 5, isOneOf: [CLOCK_REALTIME] },
		{ argument: 4, isNull: false },
	],
	mq_timedsend: [{ argument: 4, isNull: false }],
	mq_timedreceive: [{ argument: 4, isNull: false }],
};

/** Which argument of a wait points to its absolute deadline. */
export const DEADLINE_ARGUMENT: Readonly<Partial<Record<TimeCallName, number>>> = {
	clock_nanosleep: 2,
	futex: 3,
	futex_waitv: 3,
	futex_wait: 4,
	mq_timedsend: 4,
	mq_timedreceive: 4,
};
