/** What the command line says: results on stdout, and on stderr one line for each thing that is not as asked. */
import { writeSync } from "node:fs";
import { isVsyscallError } from "../errors.ts";
import { EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN_FAILURE } from "../supervisor/exit-status.ts";

const STDOUT = 1;
const STDERR = 2;

const write = (fd: number, text: string): void => {
	try {
		writeSync(fd, text);
	} catch {
		// Nobody listens.
	}
};

/** A stdout that is closed or full is no reason to fail. */
export const writeOut = (text: string): void => write(STDOUT, text);

/** The same of stderr. */
export const writeErr = (text: string): void => write(STDERR, text);

/** One line, whatever stands in the name of a program: control characters as escapes. */
const escaped = (message: string): string =>
	message.replace(/\p{Cc}/gu, (control) => `\\x${(control.codePointAt(0) ?? 0).toString(16).padStart(2, "0")}`);

/** Writes one line. */
export const say = (message: string): void => writeErr(`vsyscall: ${escaped(message)}\n`);

const messageOf = (error: unknown): string => {
	if (isVsyscallError(error)) return error.message;
	return `internal error: ${error instanceof Error ? error.message : String(error)}`;
};

/** One line; when verbose, one more for every cause, and where an internal error came from. */
export const sayError = (error: unknown, isVerbose: boolean): void => {
	say(messageOf(error));
	if (!isVerbose) return;
	if (!isVsyscallError(error) && error instanceof Error)
		for (const line of (error.stack ?? "").split("\n")) say(line.trim());
	for (let cause = error instanceof Error ? error.cause : undefined; cause instanceof Error; cause = cause.cause) {
		say(`caused by: ${cause.message}`);
	}
};

export const exitCodeOf = (error: unknown): number => {
	if (!isVsyscallError(error)) return EXIT_OWN_FAILURE;
	if (error.code === "ERR_VSYSCALL_NOT_FOUND") return EXIT_NOT_FOUND;
	if (error.code === "ERR_VSYSCALL_NOT_EXECUTABLE") return EXIT_NOT_EXECUTABLE;
	return EXIT_OWN_FAILURE;
};
