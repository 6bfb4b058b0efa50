/** `vsyscall run`: flags -> a clock, anchored now -> a supervised program. */
import { anchorClock } from "../clock/clock.ts";
import { parseClockSpec } from "../clock/spec.ts";
import { checkHost } from "../linux/host-check.ts";
import { inheritedArguments } from "../linux/inherited-state.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { run } from "../supervisor/run.ts";
import type { OnFailure } from "../supervisor/supervisor.ts";
import { say } from "./messages.ts";
import { hostRealtime } from "../linux/host-vdso.ts";

export interface RunFlags {
	readonly clock: string;
	readonly onFailure: OnFailure;
	readonly verbose?: boolean;
}

const localZone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

export const runProgram = async (command: readonly string[], flags: RunFlags): Promise<ExitStatus> => {
	checkHost();
	const spec = parseClockSpec(flags.clock);
	const anchor = {
		realtime: hostRealtime(),
		get zone() {
			return localZone();
		},
	};
	return run({
		command: inheritedArguments(command),
		clock: anchorClock(spec, anchor),
		onFailure: flags.onFailure,
		report: say,
		trace: flags.verbose === true ? say : () => {},
	});
};
