/** What the supervisor says about a process to a person: read from /proc, and harmless when /proc is missing. */
import { readlinkSync, type Stats, statSync } from "node:fs";
import { basename } from "node:path";
import { isOwnProc, readProcFile, readStatusField } from "../linux/proc-file.ts";

const S_ISUID = 0o4000;
const S_ISGID = 0o2000;
const S_IXGRP = 0o010;

/** The path of the program that a process runs, or the short name that the kernel keeps where the path is not for us to see. */
export const programName = (tid: number): string => {
	try {
		if (isOwnProc()) return readlinkSync(`/proc/${tid}/exe`);
		return "a program";
	} catch {
		const name = readProcFile(tid, "comm");
		return name === undefined ? "a program" : Buffer.from(name).toString().trimEnd();
	}
};

/** TASK_COMM_LEN without its NUL, include/linux/sched.h. */
const KEPT_NAME_BYTES = 15;
/** A script is behind its interpreter and at most one argument of that: execve(2), "Interpreter scripts". */
const SCRIPT_WORDS = 3;

const textOf = (tid: number, name: string): string => Buffer.from(readProcFile(tid, name) ?? []).toString();

/**
 * The names, without directories, by which a program that has just been executed is known: that of its file when links have been
 * followed (python3.11), the one it was called by (python3), and for a script its own beside that of the interpreter.
 *
 * The kernel names a task after the file that was executed, cut to 15 bytes (__set_task_comm, fs/exec.c); a word of the command line
 * that begins so is that name in full.
 */
export const programNames = (tid: number): readonly string[] => {
	const kept = textOf(tid, "comm").replace(/\n$/, "");
	const [called = "", ...further] = textOf(tid, "cmdline")
		.split("\0")
		.slice(0, SCRIPT_WORDS)
		.map((word) => basename(word));
	const isKept = (name: string): boolean => Buffer.from(name).subarray(0, KEPT_NAME_BYTES).toString() === kept;
	return [basename(programName(tid)), called, kept, ...further.filter(isKept)];
};

const euid = process.geteuid?.() ?? 0;

const programFile = (tid: number): Stats | undefined => {
	if (!isOwnProc()) return undefined;
	try {
		return statSync(`/proc/${tid}/exe`);
	} catch {
		// The process is gone, or it is one that we may not look into.
		return undefined;
	}
};

/**
 * What a setuid or setgid program lost because its tracer has no privileges (ptrace(2), "execve(2) under ptrace").
 *
 * @returns the end of a sentence, or undefined when nothing was lost
 */
export const droppedPrivileges = (tid: number): string | undefined => {
	if (euid === 0) return undefined;
	const file = programFile(tid);
	if (file === undefined) return undefined;
	const isSetuid = (file.mode & S_ISUID) !== 0 && file.uid !== euid;
	const isSetgid = (file.mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP) && file.gid !== process.getegid?.();
	if (!isSetuid && !isSetgid) return undefined;
	return `is ${isSetuid ? "setuid" : "setgid"}, which the kernel ignores under a tracer without privileges: it runs as you (run vsyscall as root to keep it)`;
};

/** Whether a task is the first thread of its process. Without /proc every task counts as one. */
export const isProcess = (tid: number): boolean => (readStatusField(tid, "Tgid") ?? String(tid)) === String(tid);
