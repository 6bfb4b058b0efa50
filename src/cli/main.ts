#!/usr/bin/env node
/** The command line: options -> a run -> an exit status. */
import { Command, CommanderError, Option } from "commander";
import { readFaketimeArguments } from "../faketime/arguments.ts";
import { dieOf } from "../linux/exit.ts";
import { EXIT_OWN_FAILURE, type ExitStatus } from "../supervisor/exit-status.ts";
import { addClockCommand } from "./clock.ts";
import { FAKETIME_HELP, faketimeCommandLine, runFaketime } from "./faketime.ts";
import { exitCodeOf, say, sayError, writeErr, writeOut } from "./messages.ts";
import { type RunFlags, runProgram } from "./run.ts";
import { addStatCommand } from "./stat.ts";
import { addTraceCommand } from "./trace.ts";
import { VERSION } from "./version.ts";

const EXAMPLES = `
Examples:
  vsyscall run --clock '@2038-01-19T03:14:07Z' -- date -u
  vsyscall run --clock +30d -- ./server --port 8080
  vsyscall run --vsyscall=emulate -- ./program-from-2009
  vsyscall run --clock '2031-01-01T00:00Z frozen' -- make check
  vsyscall run --clock +5y --only javac,jar -- make`;

/** Ends as the program did. */
const endLike = (status: ExitStatus): void => {
	if (status.kind === "exited") process.exitCode = status.exitCode;
	else {
		dieOf(status.signal);
		process.exitCode = 128 + status.signal;
	}
};

const program = new Command("vsyscall")
	.description("Runs programs under a vDSO and a vvar page of their own.")
	.version(VERSION)
	.exitOverride()
	// Not process.stdout: touching it may set O_NONBLOCK on a pipe that the program shares with us.
	.configureOutput({
		writeOut,
		writeErr,
		outputError: (text) =>
			say(
				text
					.replace(/^error: /, "")
					.trim()
					.replaceAll("\n", " "),
			),
	})
	.enablePositionalOptions();

const runCommand = program
	.command("run")
	.description("start a program, with everything that it starts, under a clock")
	.argument("<program...>", "the program and its arguments; put -- in front of it")
	.addOption(
		new Option(
			"--clock <spec>",
			"the time that it sees, for example @2038-01-19T03:14:07Z, +30d, '+1y frozen'",
		).default("host"),
	)
	.option("--only <names>", "only programs of these names, separated by commas, are on the clock")
	.option("--skip <names>", "programs of these names run in real time")
	.addOption(
		new Option("--on-failure <action>", "what happens to a process that cannot be covered")
			.choices(["refuse", "warn"])
			.default("refuse"),
	)
	.addOption(
		new Option(
			"--vsyscall <mode>",
			"what the vsyscall page does: native, emulate, xonly or none; auto serves it where the host does not",
		).default("auto"),
	)
	.addOption(
		new Option(
			"--reads <how>",
			"how clocks are read: exact; relaxed, without order between threads; coarse, to the kernel's tick",
		).default("exact"),
	)
	.option("--no-patch", "leave call sites of the vsyscall page as they are: every call is answered by the supervisor")
	.option("--stats", "say at the end how many call sites of the vsyscall page were patched")
	.option("--verbose", "say what is done, and why something failed")
	.addHelpText("after", EXAMPLES)
	.passThroughOptions()
	.action(async (command: string[], flags: RunFlags) => endLike(await runProgram(command, flags)));

addClockCommand(program);
addStatCommand(program, endLike);
addTraceCommand(program, endLike);
// Only for the list of commands: faketime's options are not told apart from its timestamps by our parser.
program
	.command("faketime")
	.description("the same with the arguments and variables of faketime")
	.configureHelp({ formatHelp: () => FAKETIME_HELP });

const faketime = async (args: readonly string[]): Promise<void> => {
	const request = readFaketimeArguments(args);
	if (request.kind === "help") writeOut(FAKETIME_HELP);
	else if (request.kind === "version") writeOut(`vsyscall ${VERSION}\n`);
	else endLike(await runFaketime(request));
};

const main = async (): Promise<void> => {
	try {
		const faketimeArguments = faketimeCommandLine(process.argv);
		await (faketimeArguments === undefined ? program.parseAsync() : faketime(faketimeArguments));
		process.exit();
	} catch (error) {
		if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : EXIT_OWN_FAILURE);
		sayError(error, runCommand.opts<RunFlags>().verbose === true);
		process.exit(exitCodeOf(error));
	}
};

void main();
