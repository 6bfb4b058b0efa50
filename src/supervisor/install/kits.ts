/**
 * What an install needs, by the class of the process: the image, the files, stage 1.
 *
 * Those of 32-bit processes are made when the first of them is executed. Their host image can be read nowhere else: our own process has a
 * 64-bit one. Every 32-bit process of a host has the same. There is one for processes in which our image has room in front of the host's
 * data pages (vdso/neighbour.ts), and one for others, such as those without a limit of the stack.
 */
import type { WordSize } from "../../bytes.ts";
import { type HostImage, zeroTail } from "../../linux/host-vdso.ts";
import { assembleBootstrap, type Bootstrap } from "../../vdso/bootstrap.ts";
import { kernelVsyscallOffset } from "../../vdso/host.ts";
import type { Image } from "../../vdso/image.ts";
import type { HostNeighbour } from "../../vdso/neighbour.ts";
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
	/** From the start of the image to the host's, where that is the same in every process; undefined where it is mapped anywhere. */
	readonly hostDistance: number | undefined;
}

export interface KitsOptions {
	/** Of 64-bit processes. */
	readonly host: HostImage;
	readonly image: Image;
	readonly pageFile: PageFile;
	/** Makes an image of 32-bit processes. @throws {VsyscallError} ERR_VSYSCALL_IMAGE */
	readonly buildNarrow: (host: HostImage, neighbour: HostNeighbour | undefined) => Image;
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

const makeKit = (host: HostImage, image: Image, files: ImageFiles, dataSize?: number): Kit => {
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
		hostDistance: dataSize === undefined ? undefined : image.mappingLength + dataSize,
	};
};

export class Kits {
	readonly #options: KitsOptions;
	readonly #wide: Kit;
	#narrowHost: HostImage | undefined;
	readonly #narrow = new Map<"beside" | "anywhere", Kit>();

	constructor(options: KitsOptions) {
		this.#options = options;
		const { host, image, pageFile } = options;
		this.#wide = makeKit(host, image, pageFile.files);
	}

	get wide(): Kit {
		return this.#wide;
	}

	/**
	 * The kit for a 32-bit process.
	 *
	 * @param readHost looks at the host's image in the process; `own` is that of 64-bit processes
	 * @param isFree whether nothing is mapped in so many bytes in front of the host's data pages
	 * @throws {VsyscallError} ERR_VSYSCALL_IMAGE; {SyscallError} when there is no descriptor or no memory left.
	 */
	narrow(readHost: (own: HostImage) => HostImage, isFree: (length: number, dataSize: number) => boolean): Kit {
		const host = (this.#narrowHost ??= readHost(this.#options.host));
		const beside = this.#beside(host);
		const isBeside =
			beside?.hostDistance !== undefined &&
			isFree(beside.image.mappingLength, beside.hostDistance - beside.image.mappingLength);
		return isBeside ? beside : this.#kept("anywhere", () => this.#makeNarrow(host, undefined));
	}

	#beside(host: HostImage): Kit | undefined {
		const kernelVsyscall = kernelVsyscallOffset(host.vdso);
		const { dataDistance, bytes } = host;
		if (kernelVsyscall === undefined || dataDistance === undefined || dataDistance >= 0) return undefined;
		return this.#kept("beside", () => this.#makeNarrow(host, { dataSize: -dataDistance, bytes, kernelVsyscall }));
	}

	#kept(place: "beside" | "anywhere", make: () => Kit): Kit {
		const kit = this.#narrow.get(place) ?? make();
		this.#narrow.set(place, kit);
		return kit;
	}

	#makeNarrow(host: HostImage, neighbour: HostNeighbour | undefined): Kit {
		const image = this.#options.buildNarrow(host, neighbour);
		return makeKit(host, image, this.#options.pageFile.filesFor(image), neighbour?.dataSize);
	}

	/** Which of our images a process has; undefined when it has none, or not any more. */
	installedIn(pid: number): InstalledImage | undefined {
		for (const kit of [this.#wide, ...this.#narrow.values()]) {
			const address = imageAddress(pid, kit.image);
			if (address !== undefined) return { address, kit };
		}
		return undefined;
	}
}
