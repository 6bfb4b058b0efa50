/** `vsyscall trace`: a run whose calls are printed as strace prints system calls. */
import type { Command } from "commander";
import { VsyscallError } from "../errors.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { CallTrace, type TraceEntry } from "../supervisor/observation/call-trace.ts";
import { run } from "../supervisor/run.ts";
import { tableName, TIME_CALLS } from "../syscalls/time-calls.ts";
import { OWN_FUNCTIONS } from "../vdso/host.ts";
import { addExamples } from "./examples.ts";
import { traceJson, traceLine } from "./format/trace.ts";
import { say } from "./messages.ts";
import { addObservedOptions, type ObservedFlags, openOutput } from "./observed-options.ts";
import { runOptions } from "./run.ts";
import { runStat } from "./stat.ts";

interface TraceFlags extends ObservedFlags {
	readonly expression?: string;
	readonly count?: boolean;
	/** false with --no-follow */
	readonly follow: boolean;
}

const EXAMPLES = [
	"vsyscall trace -- date",
	"vsyscall trace -e clock_gettime,time -o calls.txt -- make check",
	"vsyscall trace -c -e clock_gettime -- ./program",
];

const KNOWN: ReadonlySet<string> = new Set([
	...OWN_FUNCTIONS,
	"getrandom",
	...Object.values(TIME_CALLS).flatMap((calls) => calls.map(tableName)),
]);

/** @throws {VsyscallError} ERR_VSYSCALL_EXPRESSION when a name is not that of a call that can be traced. */
const parseExpression = (text: string): ReadonlySet<string> => {
	const names = text.replace(/^trace=/, "").split(",");
	const unknown = names.find((name) => !KNOWN.has(name));
	if (unknown === undefined) return new Set(names);
	const known = [...OWN_FUNCTIONS, "getrandom"].join(", ");
	throw new VsyscallError(
		"ERR_VSYSCALL_EXPRESSION",
		`-e names "${unknown}", which is no call that can be traced: give names separated by commas, such as ${known}`,
	);
};

export const runTrace = async (command: readonly string[], flags: TraceFlags): Promise<ExitStatus> => {
	const traced = flags.expression === undefined ? undefined : parseExpression(flags.expression);
	if (flags.count === true) return runStat(command, { ...flags, top: 0 }, traced);
	const options = runOptions(command, flags);
	const output = openOutput(flags.output);
	const format = flags.json === true ? traceJson : traceLine;
	let lead: number | undefined;
	const isWanted = ({ pid }: TraceEntry): boolean => flags.follow || pid === (lead ??= pid);
	const trace = new CallTrace({
		traced,
		calls: (entries) => output.write(entries.filter(isWanted).map(format).join("")),
		lost: (count) =>
			output.write(
				flags.json === true ? `${JSON.stringify({ lost: Number(count) })}\n` : `--- ${count} calls lost ---\n`,
			),
	});
	const { status } = await run({ ...options, observation: trace.options });
	output.close();
	for (const { program, pid } of trace.unreached) {
		say(
			`${program} (pid ${pid}) cannot reach the file of the trace: of its calls only system calls that mean the wall clock are seen`,
		);
	}
	if (trace.lost > 0n) say(`${trace.lost} calls were lost: they came faster than they could be written`);
	return status;
};

/** @param ended is told how the program ended */
export const addTraceCommand = (program: Command, ended: (status: ExitStatus) => void): void => {
	const command = addObservedOptions(
		program.command("trace").description("run a program and print its calls that ask for the time"),
	)
		.option("-e, --expression <names>", "only calls of these names, separated by commas")
		.option("-c, --count", "count the calls and print a summary, as stat does")
		.option("-f, --follow", "processes that it makes, too (the default)", true)
		.option("--no-follow", "only the first process")
		.option("--json", "lines of JSON (docs/trace.schema.json)")
		.action(async (words: string[], flags: TraceFlags) => ended(await runTrace(words, flags)));
	addExamples(command, EXAMPLES);
};
