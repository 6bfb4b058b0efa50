/** What the command line says when something is not as asked: one line each, on stderr. */
import { writeSync } from "node:fs";
import { VsyscallError } from "../errors.ts";
import { EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, EXIT_OWN_FAILURE } from "../supervisor/exit-status.ts";

const STDERR = 2;

/** Writes one line. A stderr that is closed or full is no reason to fail. */
export const say = (message: string): void => {
	try {
		writeSync(STDERR, `vsyscall: ${message}\n`);
	} catch {
		// Nobody listens.
	}
};

export const exitCodeOf = (error: unknown): number => {
	if (!(error instanceof VsyscallError)) return EXIT_OWN_FAILURE;
	if (error.code === "ERR_VSYSCALL_NOT_FOUND") return EXIT_NOT_FOUND;
	if (error.code === "ERR_VSYSCALL_NOT_EXECUTABLE") return EXIT_NOT_EXECUTABLE;
	return EXIT_OWN_FAILURE;
};
