/**
 * Who is on a named clock: the processes that have its page mapped, found where the kernel keeps that, so that nobody has to sign in
 * or out; and those that a supervisor could not put on it, which it notes in a file beside the clock's.
 *
 *     RUNTIME/NAME.uncovered      a line of JSON for each: pid, startTime (clock ticks after boot), program, reason
 *
 * What a process has that is on the host's clock all the same is found where the kernel keeps that, too. A supervisor that sees to it
 * notes itself in that file.
 */
import { appendFileSync, readdirSync, rmSync } from "node:fs";
import { hasIoUring } from "../linux/open-rings.ts";
import { ownPid } from "../linux/own-pid.ts";
import { isOwnProc, readCommand, readStartTime, readStatusField, readText } from "../linux/proc-file.ts";
import type { ClockFile } from "./clock-file.ts";

export interface Member {
	readonly pid: number;
	/** The words of its command line; its short name when it has none. */
	readonly command: readonly string[];
	readonly startedAt: Date;
	/** Undefined for a process that is on the clock. */
	readonly uncovered: string | undefined;
	/** What of a process that is on the clock is not; undefined when nothing is known. */
	readonly except: string | undefined;
}

interface Note {
	/** Of a process, or of a supervisor that follows io_uring. */
	readonly pid: number;
	readonly startTime: string;
	readonly follows?: "io_uring";
	/** Missing when the process is on the clock after all. */
	readonly reason?: string;
}

/** USER_HZ, which is the same on every x86 kernel: include/asm-generic/param.h. */
const TICKS_PER_SECOND = 100;

/** Seconds after 1970. */
const readBootTime = (): number => Number(/^btime (\d+)$/m.exec(readText("/proc/stat"))?.[1] ?? 0);

const IO_URING = "io_uring timeouts on the wall clock (--io-uring=follow covers them)";

/** @param followers supervisors that follow io_uring */
const exceptionOf = (pid: number, followers: ReadonlySet<number>): string | undefined =>
	hasIoUring(pid) && !followers.has(Number(readStatusField(pid, "TracerPid"))) ? IO_URING : undefined;

const describe = (
	pid: number,
	{ uncovered, except }: Pick<Member, "uncovered" | "except">,
	bootTime: number,
): Member | undefined => {
	const startTime = readStartTime(pid);
	if (startTime === undefined) return undefined;
	const startedAt = new Date((bootTime + Number(startTime) / TICKS_PER_SECOND) * 1000);
	return { pid, command: readCommand(pid), startedAt, uncovered, except };
};

/** The lines of /proc/PID/maps that can be of a clock, by process. */
export type MappedPages = ReadonlyMap<number, readonly string[]>;

/** Mapped for reading alone: supervisors and controllers can write to theirs. */
const PAGE_LINE = /^\S+ r--s .*\.clock/;

/** Of all processes that may be looked at, for as many clocks as one likes. */
export const readMappedPages = (): MappedPages => {
	const pages = new Map<number, readonly string[]>();
	for (const pid of processes()) {
		const lines = readText(`/proc/${pid}/maps`)
			.split("\n")
			.filter((line) => PAGE_LINE.test(line));
		if (lines.length > 0) pages.set(pid, lines);
	}
	return pages;
};

const isPageOf = (line: string, { inode, name }: ClockFile): boolean =>
	line.includes(` ${inode} `) && line.includes(`${name}.clock`);

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
export const membersOf = (clock: ClockFile, pages: MappedPages = readMappedPages()): readonly Member[] => {
	const reasons = new Map<number, string | undefined>();
	for (const [pid, lines] of pages) if (lines.some((line) => isPageOf(line, clock))) reasons.set(pid, undefined);
	// A process that was let go to another tracer has the page, too: the last note says how things stand.
	const followers = new Set<number>();
	for (const { pid, startTime, reason, follows } of notesOf(clock)) {
		if (readStartTime(pid) !== startTime) continue;
		if (follows === undefined) reasons.set(pid, reason);
		else followers.add(pid);
	}
	const bootTime = readBootTime();
	return [...reasons]
		.map(([pid, uncovered]) => {
			const hasException = uncovered === undefined && clock.clock.kind !== "host";
			const except = hasException ? exceptionOf(pid, followers) : undefined;
			return describe(pid, { uncovered, except }, bootTime);
		})
		.filter((member) => member !== undefined)
		.toSorted((a, b) => a.pid - b.pid);
};

const append = (clock: ClockFile, pid: number, further: Omit<Note, "pid" | "startTime">): void => {
	const startTime = readStartTime(pid);
	if (startTime === undefined) return;
	// One short write to the end of a file: lines of several supervisors do not mix.
	const note: Note = { pid, startTime, ...further };
	appendFileSync(notesPath(clock), `${JSON.stringify(note)}\n`, { mode: 0o600 });
};

/** Notes that a process which should be on the clock is not; without a reason, that it is after all. */
export const noteUncovered = (clock: ClockFile, pid: number, reason: string | undefined): void =>
	append(clock, pid, reason === undefined ? {} : { reason });

/** Notes that the timeouts of io_uring are on the clock in processes that this process traces. */
export const noteFollower = (clock: ClockFile): void => append(clock, ownPid(), { follows: "io_uring" });

/** To be called when the clock is removed. */
export const forgetUncovered = (clock: ClockFile): void => rmSync(notesPath(clock), { force: true });
