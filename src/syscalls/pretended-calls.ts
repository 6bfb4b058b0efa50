/**
 * The system calls by which a program meets more of what it is told than the time: those of a pretence (pretence.ts).
 *
 * Numbers: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl, v6.18.
 */
import { NUMBERS } from "./numbers.ts";
import type { Pretence } from "./pretence.ts";
import type { Architecture, ArgumentTest, TimeLayout } from "./time-calls.ts";

/** A call that sets the times of a file: two of them, that of access and that of modification. */
export interface FileTimesCall {
	readonly kind: "file times";
	/** Which argument points to the times; NULL is now. */
	readonly argument: number;
	/** What stands there, twice. */
	readonly unit: "seconds" | "timeval" | "timespec";
	readonly layout: TimeLayout;
}

/** getpid(2). */
export interface OwnPidCall {
	readonly kind: "own pid";
	/** What it says. */
	readonly pid: number;
}

/** A call that names processes by ids, or groups of them by the negative of an id. */
export interface PidCall {
	readonly kind: "pid";
	/** What getpid says. */
	readonly pid: number;
	/** Which arguments name. */
	readonly arguments: readonly number[];
}

/** getrandom(2). */
export interface RandomCall {
	readonly kind: "random";
	/** Of 64 bits. */
	readonly seed: bigint;
}

export type PretendedCall = FileTimesCall | OwnPidCall | PidCall | RandomCall;

/** A call, and when it is stopped: where all tests of one of the lists are passed. */
export interface PretendedRule {
	readonly number: number;
	readonly call: PretendedCall;
	readonly tests: readonly (readonly ArgumentTest[])[];
	/** An argument that the kernel does not look at: with the key there the call passes. */
	readonly keyArgument?: number;
}

const FILE_TIMES: Readonly<Record<Architecture, readonly (readonly [number, Omit<FileTimesCall, "kind">])[]>> = {
	"x86-64": [
		[132, { argument: 1, unit: "seconds", layout: "64" }],
		[235, { argument: 1, unit: "timeval", layout: "64" }],
		[261, { argument: 2, unit: "timeval", layout: "64" }],
		[280, { argument: 2, unit: "timespec", layout: "64" }],
	],
	i386: [
		[30, { argument: 1, unit: "seconds", layout: "32" }],
		[271, { argument: 1, unit: "timeval", layout: "32" }],
		[299, { argument: 2, unit: "timeval", layout: "32" }],
		[320, { argument: 2, unit: "timespec", layout: "32" }],
		[412, { argument: 2, unit: "timespec", layout: "64 on i386" }],
	],
};

const fileTimesRules = (architecture: Architecture): readonly PretendedRule[] =>
	FILE_TIMES[architecture].map(([number, call]) => ({
		number,
		call: { kind: "file times", ...call },
		tests: [[{ argument: call.argument, isNull: false }]],
	}));

/** A call that names processes: its numbers on x86-64 and i386, and where an argument says whether it does. */
interface PidRow extends Pick<PidCall, "arguments"> {
	readonly numbers: Readonly<Partial<Record<Architecture, number>>>;
	readonly where?: ArgumentTest;
}

const row = (wide: number, narrow: number, ...args: readonly number[]): PidRow => ({
	numbers: { "x86-64": wide, i386: narrow },
	arguments: args,
});

const F_SETOWN = 8;
const PRIO_PROCESS = 0;
const IOPRIO_WHO_PROCESS = 1;
const ofProcess = (which: number): ArgumentTest => ({ argument: 0, isOneOf: [which] });
const setsOwner: ArgumentTest = { argument: 1, isOneOf: [F_SETOWN] };

const PID_CALLS: Readonly<Record<string, PidRow>> = {
	kill: row(62, 37, 0),
	tkill: row(200, 238, 0),
	// The first thread of a process has its id.
	tgkill: row(234, 270, 0, 1),
	rt_sigqueueinfo: row(129, 178, 0),
	rt_tgsigqueueinfo: row(297, 335, 0, 1),
	pidfd_open: row(434, 434, 0),
	setpgid: row(109, 57, 0, 1),
	getpgid: row(121, 132, 0),
	getsid: row(124, 147, 0),
	fcntl: { ...row(72, 55, 2), where: setsOwner },
	fcntl64: { numbers: { i386: 221 }, arguments: [2], where: setsOwner },
	getpriority: { ...row(140, 96, 1), where: ofProcess(PRIO_PROCESS) },
	setpriority: { ...row(141, 97, 1), where: ofProcess(PRIO_PROCESS) },
	ioprio_get: { ...row(252, 290, 1), where: ofProcess(IOPRIO_WHO_PROCESS) },
	ioprio_set: { ...row(251, 289, 1), where: ofProcess(IOPRIO_WHO_PROCESS) },
	prlimit64: row(302, 340, 0),
	sched_setparam: row(142, 154, 0),
	sched_getparam: row(143, 155, 0),
	sched_setscheduler: row(144, 156, 0),
	sched_getscheduler: row(145, 157, 0),
	sched_rr_get_interval: row(148, 161, 0),
	sched_rr_get_interval_time64: { numbers: { i386: 423 }, arguments: [0] },
	sched_setaffinity: row(203, 241, 0),
	sched_getaffinity: row(204, 242, 0),
	sched_setattr: row(314, 351, 0),
	sched_getattr: row(315, 352, 0),
	migrate_pages: row(256, 294, 0),
	move_pages: row(279, 317, 0),
	get_robust_list: row(274, 312, 0),
	process_vm_readv: row(310, 347, 0),
	process_vm_writev: row(311, 348, 0),
	kcmp: row(312, 349, 0, 1),
	perf_event_open: row(298, 336, 1),
};

/** An id, and its group. -1 is every process, so that 1 has none. */
const namesOf = (pid: number): readonly number[] => (pid === 1 ? [1] : [pid, -pid]);

const pidRules = (architecture: Architecture, pid: number): readonly PretendedRule[] => [
	{ number: NUMBERS[architecture].getpid, call: { kind: "own pid", pid }, tests: [[]], keyArgument: 0 },
	...Object.values(PID_CALLS).flatMap(({ numbers, arguments: args, where }): readonly PretendedRule[] => {
		const number = numbers[architecture];
		if (number === undefined) return [];
		const tests = args.map((argument): readonly ArgumentTest[] => [
			...(where === undefined ? [] : [where]),
			{ argument, isOneOf: namesOf(pid) },
		]);
		return [{ number, call: { kind: "pid", pid, arguments: args }, tests }];
	}),
];

const GETRANDOM: Readonly<Record<Architecture, number>> = { "x86-64": 318, i386: 355 };

const randomRule = (architecture: Architecture, seed: bigint): PretendedRule => ({
	number: GETRANDOM[architecture],
	call: { kind: "random", seed },
	tests: [[]],
});

/** The calls that a pretence is about: none where there is none. */
export const pretendedRules = (architecture: Architecture, pretence: Pretence = {}): readonly PretendedRule[] => {
	const { fileTimes = false, pid, seed } = pretence;
	return [
		...(fileTimes ? fileTimesRules(architecture) : []),
		...(pid === undefined ? [] : pidRules(architecture, pid)),
		...(seed === undefined ? [] : [randomRule(architecture, seed)]),
	];
};
