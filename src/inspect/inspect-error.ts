/** What stands in the way of looking at something, one error each. */
import { VsyscallError } from "../errors.ts";

const error = (message: string, cause?: unknown): VsyscallError =>
	new VsyscallError("ERR_VSYSCALL_INSPECT", message, cause === undefined ? {} : { cause });

export const noProcess = (pid: number): VsyscallError => error(`there is no process ${pid}`);

export const hasEnded = (pid: number): VsyscallError => error(`process ${pid} ended while it was looked at`);

/** @param why "it belongs to user 0: do it as that user" */
export const notAllowed = (pid: number, why: string): VsyscallError =>
	error(`process ${pid} may not be looked into: ${why}`);

/** @param state "kernel thread" */
export const hasNoProgram = (pid: number, state: string): VsyscallError =>
	error(`process ${pid} has no program: ${state}`);

export const foreignProc = (): VsyscallError =>
	error("/proc is that of another pid namespace, so its numbers are those of other processes: mount it anew");

export const cannotRead = (file: string, reason: string, cause?: unknown): VsyscallError =>
	error(`${file} cannot be read: ${reason}`, cause);

export const isProgram = (file: string): VsyscallError =>
	error(
		`${file} is a program, and inspect looks at vDSO images, core files and processes: vsyscall doctor ${file} says what it needs`,
	);

export const notAnImage = (file: string, reason: string, cause?: unknown): VsyscallError =>
	error(`${file} is neither a vDSO image nor a core file: ${reason}`, cause);

export const noImage = (what: string, reason: string): VsyscallError => error(`${what} has no image: ${reason}`);

export const noSymbol = (name: string, known: readonly string[]): VsyscallError =>
	error(`the image has no function ${name} (it has ${known.join(", ") || "none"})`);

export const notDecoded = (abi: string): VsyscallError =>
	error(`the code of this image is for ${abi} and is not decoded: only x86-64, x32 and i386 are`);

export const cannotWrite = (file: string, reason: string, cause?: unknown): VsyscallError =>
	error(`${file} cannot be written: ${reason}`, cause);
