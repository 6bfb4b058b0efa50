/**
 * The files that processes map: the image, then the vvar page.
 *
 *     64-bit processes     image, page                     one file, or the page of a named clock in that clock's file
 *     32-bit processes     their image in a file of its own, made when the first of them comes; the page where it was already
 *
 * So one page serves the whole tree of a run. With a named clock, whose page other runs map too, the one that stands behind the image
 * is not used.
 */
import type { ClockChange, ClockFile } from "../../clock-file/clock-file.ts";
import { afterRead, type WallClock, wallTime } from "../../clock/clock.ts";
import { hostRealtime } from "../../linux/host-vdso.ts";
import { createMemoryFile, fillFile, mapShared, sealAgainstWriting } from "../../linux/memfd.ts";
import { descriptorPath } from "../../linux/proc-file.ts";
import type { Nanoseconds } from "../../units.ts";
import type { Image } from "../../vdso/image.ts";
import { PAGE_SIZE } from "../../vvar/layout.ts";
import { readClock, VvarPage } from "../../vvar/page.ts";
import type { RunClock } from "../run-clock.ts";

export interface PageFileOptions {
	readonly image: Image;
	/** The clock of this run alone, or one that has a name. */
	readonly clock: WallClock | ClockFile;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
}

/** Where processes of one class find their image and the page. */
export interface ImageFiles {
	readonly image: Image;
	/** Descriptor of the image's file, open as long as the supervisor lives. */
	readonly fd: number;
	readonly path: Uint8Array;
	/** Where the vvar page is, when it is in another file: its path, and the offset in it. */
	readonly page: { readonly path: Uint8Array; readonly offset: number } | undefined;
	/** Descriptors for a process that cannot open the paths: of this file, and of the vvar page's if that is another. Not for writing. */
	readonly readable: readonly number[];
	/** Makes an empty memory file into one that has image and page; undefined for a page that cannot be copied. */
	readonly copyTo: ((fd: number) => void) | undefined;
}

/** A memory file with an image and what belongs to it, and an empty page behind it. */
const fillImageFile = (fd: number, { bytes, furtherPages, pageFileOffset }: Image): void => {
	fillFile(fd, bytes, 0);
	fillFile(fd, new Uint8Array(PAGE_SIZE), pageFileOffset);
	furtherPages.forEach((page, index) => fillFile(fd, page, pageFileOffset + (index + 1) * PAGE_SIZE));
};

export class PageFile implements RunClock {
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
	/** The page of the run's own clock. */
	readonly #page: Uint8Array;
	readonly #clockFile: ClockFile | undefined;
	/** The page, and those of processes with a file of their own; the latter stay until the run ends, 4 KiB each. */
	readonly #pages: VvarPage[];
	readonly #listeners: ((before: WallClock) => void)[] = [];
	/** Of the image that this was made with. */
	readonly files: ImageFiles;

	/** @throws {SyscallError} when there is no descriptor or no memory left. */
	constructor({ image, clock, taiSeconds }: PageFileOptions) {
		this.#clockFile = "fd" in clock ? clock : undefined;
		this.taiSeconds = taiSeconds;
		const fd = createMemoryFile();
		fillImageFile(fd, image);
		this.#page = mapShared(fd, image.pageFileOffset, PAGE_SIZE);
		this.#pages = [new VvarPage(this.#page, taiSeconds)];
		if (!("fd" in clock)) this.#store(clock);
		sealAgainstWriting(fd);
		const clockFile = this.#clockFile;
		this.files = {
			image,
			fd,
			path: descriptorPath(fd),
			page: clockFile && { path: descriptorPath(clockFile.fd), offset: 0 },
			readable: clockFile === undefined ? [fd] : [fd, clockFile.readableFd],
			copyTo: this.#copier(image),
		};
	}

	/** A file for a further image, whose processes have the same page. @throws {SyscallError} as the constructor */
	filesFor(image: Image): ImageFiles {
		const fd = createMemoryFile();
		fillImageFile(fd, image);
		sealAgainstWriting(fd);
		const { files } = this;
		const page = files.page ?? { path: files.path, offset: files.image.pageFileOffset };
		const [pageFd = files.fd] = files.readable.slice(-1);
		return { image, fd, path: descriptorPath(fd), page, readable: [fd, pageFd], copyTo: this.#copier(image) };
	}

	#copier(image: Image): ImageFiles["copyTo"] {
		if (this.#clockFile !== undefined) return undefined;
		return (fd) => {
			fillImageFile(fd, image);
			const page = new VvarPage(mapShared(fd, image.pageFileOffset, PAGE_SIZE), this.taiSeconds);
			page.push(this.current);
			this.#pages.push(page);
			sealAgainstWriting(fd);
		};
	}

	/** Descriptors of ours that processes must not inherit. */
	get descriptors(): readonly number[] {
		const { fd } = this.files;
		return this.#clockFile === undefined ? [fd] : [fd, this.#clockFile.fd, this.#clockFile.readableFd];
	}

	/** The clock of the run, as the page shows it now. */
	get current(): WallClock {
		return readClock(this.#page);
	}

	get isAsked(): boolean {
		return this.current.kind !== "host";
	}

	read(host: Nanoseconds): Nanoseconds {
		const { current } = this;
		if (current.kind === "step") this.#store(afterRead(current));
		return wallTime(current, host);
	}

	change(change: ClockChange): void {
		const before = this.current;
		this.#store(change(before, hostRealtime()));
		for (const listener of this.#listeners) listener(before);
	}

	onStep(listener: (before: WallClock) => void): void {
		this.#listeners.push(listener);
	}

	#store(clock: WallClock): void {
		for (const page of this.#pages) page.push(clock);
	}
}
