/**
 * A named clock: one vvar page in a file, which every process on the clock maps.
 *
 *     RUNTIME/NAME.clock      4096 bytes, mode 0600: the page (vvar/layout.ts)
 *
 * A change is made under the file's lock, so that two controllers never lose one, and is one store, so that a controller which is
 * killed at any moment leaves the old clock or the new one. Then the file's time stamps are set, which wakes those who must know
 * (inotify): readers need nobody for it.
 */
import { randomUUID } from "node:crypto";
import {
	closeSync,
	constants,
	fstatSync,
	ftruncateSync,
	futimesSync,
	linkSync,
	openSync,
	readdirSync,
	readSync,
	type Stats,
	unlinkSync,
	watch,
	writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterRead, type WallClock } from "../clock/clock.ts";
import { VsyscallError } from "../errors.ts";
import { bootId } from "../linux/boot-id.ts";
import { withFileLock } from "../linux/file-lock.ts";
import { hostRealtime, readTaiOffset } from "../linux/host-vdso.ts";
import { mapShared, unmap } from "../linux/memfd.ts";
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { pageFault } from "../vvar/check.ts";
import { PAGE, PAGE_SIZE } from "../vvar/layout.ts";
import { readClock, VvarPage } from "../vvar/page.ts";
import * as errors from "./clock-file-error.ts";
import { isClockName } from "./clock-name.ts";
import { openRuntimeDirectory } from "./runtime-directory.ts";

const SUFFIX = ".clock";
const PRIVATE = 0o600;
const OPEN = constants.O_RDWR | constants.O_NOFOLLOW;

/** The clock at a moment of the host's CLOCK_REALTIME -> the clock that it becomes. Called while nobody else changes it. */
export type ClockChange = (clock: WallClock, host: Nanoseconds) => WallClock;

const isFromThisBoot = (page: Uint8Array): boolean => {
	const now = bootId();
	return now.every((byte) => byte === 0) || now.every((byte, index) => page[PAGE.bootId + index] === byte);
};

const sizeFault = (size: number): string => `it has ${size} bytes, a page has ${PAGE_SIZE}`;

/** @returns what is wrong with a file that should be a clock */
const fault = (file: Stats): string | undefined => {
	if (!file.isFile()) return "it is not a regular file";
	if (file.uid !== process.geteuid?.()) return `it belongs to user ${file.uid}`;
	if ((file.mode & 0o777) !== PRIVATE)
		return `others may use it (mode ${(file.mode & 0o777).toString(8)}, expected 600)`;
	if (file.size !== PAGE_SIZE) return sizeFault(file.size);
	return undefined;
};

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT";

export class ClockFile {
	readonly name: string;
	readonly path: string;
	/** Open for reading and writing. */
	readonly fd: number;
	/** Open for reading only: a mapping of it can never be made writable. */
	readonly readableFd: number;
	/** Number of the file on its file system: by it a mapping is known to be this clock's. */
	readonly inode: number;
	readonly createdAt: Date;
	#bytes: Uint8Array;
	#page: VvarPage;

	private constructor(name: string, path: string, fd: number) {
		const file = fstatSync(fd);
		const reason = fault(file);
		if (reason !== undefined) throw errors.unusable(name, reason);
		this.name = name;
		this.path = path;
		this.fd = fd;
		this.inode = file.ino;
		this.createdAt = file.birthtime;
		this.readableFd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
		this.#bytes = mapShared(fd, 0, PAGE_SIZE);
		try {
			this.#page = VvarPage.open(this.#bytes);
		} catch (error) {
			unmap(this.#bytes);
			throw error instanceof VsyscallError ? errors.unusable(name, error.message) : error;
		}
	}

	/**
	 * Makes a clock. It appears under its name complete or not at all.
	 *
	 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when the name is none, or taken, or the directory cannot be used.
	 */
	static create(name: string, clock: WallClock): ClockFile {
		if (!isClockName(name)) throw errors.badName(name);
		const directory = openRuntimeDirectory();
		removeStale(directory);
		const path = join(directory, `${name}${SUFFIX}`);
		const temporary = join(directory, `.${randomUUID()}`);
		const bytes = new Uint8Array(PAGE_SIZE);
		new VvarPage(bytes, readTaiOffset()).push(clock);
		bytes.set(bootId(), PAGE.bootId);
		const fd = openSync(temporary, OPEN | constants.O_CREAT | constants.O_EXCL, PRIVATE);
		try {
			writeSync(fd, bytes);
			linkSync(temporary, path);
			return new ClockFile(name, path, fd);
		} catch (error) {
			closeSync(fd);
			if (error instanceof Error && "code" in error && error.code === "EEXIST") throw errors.exists(name);
			throw error;
		} finally {
			unlinkSync(temporary);
		}
	}

	/** @throws {VsyscallError} ERR_VSYSCALL_CLOCK when there is no such clock, or its file is not one that can be trusted. */
	static open(name: string): ClockFile {
		if (!isClockName(name)) throw errors.badName(name);
		const directory = openRuntimeDirectory();
		const path = join(directory, `${name}${SUFFIX}`);
		let fd: number;
		try {
			fd = openSync(path, OPEN);
		} catch (error) {
			if (isMissing(error)) throw errors.unknown(name, ClockFile.names());
			throw errors.unusable(name, error instanceof Error ? error.message : String(error));
		}
		try {
			const file = new ClockFile(name, path, fd);
			if (isFromThisBoot(file.#bytes)) return file;
			unlinkSync(path);
			throw errors.unknown(name, ClockFile.names());
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	/** Names of all clocks of this user, sorted. */
	static names(): readonly string[] {
		return readdirSync(openRuntimeDirectory())
			.filter((file) => file.endsWith(SUFFIX))
			.map((file) => file.slice(0, -SUFFIX.length))
			.filter(isClockName)
			.toSorted();
	}

	/**
	 * The clock, as the page shows it now.
	 *
	 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when the file has been cut off: a read of what is mapped of it would be SIGBUS.
	 */
	get clock(): WallClock {
		const { size } = fstatSync(this.fd);
		if (size < PAGE_SIZE) throw errors.unusable(this.name, sizeFault(size));
		return readClock(this.#bytes);
	}

	/**
	 * Changes the clock, for every process on it at its next read.
	 *
	 * @param ahead nanoseconds: `change` is asked with a moment that much ahead, and again when that has passed before the change
	 * could be seen. So a clock that is made to stand where it is never stands at an instant that somebody has already read past.
	 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when another process holds the lock and does not go on; whatever `change` throws.
	 */
	change(change: ClockChange, ahead = 0n): WallClock {
		const result = withFileLock(this.fd, () => {
			const before = this.clock;
			for (;;) {
				const moment = nanoseconds(hostRealtime() + ahead);
				const after = change(before, moment);
				this.#page.push(after);
				if (ahead > 0n && hostRealtime() > moment) continue;
				futimesSync(this.fd, new Date(), new Date());
				return after;
			}
		});
		if (result === "busy") throw errors.busy(this.name);
		return result;
	}

	/**
	 * Moves a clock that steps by one step: somebody reads it. Watchers are not told.
	 *
	 * @returns the clock as it was for the reader
	 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when another process holds the lock and does not go on.
	 */
	step(): WallClock {
		const result = withFileLock(this.fd, () => {
			const before = this.clock;
			this.#page.push(afterRead(before));
			return before;
		});
		if (result === "busy") throw errors.busy(this.name);
		return result;
	}

	/**
	 * Puts a page that somebody has cut off or overwritten back, so that the programs on it read a clock again.
	 *
	 * @param clock what it is to show
	 * @returns what was wrong with it; undefined when nothing was, or when another process that mends it does not go on
	 */
	mend(clock: WallClock): string | undefined {
		if (this.#damage() === undefined) return undefined;
		const found = withFileLock(this.fd, () => {
			const damage = this.#damage();
			if (damage === undefined) return undefined;
			ftruncateSync(this.fd, PAGE_SIZE);
			// The notes of the pusher may be anything; the wall word is stored last.
			this.#bytes.fill(0, 0, PAGE.wall);
			this.#page = new VvarPage(this.#bytes, readTaiOffset());
			this.#page.push(clock);
			this.#bytes.set(bootId(), PAGE.bootId);
			return damage;
		});
		return found === "busy" ? undefined : found;
	}

	#damage(): string | undefined {
		const { size } = fstatSync(this.fd);
		return size === PAGE_SIZE ? pageFault(this.#bytes) : sizeFault(size);
	}

	/** Calls `listener` soon after every change, also those of other processes. @returns a function that ends it */
	onChange(listener: () => void): () => void {
		const watcher = watch(this.path, { persistent: false }, listener);
		watcher.on("error", () => {});
		return () => watcher.close();
	}

	/** Takes the name away. Processes on the clock keep its time. */
	remove(): void {
		try {
			if (fstatSync(this.fd).nlink > 0) unlinkSync(this.path);
		} catch (error) {
			if (!isMissing(error)) throw error;
		}
	}

	/** The object must not be used any more. */
	close(): void {
		unmap(this.#bytes);
		this.#bytes = new Uint8Array(0);
		closeSync(this.readableFd);
		closeSync(this.fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}
}

/** Clocks that were made before the machine was started: nobody can be on them. */
const removeStale = (directory: string): void => {
	for (const file of readdirSync(directory)) {
		if (!file.endsWith(SUFFIX)) continue;
		const path = join(directory, file);
		try {
			const fd = openSync(path, OPEN);
			const page = new Uint8Array(PAGE_SIZE);
			const isWhole = fault(fstatSync(fd)) === undefined && readSync(fd, page) === PAGE_SIZE;
			closeSync(fd);
			if (isWhole && !isFromThisBoot(page)) unlinkSync(path);
		} catch {
			// Not ours to judge, or gone meanwhile.
		}
	}
};
