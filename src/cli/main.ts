#!/usr/bin/env node
/** The command line: options -> a run -> an exit status. */
import { Command, CommanderError, Option } from "commander";
import { readFaketimeArguments } from "../faketime/arguments.ts";
import { dieOf } from "../linux/exit.ts";
import { EXIT_OWN_FAILURE, type ExitStatus } from "../supervisor/exit-status.ts";
import { IO_URING_WAYS } from "../syscalls/io-uring-way.ts";
import { FAST_ENTRIES } from "../vdso/fast-entry.ts";
import { READS } from "../vdso/reads.ts";
import { REQUESTED_MODES } from "../vsyscall/mode.ts";
import { addBenchCommand } from "./bench.ts";
import { optionOf } from "./choices.ts";
import { addClockCommand } from "./clock.ts";
import { addCompletionCommand } from "./completion.ts";
import { addDoctorCommand } from "./doctor.ts";
import { addExamples } from "./examples.ts";
import { FAKETIME_HELP, faketimeCommandLine, runFaketime } from "./faketime.ts";
import { addInspectCommand } from "./inspect.ts";
import { addManCommand } from "./man.ts";
import { exitCodeOf, say, sayError, writeErr, writeOut } from "./messages.ts";
import { type RunFlags, runProgram } from "./run.ts";
import { addScanCommand } from "./scan.ts";
import { addStatCommand } from "./stat.ts";
import { addTraceCommand } from "./trace.ts";
import { VERSION } from "./version.ts";

const EXIT_STATUS = `
Exit status:
  125  vsyscall itself failed, or what it was given cannot be used
  126  the program was found but cannot be executed
  127  the program was not found
  Everything else is the program's own; 1 of a verb that looks at something
  says that it has found something.`;

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
addExamples(program, ["vsyscall run --clock +10y -- date", "vsyscall help run"]).addHelpText("after", EXIT_STATUS);

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
	.option(
		"--after <duration>",
		"the clock is the host's for so long, or so many reads, and only then what --clock says",
	)
	.option("--for <duration>", "after so long, or so many reads, on the clock it is the host's again")
	.option("--only <names>", "only programs of these names, separated by commas, are on the clock")
	.option("--skip <names>", "programs of these names run in real time")
	.addOption(
		new Option("--on-failure <action>", "what happens to a process that cannot be covered")
			.choices(["refuse", "warn"])
			.default("refuse"),
	)
	.addOption(
		optionOf(
			"--vsyscall <mode>",
			"what the vsyscall page does; auto serves it where the host does not",
			REQUESTED_MODES,
		).default("auto"),
	)
	.addOption(
		optionOf(
			"--reads <how>",
			"how clocks are read: exact; relaxed, without order between threads; coarse, to the kernel's tick",
			READS,
		).default("exact"),
	)
	.addOption(
		optionOf(
			"--fast-entry <form>",
			"how 32-bit programs make system calls: syscall, sysenter or int80, host for the kernel's own way; auto takes what the processor has",
			FAST_ENTRIES,
		).default("auto"),
	)
	.addOption(
		optionOf(
			"--io-uring <way>",
			"whose clock the timeouts of io_uring are on: host; follow, the run's; refuse, there is no io_uring",
			IO_URING_WAYS,
		).default("host"),
	)
	.option("--no-patch", "leave call sites of the vsyscall page as they are: every call is answered by the supervisor")
	.option("--stats", "say at the end how many call sites of the vsyscall page were patched")
	.option("--verbose", "say what is done, and why something failed")
	.passThroughOptions()
	.action(async (command: string[], flags: RunFlags) => endLike(await runProgram(command, flags)));
addExamples(runCommand, [
	"vsyscall run --clock '@2038-01-19T03:14:07Z' -- date -u",
	"vsyscall run --clock +30d -- ./server --port 8080",
	"vsyscall run --vsyscall=emulate -- ./program-from-2009",
	"vsyscall run --clock '2031-01-01T00:00Z frozen' -- make check",
	"vsyscall run --clock +1d --after 30s --for 10s -- ./server",
	"vsyscall run --clock +5y --only javac,jar -- make",
]);

addClockCommand(program);
addStatCommand(program, endLike);
addTraceCommand(program, endLike);
addInspectCommand(program);
addDoctorCommand(program);
addScanCommand(program);
addBenchCommand(program);
// Only for the list of commands: faketime's options are not told apart from its timestamps by our parser.
program
	.command("faketime")
	.description("the same with the arguments and variables of faketime")
	.configureHelp({ formatHelp: () => FAKETIME_HELP });
addCompletionCommand(program);
addManCommand(program);

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
