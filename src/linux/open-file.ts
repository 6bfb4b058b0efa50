/** A regular file that is read in parts: core files are as large as the process was. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { cannotRead } from "../inspect/inspect-error.ts";
import type { ByteSource } from "../scan/source.ts";

const reasonOf = (error: unknown): string => {
	const { code } = error as NodeJS.ErrnoException;
	if (code === "ENOENT") return "there is no such file";
	if (code === "EACCES" || code === "EPERM") return "no permission";
	return code ?? String(error);
};

const sourceOfFile = (fd: number, length: number): ByteSource => ({
	length,
	read(into, offset) {
		let done = 0;
		for (let count = -1; count !== 0 && done < into.length; done += count) {
			count = readSync(fd, into, done, into.length - done, offset + done);
		}
		return done;
	},
});

/**
 * Opens a file for as long as `use` runs.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_INSPECT when it is not there, may not be read, is no regular file or is empty.
 */
export const withFile = <Result>(path: string, use: (source: ByteSource) => Result): Result => {
	let fd: number;
	try {
		// A FIFO would wait for somebody who writes.
		fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
	} catch (error) {
		throw cannotRead(path, reasonOf(error), error);
	}
	try {
		const stats = fstatSync(fd);
		if (stats.isDirectory()) throw cannotRead(path, "it is a directory");
		if (!stats.isFile()) throw cannotRead(path, "it is not a regular file");
		if (stats.size === 0) throw cannotRead(path, "it is empty");
		return use(sourceOfFile(fd, stats.size));
	} finally {
		closeSync(fd);
	}
};
