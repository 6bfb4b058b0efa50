/** `vsyscall run`: flags -> a clock, and what sets it -> a supervised program. */
import { anchorNow } from "../clock-file/anchor.ts";
import { ClockFile } from "../clock-file/clock-file.ts";
import { neither } from "../clock-file/clock-file-error.ts";
import { isClockName } from "../clock-file/clock-name.ts";
import type { WallClock } from "../clock/clock.ts";
import type { Span } from "../clock/span.ts";
import { type ClockSpec, followedFile, parseClockSpec } from "../clock/spec.ts";
import { checkHost } from "../linux/host-check.ts";
import { inheritedArguments } from "../linux/inherited-state.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { type ClockCourse, during } from "../supervisor/clock-course.ts";
import { follow } from "../supervisor/followed-file.ts";
import { run, type RunOptions } from "../supervisor/run.ts";
import { parseSelection, type SelectionLists } from "../supervisor/selection.ts";
import { parseSpan, type SpanFlags } from "../supervisor/span.ts";
import type { OnFailure } from "../supervisor/install/coverage.ts";
import { parseIoUringWay } from "../syscalls/io-uring-way.ts";
import { parseMode } from "../vsyscall/mode.ts";
import { parseFastEntry } from "../vdso/fast-entry.ts";
import { parseReads } from "../vdso/reads.ts";
import type { Nanoseconds } from "../units.ts";
import { say } from "./messages.ts";

export interface RunFlags extends SelectionLists, SpanFlags {
	readonly onFailure: OnFailure;
	readonly vsyscall: string;
	readonly reads: string;
	readonly fastEntry: string;
	readonly ioUring: string;
	/** false with --no-patch */
	readonly patch: boolean;
	readonly stats?: boolean;
	readonly verbose?: boolean;
}

const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** The clock of a run, and what sets it meanwhile. */
type OpenClock = Pick<RunOptions, "clock" | "source">;

/** The clock of a spec as of now, and the file that it follows. */
export const courseOf = (spec: ClockSpec, realtime?: Nanoseconds): ClockCourse => {
	const path = followedFile(spec);
	if (path === undefined) return { clock: anchorNow(spec, realtime), source: undefined };
	return follow(path, () => anchorNow(spec));
};

/** The clock as it is without a spec: the host's, or that of a run around this one. */
export const clockOutside = (): WallClock => anchorNow({ kind: "host" });

/** The clock of that name, or one for this run alone, and what sets it. */
const openClock = (text: string, span: Span | undefined): OpenClock => {
	if (isClockName(text)) {
		const names = ClockFile.names();
		if (!names.includes(text)) throw neither(text, names);
		return { clock: ClockFile.open(text), source: undefined };
	}
	const spec = parseClockSpec(text);
	const course = courseOf(spec);
	return span === undefined
		? course
		: during(span, { within: () => courseOf(spec), outside: clockOutside, report: say });
};

/** What only `vsyscall faketime` asks for. */
type OfFaketime = Pick<RunOptions, "settle" | "further" | "pretence">;

/** What a run is given by the command line, on a clock that has been opened. */
const optionsOn = (
	clock: OpenClock & OfFaketime,
	command: readonly string[],
	flags: Omit<RunFlags, "clock">,
): RunOptions => {
	const mode = parseMode(flags.vsyscall);
	const selection = parseSelection(flags);
	const reads = parseReads(flags.reads);
	const fastEntry = parseFastEntry(flags.fastEntry);
	const ioUring = parseIoUringWay(flags.ioUring);
	return {
		command: inheritedArguments(command),
		...clock,
		selection,
		onFailure: flags.onFailure,
		reads,
		fastEntry,
		ioUring,
		vsyscall: { mode, patches: flags.patch },
		report: say,
		trace: flags.verbose === true ? say : () => {},
	};
};

/** Runs a program on a clock that has been opened. */
export const runOn = async (
	clock: OpenClock & OfFaketime,
	command: readonly string[],
	flags: Omit<RunFlags, "clock">,
): Promise<ExitStatus> => {
	const { status, page } = await run(optionsOn(clock, command, flags));
	if (flags.stats === true) {
		say(
			`vsyscall page: ${counted(page.patched, "call site")} patched, ${counted(page.trapped, "call")} trapped, ${counted(page.refused, "call site")} refused`,
		);
	}
	return status;
};

/** What a run is given by the command line. */
export const runOptions = (command: readonly string[], flags: RunFlags): RunOptions => {
	checkHost();
	return optionsOn(openClock(flags.clock, parseSpan(flags)), command, flags);
};

export const runProgram = async (command: readonly string[], flags: RunFlags): Promise<ExitStatus> => {
	checkHost();
	return runOn(openClock(flags.clock, parseSpan(flags)), command, flags);
};
