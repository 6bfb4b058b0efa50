/** Files that a verb is asked to write: looked at before the work, and never left half written. */
import { accessSync, closeSync, constants, openSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { VsyscallError } from "../errors.ts";
import { writeAll } from "./write-all.ts";

const cannot = (path: string, error: unknown): VsyscallError => {
	const { code } = error as NodeJS.ErrnoException;
	return new VsyscallError(
		"ERR_VSYSCALL_OUTPUT",
		`${path} cannot be written (${code ?? String(error)}): name a file in a directory that you may write to`,
		{ cause: error },
	);
};

/**
 * Says in front of the work that a file cannot be written.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_OUTPUT when it is a directory, is write-protected, or its directory is missing or protected.
 */
export const checkOutputFile = (path: string): void => {
	try {
		const file = statSync(path, { throwIfNoEntry: false });
		if (file?.isDirectory() === true) throw cannot(path, { code: "EISDIR" });
		accessSync(dirname(path), constants.W_OK | constants.X_OK);
		if (file !== undefined) accessSync(path, constants.W_OK);
	} catch (error) {
		throw error instanceof VsyscallError ? error : cannot(path, error);
	}
};

/** A file that is written while the work lasts: what it had is lost. */
export interface OpenOutput {
	readonly write: (text: string) => void;
	readonly close: () => void;
}

/**
 * Begins a file anew.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_OUTPUT, also later when it cannot be written any more.
 */
export const openOutputFile = (path: string): OpenOutput => {
	const trying = <Result>(act: () => Result): Result => {
		try {
			return act();
		} catch (error) {
			throw cannot(path, error);
		}
	};
	const fd = trying(() => openSync(path, "w"));
	return { write: (text) => trying(() => writeAll(fd, text)), close: () => closeSync(fd) };
};

/**
 * Writes a file whole, or leaves what was there.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_OUTPUT when it cannot be written.
 */
export const writeOutputFile = (path: string, text: string): void => {
	const isReplaceable = statSync(path, { throwIfNoEntry: false })?.isFile() ?? true;
	// A pipe or a device is written to, not replaced.
	const target = isReplaceable ? `${path}.${process.pid}` : path;
	try {
		writeFileSync(target, text);
		if (isReplaceable) renameSync(target, path);
	} catch (error) {
		if (isReplaceable) rmSync(target, { force: true });
		throw cannot(path, error);
	}
};
