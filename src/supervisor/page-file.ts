/**
 * The file that processes map: the image, then the vvar page.
 *
 * One file serves the whole tree of a run. A process that cannot reach it (chroot, other user, other namespaces) makes a file of
 * its own, which is filled with the same bytes.
 */
import type { WallClock } from "../clock/clock.ts";
import { createMemoryFile, fillFile, mapShared, sealAgainstWriting } from "../linux/memfd.ts";
import { pidInProc } from "../linux/proc-file.ts";
import type { Image } from "../vdso/image.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import { readClock, VvarPage } from "../vvar/page.ts";
import type { RunClock } from "./run-clock.ts";

export interface PageFileOptions {
	readonly image: Image;
	readonly clock: WallClock;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
}

export class PageFile implements RunClock {
	readonly #image: Image;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
	/** The page, as the processes of the run see it. */
	readonly #page: Uint8Array;
	/** The page, and those of processes with a file of their own; the latter stay until the run ends, 4 KiB each. */
	readonly #pages: VvarPage[];
	readonly #listeners: ((before: WallClock) => void)[] = [];
	/** Descriptor of the file, open as long as the supervisor lives. */
	readonly fd: number;
	/** Where a process of the same user, root and namespaces can open it. NUL-terminated. */
	readonly path: Uint8Array;

	/** @throws {SyscallError} when there is no descriptor or no memory left. */
	constructor({ image, clock, taiSeconds }: PageFileOptions) {
		this.#image = image;
		this.taiSeconds = taiSeconds;
		this.fd = createMemoryFile();
		this.path = new TextEncoder().encode(`/proc/${pidInProc() ?? process.pid}/fd/${this.fd}\0`);
		fillFile(this.fd, image.bytes, 0);
		fillFile(this.fd, new Uint8Array(PAGE_SIZE), image.pageFileOffset);
		this.#fillFurther(this.fd);
		this.#page = mapShared(this.fd, image.pageFileOffset, PAGE_SIZE);
		this.#pages = [new VvarPage(this.#page, taiSeconds)];
		this.push(clock);
		sealAgainstWriting(this.fd);
	}

	/** Makes an empty memory file into a copy of this one. */
	copyTo(fd: number): void {
		fillFile(fd, this.#image.bytes, 0);
		fillFile(fd, new Uint8Array(PAGE_SIZE), this.#image.pageFileOffset);
		this.#fillFurther(fd);
		const page = new VvarPage(mapShared(fd, this.#image.pageFileOffset, PAGE_SIZE), this.taiSeconds);
		page.push(this.current);
		this.#pages.push(page);
		sealAgainstWriting(fd);
	}

	/** The clock of the run, as the page shows it now. */
	get current(): WallClock {
		return readClock(this.#page);
	}

	push(clock: WallClock): void {
		const before = this.current;
		for (const page of this.#pages) page.push(clock);
		for (const listener of this.#listeners) listener(before);
	}

	onStep(listener: (before: WallClock) => void): void {
		this.#listeners.push(listener);
	}

	#fillFurther(fd: number): void {
		const { pageFileOffset, furtherPages } = this.#image;
		furtherPages.forEach((page, index) => fillFile(fd, page, pageFileOffset + (index + 1) * PAGE_SIZE));
	}
}
