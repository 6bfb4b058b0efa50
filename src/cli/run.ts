/** `vsyscall run`: flags -> a clock, anchored now -> a supervised program. */
import { anchorNow } from "../clock-file/anchor.ts";
import { ClockFile } from "../clock-file/clock-file.ts";
import { neither } from "../clock-file/clock-file-error.ts";
import { isClockName } from "../clock-file/clock-name.ts";
import type { WallClock } from "../clock/clock.ts";
import { type ClockSpec, followedFile, parseClockSpec } from "../clock/spec.ts";
import { VsyscallError } from "../errors.ts";
import { checkHost } from "../linux/host-check.ts";
import { inheritedArguments } from "../linux/inherited-state.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { run } from "../supervisor/run.ts";
import type { OnFailure } from "../supervisor/supervisor.ts";
import { parseMode } from "../vsyscall/mode.ts";
import { say } from "./messages.ts";

export interface RunFlags {
	readonly clock: string;
	readonly onFailure: OnFailure;
	readonly vsyscall: string;
	/** false with --no-patch */
	readonly patch: boolean;
	readonly stats?: boolean;
	readonly verbose?: boolean;
}

const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** Clocks that have a text and an arithmetic, and that a run does not serve. */
const refuseUnserved = (spec: ClockSpec): void => {
	if (spec.kind === "host") return;
	const word = followedFile(spec) === undefined ? `${spec.motion.kind}=` : "%FILE";
	if (word !== "%FILE" && spec.motion.kind !== "drift" && spec.motion.kind !== "step") return;
	throw new VsyscallError(
		"ERR_VSYSCALL_CLOCK",
		`not yet: a run does not serve ${word}; use a time, an offset or frozen`,
	);
};

/** The clock of that name, or one for this run alone. */
const openClock = (text: string): WallClock | ClockFile => {
	if (isClockName(text)) {
		const names = ClockFile.names();
		if (!names.includes(text)) throw neither(text, names);
		return ClockFile.open(text);
	}
	const spec = parseClockSpec(text);
	refuseUnserved(spec);
	return anchorNow(spec);
};

export const runProgram = async (command: readonly string[], flags: RunFlags): Promise<ExitStatus> => {
	checkHost();
	const mode = parseMode(flags.vsyscall);
	const clock = openClock(flags.clock);
	const { status, page } = await run({
		command: inheritedArguments(command),
		clock,
		onFailure: flags.onFailure,
		vsyscall: { mode, patches: flags.patch },
		report: say,
		trace: flags.verbose === true ? say : () => {},
	});
	if (flags.stats === true) {
		say(
			`vsyscall page: ${counted(page.patched, "call site")} patched, ${counted(page.trapped, "call")} trapped, ${counted(page.refused, "call site")} refused`,
		);
	}
	return status;
};
