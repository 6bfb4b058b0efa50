/**
 * The file that processes map: the image, then the vvar page.
 *
 * One file serves the whole tree of a run. A process that cannot reach it (chroot, other user, other namespaces) makes a file of
 * its own, which is filled with the same bytes; a push then goes to every page.
 */
import type { WallClock } from "../clock/clock.ts";
import { createMemoryFile, fillFile, mapShared, sealAgainstWriting } from "../linux/memfd.ts";
import type { Image } from "../vdso/image.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import { VvarPage } from "../vvar/page.ts";

export interface PageFileOptions {
	readonly image: Image;
	readonly clock: WallClock;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
}

export class PageFiles {
	readonly #options: PageFileOptions;
	readonly #pages: VvarPage[] = [];
	#clock: WallClock;
	/** Descriptor of the file of the run, open as long as the supervisor lives. */
	readonly fd: number;
	/** Where a process of the same user, root and namespaces can open it. NUL-terminated. */
	readonly path: Uint8Array;

	/** @throws {SyscallError} when there is no descriptor or no memory left. */
	constructor(options: PageFileOptions) {
		this.#options = options;
		this.#clock = options.clock;
		this.fd = createMemoryFile();
		this.path = new TextEncoder().encode(`/proc/${process.pid}/fd/${this.fd}\0`);
		this.fill(this.fd);
	}

	/** Makes an empty memory file into one that a process can map, and adds its page to those that are pushed to. */
	fill(fd: number): void {
		const { image, taiSeconds } = this.#options;
		fillFile(fd, image.bytes, 0);
		fillFile(fd, new Uint8Array(PAGE_SIZE), image.pageFileOffset);
		const page = new VvarPage(mapShared(fd, image.pageFileOffset, PAGE_SIZE), taiSeconds);
		page.push(this.#clock);
		this.#pages.push(page);
		sealAgainstWriting(fd);
	}

	/** Makes `clock` the time of every process of the run. */
	push(clock: WallClock): void {
		this.#clock = clock;
		for (const page of this.#pages) page.push(clock);
	}
}
