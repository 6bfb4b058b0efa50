/** `vsyscall stat`: a run whose calls are counted. */
import type { Command } from "commander";
import { anchorNow } from "../clock-file/anchor.ts";
import { parseClockSpec } from "../clock/spec.ts";
import { checkHost } from "../linux/host-check.ts";
import { inheritedArguments } from "../linux/inherited-state.ts";
import { readTally } from "../observation/counters.ts";
import { run } from "../supervisor/run.ts";
import { say } from "./messages.ts";

export const runStat = async (command: readonly string[]): Promise<void> => {
	checkHost();
	await run({
		command: inheritedArguments(command),
		clock: anchorNow(parseClockSpec("host")),
		followed: undefined,
		selection: undefined,
		onFailure: "refuse",
		reads: "exact",
		vsyscall: { mode: "auto", patches: true },
		observation: {
			observation: "count",
			stopped: (call) =>
				say(JSON.stringify(call, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value))),
			look: (observer) => {
				const tally = readTally(observer.file.bytes, observer.file.layout);
				for (const [serial, counts] of tally.processes) {
					const counted = counts.flatMap((count, index) => (count === 0n ? [] : [`${index}=${count}`]));
					say(`${serial} ${observer.processes.bySerial(serial)?.pid ?? "?"} ${counted.join(" ")}`);
				}
			},
			lookMs: 60_000,
		},
		report: say,
		trace: () => {},
	});
};

export const addStatCommand = (program: Command): void => {
	program
		.command("stat")
		.argument("<program...>")
		.passThroughOptions()
		.action(async (command: string[]) => runStat(command));
};
