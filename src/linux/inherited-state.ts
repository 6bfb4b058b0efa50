/** What this process was started with, as far as Node leaves it to be seen; everything is bytes. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import * as linux from "./constants.ts";
import { syscallResult } from "./ffi.ts";

const read = (path: string): Uint8Array | undefined => {
	try {
		return readFileSync(path);
	} catch {
		return undefined;
	}
};

const splitStrings = (bytes: Uint8Array): readonly Uint8Array[] => {
	const strings: Uint8Array[] = [];
	let start = 0;
	for (let end = bytes.indexOf(0); end >= 0; end = bytes.indexOf(0, start)) {
		strings.push(bytes.subarray(start, end));
		start = end + 1;
	}
	return strings;
};

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The environment, byte for byte; decoded and encoded again where /proc is missing. */
export const inheritedEnvironment = (): readonly Uint8Array[] => {
	const block = read("/proc/self/environ");
	if (block !== undefined) return splitStrings(block);
	return Object.entries(process.env).map(([name, value]) => encode(`${name}=${value ?? ""}`));
};

/** The last `texts.length` arguments of this process, byte for byte. @param texts the same as Node decoded them */
export const inheritedArguments = (texts: readonly string[]): readonly Uint8Array[] => {
	const block = read("/proc/self/cmdline");
	const all = block === undefined ? [] : splitStrings(block);
	return all.length < texts.length ? texts.map(encode) : all.slice(all.length - texts.length);
};

interface Descriptor {
	readonly fd: number;
	/** What /proc/self/fd says: a path, "pipe:[INODE]", "anon_inode:[eventfd]". */
	readonly target: string;
	/** O_ACCMODE and O_NONBLOCK. */
	readonly flags: number;
}

const O_ACCMODE = 3;
const O_RDONLY = 0;
const O_WRONLY = 1;

/**
 * Node's own: event loops, and the pipes that wake them, both ends of which are ours.
 *
 * The ends of libuv's pipes are both blocking or both not. The other pipe of which a process often inherits both ends, the
 * jobserver of make, is mixed (GNU make 4.3 and later).
 */
const isNodes = ({ target, flags }: Descriptor, all: readonly Descriptor[]): boolean => {
	if (target.startsWith("anon_inode:")) return true;
	const otherEnd = (flags & O_ACCMODE) === O_RDONLY ? O_WRONLY : O_RDONLY;
	return (
		target.startsWith("pipe:") &&
		all.some((other) => other.target === target && other.flags === ((flags & linux.O_NONBLOCK) | otherEnd))
	);
};

const openDescriptors = (): readonly Descriptor[] => {
	const descriptors: Descriptor[] = [];
	for (const name of readdirSync("/proc/self/fd")) {
		try {
			const target = readlinkSync(`/proc/self/fd/${name}`);
			const flags = syscallResult(linux.SYS_fcntl, Number(name), linux.F_GETFL) & (O_ACCMODE | linux.O_NONBLOCK);
			descriptors.push({ fd: Number(name), target, flags });
		} catch {
			// The descriptor of the directory itself, closed by now.
		}
	}
	return descriptors;
};

/**
 * The descriptors that a program started by a shell would have: 0 to 2, and what was inherited beyond.
 *
 * Node marks inherited descriptors close-on-exec (libuv does, up to the first gap above 15), so the flag does not tell them from
 * its own; what they are does. An inherited event loop or eventfd is taken for Node's.
 *
 * @param own descriptors that this program has opened itself
 */
export const inheritedDescriptors = (own: readonly number[]): readonly number[] => {
	let all: readonly Descriptor[];
	try {
		all = openDescriptors();
	} catch {
		return [0, 1, 2].filter((fd) => syscallResult(linux.SYS_fcntl, fd, linux.F_GETFD) >= 0);
	}
	const beyond = all.filter(({ fd }) => fd > 2);
	return all
		.filter((descriptor) => descriptor.fd <= 2 || (!own.includes(descriptor.fd) && !isNodes(descriptor, beyond)))
		.map(({ fd }) => fd);
};

/**
 * The limit of open files that the program should have, undefined when ours is right.
 *
 * Node raises the soft limit to the hard one; the parent's soft limit is what we would have had.
 */
export const inheritedOpenFilesLimit = (): readonly [bigint, bigint] | undefined => {
	const current = new BigUint64Array(2);
	if (syscallResult(linux.SYS_prlimit64, 0, linux.RLIMIT_NOFILE, 0, current) < 0) return undefined;
	const parent = new BigUint64Array(2);
	if (syscallResult(linux.SYS_prlimit64, process.ppid, linux.RLIMIT_NOFILE, 0, parent) < 0) return undefined;
	const [soft = 0n, hard = 0n] = current;
	const [parentSoft = 0n, parentHard = 0n] = parent;
	return soft === hard && hard === parentHard && parentSoft < soft ? [parentSoft, hard] : undefined;
};
