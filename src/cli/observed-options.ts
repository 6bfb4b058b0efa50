/** The options of runs whose calls are counted or traced: those of `run` that have to do with what a program calls. */
import { isatty } from "node:tty";
import { type Command, Option } from "commander";
import { IO_URING_WAYS } from "../syscalls/io-uring-way.ts";
import { FAST_ENTRIES } from "../vdso/fast-entry.ts";
import { READS } from "../vdso/reads.ts";
import { REQUESTED_MODES } from "../vsyscall/mode.ts";
import { optionOf } from "./choices.ts";
import { type OpenOutput, openOutputFile } from "./output-file.ts";
import type { RunFlags } from "./run.ts";
import { writeAll } from "./write-all.ts";

export interface ObservedFlags extends RunFlags {
	readonly output?: string;
	readonly json?: boolean;
}

export const addObservedOptions = (command: Command): Command =>
	command
		.argument("<program...>", "the program and its arguments; put -- in front of it")
		.addOption(new Option("--clock <spec>", "the time that it sees, as for run").default("host"))
		.addOption(
			optionOf("--vsyscall <mode>", "what the vsyscall page does, as for run", REQUESTED_MODES).default("auto"),
		)
		.addOption(optionOf("--reads <how>", "how clocks are read, as for run", READS).default("exact"))
		.addOption(
			optionOf("--fast-entry <form>", "how 32-bit programs make system calls, as for run", FAST_ENTRIES).default(
				"auto",
			),
		)
		.addOption(
			optionOf("--io-uring <way>", "whose clock timeouts of io_uring are on, as for run", IO_URING_WAYS).default(
				"host",
			),
		)
		.addOption(
			new Option("--on-failure <action>", "what happens to a process that cannot be covered")
				.choices(["refuse", "warn"])
				.default("refuse"),
		)
		.option("--no-patch", "leave call sites of the vsyscall page as they are")
		.option("-o, --output <file>", "write to a file, not to stderr")
		.passThroughOptions();

const STDERR = 2;

export const isTerminal = (path: string | undefined): boolean => path === undefined && isatty(STDERR);

/** Nobody may be listening. */
const writeAllErr = (text: string): void => {
	try {
		writeAll(STDERR, text);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "EPIPE") throw error;
	}
};

/**
 * Where results go: the file that was asked for, or stderr, which a program leaves to messages.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_OUTPUT when the file cannot be written.
 */
export const openOutput = (path: string | undefined): OpenOutput =>
	path === undefined ? { write: writeAllErr, close: () => {} } : openOutputFile(path);
