/** `vsyscall run`: flags -> a clock, anchored now -> a supervised program. */
import { anchorClock } from "../clock/clock.ts";
import { parseClockSpec } from "../clock/spec.ts";
import { checkHost } from "../linux/host-check.ts";
import { inheritedArguments } from "../linux/inherited-state.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { run } from "../supervisor/run.ts";
import type { OnFailure } from "../supervisor/supervisor.ts";
import { parseMode } from "../vsyscall/mode.ts";
import { parseReads } from "../vdso/reads.ts";
import { say } from "./messages.ts";
import { hostRealtime } from "../linux/host-vdso.ts";

export interface RunFlags {
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

const localZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

export const runProgram = async (command: readonly string[], flags: RunFlags): Promise<ExitStatus> => {
	checkHost();
	const mode = parseMode(flags.vsyscall);
	const reads = parseReads(flags.reads);
	const spec = parseClockSpec(flags.clock);
	const anchor = {
		realtime: hostRealtime(),
		get zone() {
			return localZone();
		},
	};
	const { status, page } = await run({
		command: inheritedArguments(command),
		clock: anchorClock(spec, anchor),
		onFailure: flags.onFailure,
		reads,
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
