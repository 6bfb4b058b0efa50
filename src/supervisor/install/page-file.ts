/**
 * The file that processes map: the image, then the vvar page.
 *
 * One file serves the whole tree of a run. The page of a named clock is in a file of its own, which other runs map too; then the one
 * that stands behind the image is not used.
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

export class PageFile implements RunClock {
	readonly #image: Image;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
	/** The page of the run's own clock. */
	readonly #page: Uint8Array;
	readonly #clockFile: ClockFile | undefined;
	/** The page, and those of processes with a file of their own; the latter stay until the run ends, 4 KiB each. */
	readonly #pages: VvarPage[];
	readonly #listeners: ((before: WallClock) => void)[] = [];
	/** Descriptor of the file, open as long as the supervisor lives. */
	readonly fd: number;
	readonly path: Uint8Array;
	/** Of the file that holds the vvar page; undefined when it is in this one. */
	readonly clockPath: Uint8Array | undefined;

	/** @throws {SyscallError} when there is no descriptor or no memory left. */
	constructor({ image, clock, taiSeconds }: PageFileOptions) {
		this.#image = image;
		this.#clockFile = "fd" in clock ? clock : undefined;
		this.taiSeconds = taiSeconds;
		this.fd = createMemoryFile();
		this.path = descriptorPath(this.fd);
		this.clockPath = this.#clockFile === undefined ? undefined : descriptorPath(this.#clockFile.fd);
		fillFile(this.fd, image.bytes, 0);
		fillFile(this.fd, new Uint8Array(PAGE_SIZE), image.pageFileOffset);
		this.#fillFurther(this.fd);
		this.#page = mapShared(this.fd, image.pageFileOffset, PAGE_SIZE);
		this.#pages = [new VvarPage(this.#page, taiSeconds)];
		if (!("fd" in clock)) this.#store(clock);
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

	/** Descriptors for a process that cannot open the paths: of this file, and of the vvar page's if that is another. Not for writing. */
	get readable(): readonly number[] {
		return this.#clockFile === undefined ? [this.fd] : [this.fd, this.#clockFile.readableFd];
	}

	/** Descriptors of ours that processes must not inherit. */
	get descriptors(): readonly number[] {
		return this.#clockFile === undefined ? [this.fd] : [this.fd, this.#clockFile.fd, this.#clockFile.readableFd];
	}

	/** The clock of the run, as the page shows it now. */
	get current(): WallClock {
		return readClock(this.#page);
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

	#fillFurther(fd: number): void {
		const { pageFileOffset, furtherPages } = this.#image;
		furtherPages.forEach((page, index) => fillFile(fd, page, pageFileOffset + (index + 1) * PAGE_SIZE));
	}
}
