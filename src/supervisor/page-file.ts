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

export interface PageFileOptions {
	readonly image: Image;
	readonly clock: WallClock;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
}

export class PageFile {
	readonly #image: Image;
	/** The page, as the processes of the run see it. */
	readonly #page: Uint8Array;
	/** Descriptor of the file, open as long as the supervisor lives. */
	readonly fd: number;
	/** Where a process of the same user, root and namespaces can open it. NUL-terminated. */
	readonly path: Uint8Array;

	/** @throws {SyscallError} when there is no descriptor or no memory left. */
	constructor({ image, clock, taiSeconds }: PageFileOptions) {
		this.#image = image;
		this.fd = createMemoryFile();
		this.path = new TextEncoder().encode(`/proc/${pidInProc() ?? process.pid}/fd/${this.fd}\0`);
		fillFile(this.fd, image.bytes, 0);
		fillFile(this.fd, new Uint8Array(PAGE_SIZE), image.pageFileOffset);
		this.#fillFurther(this.fd);
		this.#page = mapShared(this.fd, image.pageFileOffset, PAGE_SIZE);
		new VvarPage(this.#page, taiSeconds).push(clock);
		sealAgainstWriting(this.fd);
	}

	/** Makes an empty memory file into a copy of this one. */
	copyTo(fd: number): void {
		fillFile(fd, this.#image.bytes, 0);
		fillFile(fd, this.#page, this.#image.pageFileOffset);
		this.#fillFurther(fd);
		sealAgainstWriting(fd);
	}

	/** The clock of the run, as the page shows it now. */
	get clock(): WallClock {
		return readClock(this.#page);
	}

	#fillFurther(fd: number): void {
		const { pageFileOffset, furtherPages } = this.#image;
		furtherPages.forEach((page, index) => fillFile(fd, page, pageFileOffset + (index + 1) * PAGE_SIZE));
	}
}
