/** Starts the programs of a run: each waits until it is traced, and has what the supervisor was started with. */
import { inheritedDescriptors, inheritedEnvironment, inheritedOpenFilesLimit } from "../linux/inherited-state.ts";
import { type PendingProgram, type ProgramStart, spawn } from "../linux/spawn.ts";
import { findProgram } from "./program-file.ts";
import { seizeError } from "./seize-error.ts";

export interface ProgramCommand {
	/** The program: a path, or a name that is looked up in PATH. */
	readonly file: Uint8Array;
	/** Its arguments, the first of which is what it is called. */
	readonly args: readonly Uint8Array[];
}

/** What every program of a run starts with. */
export type Inheritance = Omit<ProgramStart, "file" | "args">;

/**
 * To be asked before files are watched, which opens descriptors that programs must not have.
 *
 * @param own descriptors of ours
 */
export const inheritance = (
	settings: { readonly own: readonly number[] } & Pick<ProgramStart, "filter" | "isFilterOptional">,
): Inheritance => {
	const { own, ...filter } = settings;
	return {
		environment: inheritedEnvironment(),
		descriptors: inheritedDescriptors(own),
		openFilesLimit: inheritedOpenFilesLimit(),
		...filter,
	};
};

/**
 * A program that is traced and waits to be released.
 *
 * @param seize begins to trace a process; returns 0 or -errno
 * @throws {VsyscallError} ERR_VSYSCALL_NOT_FOUND, ERR_VSYSCALL_NOT_EXECUTABLE: the command; ERR_VSYSCALL_PTRACE: tracing is
 * forbidden; ERR_VSYSCALL_SYSCALL: the host lacks processes.
 */
export const launch = (
	command: ProgramCommand,
	inherited: Inheritance,
	seize: (pid: number) => number,
): { readonly program: PendingProgram; readonly file: Uint8Array } => {
	const file = findProgram(command.file, process.env["PATH"]);
	const program = spawn({ file, args: command.args, ...inherited });
	const refusal = seize(program.pid);
	if (refusal < 0) throw seizeError(program.pid, -refusal);
	return { program, file };
};
