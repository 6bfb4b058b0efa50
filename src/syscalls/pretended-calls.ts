/**
 * The system calls by which a program meets more of what it is told than the time: those of a pretence (pretence.ts).
 *
 * Numbers: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl, v6.18.
 */
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

export type PretendedCall = FileTimesCall;

/** A call, and when it is stopped: where all tests of one of the lists are passed. */
export interface PretendedRule {
	readonly number: number;
	readonly call: PretendedCall;
	readonly tests: readonly (readonly ArgumentTest[])[];
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

/** The calls that a pretence is about: none where there is none. */
export const pretendedRules = (
	architecture: Architecture,
	pretence: Pretence | undefined,
): readonly PretendedRule[] => [...(pretence?.fileTimes === true ? fileTimesRules(architecture) : [])];
