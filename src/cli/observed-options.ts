/** The options of runs whose calls are counted or traced: those of `run` that have to do with what a program calls. */
import { closeSync, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { type Command, Option } from "commander";
import { VsyscallError } from "../errors.ts";
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

const STDERR = 2;
const RETRY_MS = 1;
const pause = new Int32Array(new SharedArrayBuffer(4));

const codeOf = (error: unknown): string | undefined =>
	typeof error === "object" && error !== null && "code" in error ? String(error.code) : undefined;

/** Writes all of it, however often a pipe that does not block says that it is full. */
const writeAll = (fd: number, text: string): void => {
	const bytes = Buffer.from(text);
	let done = 0;
	while (done < bytes.length) {
		try {
			done += writeSync(fd, bytes, done);
		} catch (error) {
			if (codeOf(error) !== "EAGAIN") throw error;
			Atomics.wait(pause, 0, 0, RETRY_MS);
		}
	}
};

/** Nobody may be listening. */
const writeAllErr = (text: string): void => {
	try {
		writeAll(STDERR, text);
	} catch (error) {
		if (codeOf(error) !== "EPIPE") throw error;
	}
};

/** @throws {VsyscallError} ERR_VSYSCALL_OUTPUT when the file cannot be written. */
export const openOutput = (path: string | undefined): Output => {
	if (path === undefined) return { isTerminal: isatty(STDERR), write: writeAllErr, close: () => {} };
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
				writeAll(fd, text);
			} catch (error) {
				const reason = error instanceof Error ? error.message : String(error);
				throw new VsyscallError("ERR_VSYSCALL_OUTPUT", `the output cannot be written: ${reason}`, { cause: error });
			}
		},
		close: () => closeSync(fd),
	};
};
