/** `vsyscall run`: flags -> a clock, anchored now -> a supervised program. */
import { anchorNow } from "../clock-file/anchor.ts";
import { ClockFile } from "../clock-file/clock-file.ts";
import { neither } from "../clock-file/clock-file-error.ts";
import { isClockName } from "../clock-file/clock-name.ts";
import { followedFile, parseClockSpec } from "../clock/spec.ts";
import { checkHost } from "../linux/host-check.ts";
import { inheritedArguments } from "../linux/inherited-state.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { run, type RunOptions } from "../supervisor/run.ts";
import { parseSelection, type SelectionLists } from "../supervisor/selection.ts";
import type { OnFailure } from "../supervisor/install/coverage.ts";
import { parseMode } from "../vsyscall/mode.ts";
import { parseReads } from "../vdso/reads.ts";
import { say } from "./messages.ts";

export interface RunFlags extends SelectionLists {
	readonly clock: string;
	readonly onFailure: OnFailure;
	readonly vsyscall: string;
	readonly reads: string;
	/** false with --no-patch */
	readonly patch: boolean;
	readonly stats?: boolean;
	readonly verbose?: boolean;
}

const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** The clock of that name, or one for this run alone, and the file that it follows. */
const openClock = (text: string): Pick<RunOptions, "clock" | "followed"> => {
	if (isClockName(text)) {
		const names = ClockFile.names();
		if (!names.includes(text)) throw neither(text, names);
		return { clock: ClockFile.open(text), followed: undefined };
	}
	const spec = parseClockSpec(text);
	const path = followedFile(spec);
	return {
		clock: anchorNow(spec),
		followed: path === undefined ? undefined : { path, anchor: () => anchorNow(spec) },
	};
};

/** What a run is given by the command line. */
export const runOptions = (command: readonly string[], flags: RunFlags): RunOptions => {
	checkHost();
	const mode = parseMode(flags.vsyscall);
	const selection = parseSelection(flags);
	const clock = openClock(flags.clock);
	const reads = parseReads(flags.reads);
	return {
		command: inheritedArguments(command),
		...clock,
		selection,
		onFailure: flags.onFailure,
		reads,
		vsyscall: { mode, patches: flags.patch },
		report: say,
		trace: flags.verbose === true ? say : () => {},
	};
};

export const runProgram = async (command: readonly string[], flags: RunFlags): Promise<ExitStatus> => {
	const { status, page } = await run(runOptions(command, flags));
	if (flags.stats === true) {
		say(
			`vsyscall page: ${counted(page.patched, "call site")} patched, ${counted(page.trapped, "call")} trapped, ${counted(page.refused, "call site")} refused`,
		);
	}
	return status;
};
