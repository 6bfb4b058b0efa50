/**
 * Who is on a named clock: the processes that have its page mapped, found where the kernel keeps that, so that nobody has to sign in
 * or out; and those that a supervisor could not put on it, which it notes in a file beside the clock's.
 *
 *     RUNTIME/NAME.uncovered      a line of JSON for each: pid, startTime (clock ticks after boot), program, reason
 */
import { appendFileSync, readdirSync, rmSync } from "node:fs";
import { isOwnProc, readCommand, readStartTime, readText } from "../linux/proc-file.ts";
import type { ClockFile } from "./clock-file.ts";

export interface Member {
	readonly pid: number;
	/** The words of its command line; its short name when it has none. */
	readonly command: readonly string[];
	readonly startedAt: Date;
	/** Undefined for a process that is on the clock. */
	readonly uncovered: string | undefined;
}

interface Note {
	readonly pid: number;
	readonly startTime: string;
	/** Missing when the process is on the clock after all. */
	readonly reason?: string;
}

/** USER_HZ, which is the same on every x86 kernel: include/asm-generic/param.h. */
const TICKS_PER_SECOND = 100;

/** Seconds after 1970. */
const readBootTime = (): number => Number(/^btime (\d+)$/m.exec(readText("/proc/stat"))?.[1] ?? 0);

const describe = (pid: number, uncovered: string | undefined, bootTime: number): Member | undefined => {
	const startTime = readStartTime(pid);
	if (startTime === undefined) return undefined;
	const startedAt = new Date((bootTime + Number(startTime) / TICKS_PER_SECOND) * 1000);
	return { pid, command: readCommand(pid), startedAt, uncovered };
};

/** Whether a process has a file mapped for reading alone: supervisors and controllers can write to theirs. */
const mapsPage = (pid: number, { inode, name }: ClockFile): boolean =>
	readText(`/proc/${pid}/maps`)
		.split("\n")
		.some((line) => /^\S+ r--s /.test(line) && line.includes(` ${inode} `) && line.includes(`${name}.clock`));

const processes = (): readonly number[] =>
	isOwnProc()
		? readdirSync("/proc")
				.filter((entry) => /^\d+$/.test(entry))
				.map(Number)
		: [];

const notesPath = (clock: ClockFile): string => clock.path.replace(/\.clock$/, ".uncovered");

const notesOf = (clock: ClockFile): readonly Note[] =>
	readText(notesPath(clock), "utf8")
		.split("\n")
		.filter((line) => line !== "")
		.flatMap((line) => {
			try {
				return [JSON.parse(line) as Note];
			} catch {
				return [];
			}
		});

/** Processes of this user, or of all when root asks, by pid. */
export const membersOf = (clock: ClockFile): readonly Member[] => {
	const reasons = new Map<number, string | undefined>(
		processes()
			.filter((pid) => mapsPage(pid, clock))
			.map((pid) => [pid, undefined]),
	);
	// A process that was let go to another tracer has the page, too: the last note says how things stand.
	for (const { pid, startTime, reason } of notesOf(clock))
		if (readStartTime(pid) === startTime) reasons.set(pid, reason);
	const bootTime = readBootTime();
	return [...reasons]
		.map(([pid, reason]) => describe(pid, reason, bootTime))
		.filter((member) => member !== undefined)
		.toSorted((a, b) => a.pid - b.pid);
};

/** Notes that a process which should be on the clock is not; without a reason, that it is after all. */
export const noteUncovered = (clock: ClockFile, pid: number, reason: string | undefined): void => {
	const startTime = readStartTime(pid);
	if (startTime === undefined) return;
	// One short write to the end of a file: lines of several supervisors do not mix.
	const note: Note = { pid, startTime, ...(reason === undefined ? {} : { reason }) };
	appendFileSync(notesPath(clock), `${JSON.stringify(note)}\n`, { mode: 0o600 });
};

/** To be called when the clock is removed. */
export const forgetUncovered = (clock: ClockFile): void => rmSync(notesPath(clock), { force: true });
