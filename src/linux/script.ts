/** The interpreter of a script: execve(2), "Interpreter scripts". */
import { basename } from "node:path";
import { bytesAt } from "../scan/source.ts";
import { withFile } from "./open-file.ts";

/** BINPRM_BUF_SIZE, v5.1 and later. */
const LINE_SIZE = 256;

/** The words of a `#!` line; undefined for a file that does not begin with one. @throws {VsyscallError} ERR_VSYSCALL_INSPECT */
export const interpreterLine = (path: string): readonly string[] | undefined => {
	const head = withFile(path, (source) => Buffer.from(bytesAt(source, 0, LINE_SIZE)).toString("latin1"));
	const line = /^#![ \t]*([^\n]*)/.exec(head)?.[1];
	return line === undefined ? undefined : line.trim().split(/[ \t]+/);
};

/** The name of the program that a `#!` line starts: behind `env`, what that looks for. */
export const programOfLine = ([interpreter = "", ...words]: readonly string[]): string => {
	if (basename(interpreter) !== "env") return interpreter;
	return words.find((word) => !word.startsWith("-") && !word.includes("=")) ?? interpreter;
};
