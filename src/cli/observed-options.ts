/** The options of runs whose calls are counted or traced: those of `run` that have to do with what a program calls. */
import { closeSync, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { type Command, Option } from "commander";
import { VsyscallError } from "../errors.ts";
import { writeErr } from "./messages.ts";
import type { RunFlags } from "./run.ts";

export interface ObservedFlags extends RunFlags {
	readonly output?: string;
	readonly json?: boolean;
}

export const addObservedOptions = (command: Command): Command =>
	command
		.argument("<program...>", "the program and its arguments; put -- in front of it")
		.addOption(new Option("--clock <spec>", "the time that it sees, as for run").default("host"))
		.addOption(new Option("--vsyscall <mode>", "what the vsyscall page does, as for run").default("auto"))
		.addOption(new Option("--reads <how>", "how clocks are read, as for run").default("exact"))
		.addOption(
			new Option("--on-failure <action>", "what happens to a process that cannot be covered")
				.choices(["refuse", "warn"])
				.default("refuse"),
		)
		.option("--no-patch", "leave call sites of the vsyscall page as they are")
		.option("-o, --output <file>", "write to a file, not to stderr")
		.passThroughOptions();

/** Where results go: the file that was asked for, or stderr, which a program leaves to messages. */
export interface Output {
	readonly isTerminal: boolean;
	write(text: string): void;
	close(): void;
}

/** @throws {VsyscallError} ERR_VSYSCALL_OUTPUT when the file cannot be written. */
export const openOutput = (path: string | undefined): Output => {
	if (path === undefined) return { isTerminal: isatty(2), write: writeErr, close: () => {} };
	let fd: number;
	try {
		fd = openSync(path, "w");
	} catch (error) {
		const reason = error instanceof Error ? error.message : String(error);
		throw new VsyscallError("ERR_VSYSCALL_OUTPUT", `the output cannot be written: ${reason}`, { cause: error });
	}
	return {
		isTerminal: false,
		write: (text) => {
			try {
				writeSync(fd, text);
			} catch (error) {
				const reason = error instanceof Error ? error.message : String(error);
				throw new VsyscallError("ERR_VSYSCALL_OUTPUT", `the output cannot be written: ${reason}`, { cause: error });
			}
		},
		close: () => closeSync(fd),
	};
};
