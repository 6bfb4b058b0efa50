/** `vsyscall bench`: what every way to ask for the time costs on this machine. */
import { isatty } from "node:tty";
import { type Command, InvalidArgumentError } from "commander";
import { checkHost } from "../linux/host-check.ts";
import { addExamples } from "./examples.ts";
import { writeErr, writeOut } from "./messages.ts";
import { checkOutputFile, writeOutputFile } from "./output-file.ts";

interface BenchFlags {
	readonly rounds: number;
	readonly json?: boolean;
	readonly html?: string;
}

const ROUNDS = { default: 50, min: 4, max: 10_000 } as const;
const EXIT_WENT_BACK = 1;
const STDERR = 2;
const CLEAR_LINE = "\r\x1b[K";

const EXAMPLES = ["vsyscall bench", "vsyscall bench --rounds 200 --html bench.html"];

const parseRounds = (text: string): number => {
	const rounds = Number(text);
	if (!Number.isInteger(rounds) || rounds < ROUNDS.min || rounds > ROUNDS.max) {
		throw new InvalidArgumentError(`Expected a whole number from ${ROUNDS.min} to ${ROUNDS.max}.`);
	}
	return rounds;
};

const runBench = async ({ rounds, json, html }: BenchFlags): Promise<void> => {
	checkHost();
	if (html !== undefined) checkOutputFile(html);
	const { bench } = await import("../bench/bench.ts");
	const { benchAsJson, benchAsText, wentBack } = await import("./bench-report.ts");
	const isWatched = isatty(STDERR);
	const progress = (title: string): void => {
		if (isWatched) writeErr(`${CLEAR_LINE}measuring ${title}`);
	};
	const result = await bench({ rounds, commandLine: process.argv[1] ?? "", progress });
	if (isWatched) writeErr(CLEAR_LINE);
	if (html !== undefined) {
		const { benchAsHtml } = await import("../bench/html.ts");
		writeOutputFile(html, benchAsHtml(result));
	}
	writeOut(json === true ? `${JSON.stringify(benchAsJson(result), undefined, "\t")}\n` : benchAsText(result));
	if (wentBack(result)) process.exitCode = EXIT_WENT_BACK;
};

export const addBenchCommand = (program: Command): void => {
	const command = program
		.command("bench")
		.description("measure what every way to ask for the time costs on this machine")
		.option("--rounds <count>", "how often each way is measured", parseRounds, ROUNDS.default)
		.option("--json", "as JSON (docs/bench.schema.json)")
		.option("--html <file>", "write a page with charts, too")
		.action(runBench);
	addExamples(command, EXAMPLES);
};
