/**
 * The regular files of a tree, in the order of their names; links are not followed, so there are no loops.
 *
 * What is no file, cannot be listed, or belongs to a file system that the kernel makes up (a read of /proc may take memory by the
 * terabyte) comes with the reason why it is passed over.
 */
import { type Dirent, lstatSync, readdirSync, statfsSync, statSync } from "node:fs";
import { join } from "node:path";

export type Visited =
	| { readonly kind: "file"; readonly path: string }
	| { readonly kind: "passed over"; readonly path: string; readonly reason: string };

/** f_type of statfs(2), by linux/magic.h. */
const MADE_UP: ReadonlyMap<number, string> = new Map([
	[0x9fa0, "proc"],
	[0x62656572, "sysfs"],
	[0x64626720, "debugfs"],
	[0x74726163, "tracefs"],
	[0x73636673, "securityfs"],
	[0x63677270, "cgroup2"],
	[0x27e0eb, "cgroup"],
	[0x6165676c, "pstore"],
	[0xcafe4a11, "bpf"],
	[0x1cd1, "devpts"],
	[0xde5e81e4, "efivarfs"],
]);

/** How Node writes what is no UTF-8: such a name cannot be opened by it. */
const REPLACEMENT = "\uFFFD";

/** Of the kernel's, what went wrong with a path. */
export const reasonOf = (error: unknown): string => {
	const { code = "", message } = error as NodeJS.ErrnoException;
	return REASONS[code] ?? message.replace(/^[A-Z0-9]+: /, "").replace(/,.*$/, "");
};

const REASONS: Readonly<Record<string, string>> = {
	EACCES: "permission denied",
	EPERM: "permission denied",
	ENOENT: "no such file",
	ELOOP: "too many links",
	ENXIO: "a device or socket that cannot be opened",
};

const kindOf = (entry: Pick<Dirent, "isFIFO" | "isSocket" | "isBlockDevice" | "isCharacterDevice">): string => {
	if (entry.isFIFO()) return "a FIFO";
	if (entry.isSocket()) return "a socket";
	return entry.isBlockDevice() || entry.isCharacterDevice() ? "a device" : "no regular file";
};

const madeUp = (directory: string): string | undefined => MADE_UP.get(statfsSync(directory).type);

/** What stands in a directory and below it. @param device that of the directory above */
function* walkDirectory(directory: string, device: number | undefined): Generator<Visited, void> {
	let entries: Dirent[];
	let own: number;
	try {
		own = lstatSync(directory).dev;
		const system = own === device ? undefined : madeUp(directory);
		if (system !== undefined) {
			yield { kind: "passed over", path: directory, reason: `a file system of the kernel (${system})` };
			return;
		}
		entries = readdirSync(directory, { withFileTypes: true }).toSorted((one, other) =>
			one.name < other.name ? -1 : 1,
		);
	} catch (error) {
		yield { kind: "passed over", path: directory, reason: reasonOf(error) };
		return;
	}
	for (const entry of entries) {
		const path = join(directory, entry.name);
		if (entry.isDirectory()) yield* walkDirectory(path, own);
		else if (entry.name.includes(REPLACEMENT)) yield { kind: "passed over", path, reason: "its name is not UTF-8" };
		else if (entry.isFile()) yield { kind: "file", path };
		else if (!entry.isSymbolicLink()) yield { kind: "passed over", path, reason: kindOf(entry) };
	}
}

/** A path that somebody has named: links there are followed. */
export function* walk(path: string): Generator<Visited, void> {
	let stat;
	try {
		stat = statSync(path);
	} catch (error) {
		yield { kind: "passed over", path, reason: reasonOf(error) };
		return;
	}
	if (stat.isDirectory()) yield* walkDirectory(path, undefined);
	else if (stat.isFile()) yield { kind: "file", path };
	else yield { kind: "passed over", path, reason: kindOf(stat) };
}
