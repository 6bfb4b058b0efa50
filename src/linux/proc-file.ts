/**
 * Small files of /proc, read by three system calls into memory that is used again and again.
 *
 * node:fs costs several times as much as the kernel's own work here, and this happens at every exec.
 */
import { readFileSync, readlinkSync } from "node:fs";
import * as linux from "./constants.ts";
import { syscallResult } from "./ffi.ts";
import { ownPid } from "./own-pid.ts";

const PATH_SIZE = 64;
/** `state`, the one behind the name. */
const FIRST_STAT_FIELD = 3;
const path = new Uint8Array(PATH_SIZE);
const content = new Uint8Array(4096);
const encoder = new TextEncoder();

/** A whole file as text, "" when it cannot be read: for what is asked once. */
export const readText = (file: string, encoding: BufferEncoding = "latin1"): string => {
	try {
		return readFileSync(file, encoding);
	} catch {
		return "";
	}
};

/** Our own pid as the mounted /proc counts, undefined where there is none. */
export const pidInProc = (): number | undefined => {
	try {
		return Number(readlinkSync("/proc/self"));
	} catch {
		return undefined;
	}
};

/** Where a process of the same user, root and namespaces can open a descriptor of ours. NUL-terminated, at most 32 bytes. */
export const descriptorPath = (fd: number): Uint8Array => encoder.encode(`/proc/${pidInProc() ?? ownPid()}/fd/${fd}\0`);

let isOwn: boolean | undefined;

/**
 * Whether /proc speaks of our pid namespace. In one that was made without mounting /proc anew (unshare -p alone), its numbers are
 * those of other processes, and nothing under /proc/PID may be believed.
 */
export const isOwnProc = (): boolean => (isOwn ??= pidInProc() === ownPid());

/**
 * The first 4096 bytes of /proc/PID/NAME, valid until the next call; undefined when it cannot be read.
 */
export const readProcFile = (pid: number, name: string): Uint8Array | undefined => {
	if (!isOwnProc()) return undefined;
	const { written } = encoder.encodeInto(`/proc/${pid}/${name}`, path);
	path[written] = 0;
	const fd = syscallResult(linux.SYS_openat, linux.AT_FDCWD, path, linux.O_RDONLY | linux.O_CLOEXEC, 0);
	if (fd < 0) return undefined;
	const count = syscallResult(linux.SYS_read, fd, content, content.length);
	syscallResult(linux.SYS_close, fd);
	return count > 0 ? content.subarray(0, count) : undefined;
};

/** One line of /proc/PID/status without its name (proc_pid_status(5)); undefined when it cannot be read. */
export const readStatusField = (pid: number, name: string): string | undefined => {
	const status = readProcFile(pid, "status");
	if (status === undefined) return undefined;
	return new RegExp(`^${name}:\\s*(.*)$`, "m").exec(Buffer.from(status).toString("latin1"))?.[1];
};

/**
 * One field of /proc/PID/stat (proc_pid_stat(5)); undefined when it cannot be read.
 *
 * @param number as the manual counts, 3 (the state) or later: the name before it may hold spaces and parentheses
 */
export const readStatField = (pid: number, number: number): string | undefined => {
	const stat = readProcFile(pid, "stat");
	if (stat === undefined) return undefined;
	const text = Buffer.from(stat).toString("latin1");
	return text.slice(text.lastIndexOf(")") + 2).split(" ")[number - FIRST_STAT_FIELD];
};

const START_TIME_FIELD = 22;

/** When a process was made, in clock ticks after boot: with the pid it names one process. Undefined as above. */
export const readStartTime = (pid: number): string | undefined => readStatField(pid, START_TIME_FIELD);

/** The words of a command line; the short name of a process that has none. */
export const readCommand = (pid: number): readonly string[] => {
	const words = readText(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
	return words.length > 0 ? words : [readText(`/proc/${pid}/comm`, "utf8").trimEnd()];
};
