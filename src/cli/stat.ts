/** `vsyscall stat`: a run whose calls are counted, and the report. */
import { type Command, InvalidArgumentError } from "commander";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { Statistics } from "../supervisor/observation/statistics.ts";
import { run } from "../supervisor/run.ts";
import { statJson, statText } from "./format/stat.ts";
import { addExamples } from "./examples.ts";
import { addObservedOptions, isTerminal, type ObservedFlags, openOutput } from "./observed-options.ts";
import { runOptions } from "./run.ts";

interface StatFlags extends ObservedFlags {
	readonly top: number;
}

const EXAMPLES = [
	"vsyscall stat -- python3 -c 'import time; [time.time() for _ in range(10**6)]'",
	"vsyscall stat --json -o clock-reads.json -- redis-server",
];

const wholeNumber = (text: string): number => {
	if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
	return Number(text);
};

const emphasis = (isShown: boolean): ((text: string) => string) =>
	isShown && (process.env["NO_COLOR"] ?? "") === "" ? (text) => `\u001b[1m${text}\u001b[0m` : (text) => text;

/** @param wanted the functions that are counted, by name; undefined for all */
export const runStat = async (
	command: readonly string[],
	flags: StatFlags,
	wanted?: ReadonlySet<string>,
): Promise<ExitStatus> => {
	const options = runOptions(command, flags);
	const output = openOutput(flags.output);
	const statistics = new Statistics(wanted);
	const { status } = await run({ ...options, observation: statistics.options });
	const report = statistics.report();
	const text = (): string => statText(report, flags.top, emphasis(isTerminal(flags.output)));
	output.write(flags.json === true ? statJson(report, command) : text());
	output.close();
	return status;
};

/** @param ended is told how the program ended */
export const addStatCommand = (program: Command, ended: (status: ExitStatus) => void): void => {
	const command = addObservedOptions(
		program.command("stat").description("run a program and count its calls that ask for the time"),
	)
		.option("--json", "the report as JSON (docs/stat.schema.json)")
		.option("--top <count>", "how many processes and callers are shown", wholeNumber, 10)
		.action(async (words: string[], flags: StatFlags) => ended(await runStat(words, flags)));
	addExamples(command, EXAMPLES);
};
