/**
 * What an install needs, by the class of the process: the image, the files, stage 1.
 *
 * That of 32-bit processes is made when the first of them is executed. Its host image can be read nowhere else: our own process has a
 * 64-bit one. Every 32-bit process of a host has the same.
 */
import type { WordSize } from "../../bytes.ts";
import { type HostImage, zeroTail } from "../../linux/host-vdso.ts";
import { assembleBootstrap, type Bootstrap } from "../../vdso/bootstrap.ts";
import type { Image } from "../../vdso/image.ts";
import { architectureOf } from "../../vdso/system-call.ts";
import type { Architecture } from "../../syscalls/time-calls.ts";
import { imageAddress } from "./image-address.ts";
import type { ImageFiles, PageFile } from "./page-file.ts";

export interface Kit {
	readonly image: Image;
	readonly files: ImageFiles;
	readonly bootstrap: Bootstrap;
	/** The code of stage 1, in whole words. */
	readonly code: Uint8Array;
	/** Where stage 1 finds room in the host's vDSO: bytes from its start; undefined when the host has none or it is full. */
	readonly room: number | undefined;
	readonly architecture: Architecture;
	readonly wordSize: WordSize;
	/** The host's image that the kit is for. */
	readonly host: HostImage;
}

export interface KitsOptions {
	/** Of 64-bit processes. */
	readonly host: HostImage;
	readonly image: Image;
	readonly pageFile: PageFile;
	/** Makes the image of 32-bit processes. @throws {VsyscallError} ERR_VSYSCALL_IMAGE */
	readonly buildNarrow: (host: HostImage) => Image;
}

/** An image of ours in a process. */
export interface InstalledImage {
	readonly address: bigint;
	readonly kit: Kit;
}

const paddedToWords = (code: Uint8Array): Uint8Array => {
	const padded = new Uint8Array((code.length + 7) & ~7);
	padded.set(code);
	return padded;
};

const makeKit = (host: HostImage, image: Image, files: ImageFiles): Kit => {
	const bootstrap = assembleBootstrap(image);
	const code = paddedToWords(bootstrap.code);
	return {
		image,
		files,
		bootstrap,
		code,
		room: zeroTail(host.bytes, code.length),
		architecture: architectureOf(image.bits),
		wordSize: image.bits === 64 ? 8 : 4,
		host,
	};
};

export class Kits {
	readonly #options: KitsOptions;
	readonly #wide: Kit;
	#narrow: Kit | undefined;

	constructor(options: KitsOptions) {
		this.#options = options;
		const { host, image, pageFile } = options;
		this.#wide = makeKit(host, image, pageFile.files);
	}

	get wide(): Kit {
		return this.#wide;
	}

	/**
	 * @param readHost looks at the host's image in a 32-bit process; `own` is that of 64-bit processes
	 * @throws {VsyscallError} ERR_VSYSCALL_IMAGE; {SyscallError} when there is no descriptor or no memory left.
	 */
	narrow(readHost: (own: HostImage) => HostImage): Kit {
		if (this.#narrow !== undefined) return this.#narrow;
		const host = readHost(this.#options.host);
		const image = this.#options.buildNarrow(host);
		this.#narrow = makeKit(host, image, this.#options.pageFile.filesFor(image));
		return this.#narrow;
	}

	/** Which of our images a process has; undefined when it has none, or not any more. */
	installedIn(pid: number): InstalledImage | undefined {
		for (const kit of [this.#wide, this.#narrow]) {
			const address = kit && imageAddress(pid, kit.image);
			if (kit !== undefined && address !== undefined) return { address, kit };
		}
		return undefined;
	}
}
