/**
 * Where named clocks are kept: a directory of the user's own, closed to everybody else, on a file system that a reboot empties where
 * there is one (XDG Base Directory Specification 0.8, "XDG_RUNTIME_DIR").
 */
import { lstatSync, mkdirSync, type Stats } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { badDirectory } from "./clock-file-error.ts";

const OTHERS = 0o077;

const ownUid = (): number => process.geteuid?.() ?? 0;

const isOwn = (path: string | undefined): path is string => {
	if (path === undefined || !path.startsWith("/")) return false;
	const found = lstatSync(path, { throwIfNoEntry: false });
	return found !== undefined && found.isDirectory() && found.uid === ownUid();
};

/**
 * VSYSCALL_RUNTIME_DIR; else `vsyscall` in the user's runtime directory, that of the environment only if it is the user's own (sudo
 * may leave another's there); root without one has /run/vsyscall, anybody else a directory for temporary files.
 */
export const runtimeDirectory = (environment: Readonly<NodeJS.ProcessEnv> = process.env): string => {
	const chosen = environment["VSYSCALL_RUNTIME_DIR"];
	if (chosen !== undefined && chosen !== "") return chosen;
	const uid = ownUid();
	const session = [environment["XDG_RUNTIME_DIR"], `/run/user/${uid}`].find(isOwn);
	if (session !== undefined) return join(session, "vsyscall");
	return uid === 0 && isOwn("/run") ? "/run/vsyscall" : join(tmpdir(), `vsyscall-${uid}`);
};

const look = (path: string): Stats | undefined => {
	try {
		return lstatSync(path, { throwIfNoEntry: false });
	} catch (cause) {
		throw badDirectory(path, "cannot be looked at", cause);
	}
};

/**
 * The directory, made when it is missing.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when it cannot be made, or is not the user's alone.
 */
export const openRuntimeDirectory = (): string => {
	const path = runtimeDirectory();
	if (look(path) === undefined) {
		try {
			mkdirSync(path, { mode: 0o700, recursive: true });
		} catch (cause) {
			throw badDirectory(path, `cannot be made (${cause instanceof Error ? cause.message : String(cause)})`, cause);
		}
	}
	const found = look(path);
	if (found === undefined || !found.isDirectory()) throw badDirectory(path, "is not a directory");
	if (found.uid !== ownUid()) throw badDirectory(path, `belongs to user ${found.uid}`);
	if ((found.mode & OTHERS) !== 0) {
		throw badDirectory(path, `can be entered by others (mode ${(found.mode & 0o777).toString(8)}, expected 700)`);
	}
	return path;
};
