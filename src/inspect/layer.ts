/**
 * The fast-call layer of one address space: the auxiliary vector, the image that it leads to, the clock behind it, the entry of
 * 32-bit system calls, and the line of the vsyscall page.
 */
import { ElfError } from "../elf/elf-error.ts";
import { loadedSize, openElf, readProgramHeaders } from "../elf/headers.ts";
import { VSYSCALL_START } from "../vsyscall/page.ts";
import { type AddressSpace, spaceOf, type Mapping, mappingAt } from "./address-space.ts";
import { AT_SYSINFO, AT_SYSINFO_EHDR, type Auxv, auxvValue, findStackAuxv, type StackAuxv } from "./auxv.ts";
import { describeImage, type ImageReport, verdictOf } from "./image-report.ts";
import { type KernelEntry, readKernelEntry } from "./kernel-entry.ts";
import { findOwnClock, type OwnClock } from "./own-clock.ts";
import type { NamedImage } from "./places.ts";

export interface Subject {
	readonly memory: AddressSpace;
	readonly mappings: readonly Mapping[];
	/** The kernel's copy. */
	readonly auxv: Auxv | undefined;
	/** Where the image is. @default where the auxiliary vector says */
	readonly image?: bigint | undefined;
}

/** What stands where the auxiliary vector says that the vDSO is. */
export type ImageFound = ImageReport | { readonly address: bigint; readonly fault: string };

export interface Layer {
	readonly auxv: Auxv | undefined;
	readonly stackAuxv: StackAuxv | undefined;
	/** undefined where the auxiliary vector leads to none. */
	readonly image: ImageFound | undefined;
	/** The kernel's image, when the one above is another. */
	readonly hostImage: Mapping | undefined;
	readonly ownClock: OwnClock | undefined;
	readonly kernelEntry: KernelEntry | undefined;
	readonly vsyscallPage: Mapping | undefined;
	/** The images that addresses are named by. */
	readonly names: readonly NamedImage[];
}

export const isImage = (found: ImageFound | undefined): found is ImageReport =>
	found !== undefined && !("fault" in found);

const PAGE_SIZE = 4096;
/** More than any image has: the kernel's have 8 to 12 KiB, ours too. */
const LARGEST_IMAGE = 256 * 1024;

/** The bytes of the image at an address: to the end of its mapping, or as long as its segments are. */
const imageBytes = ({ memory, mappings }: Subject, address: bigint): Uint8Array | undefined => {
	const mapping = mappingAt(mappings, address);
	const rest = mapping === undefined ? LARGEST_IMAGE : Number(mapping.end - address);
	if (rest <= LARGEST_IMAGE) {
		const whole = memory.read(address, rest);
		if (whole !== undefined) return whole;
	}
	const head = memory.read(address, PAGE_SIZE);
	if (head === undefined) return undefined;
	return memory.read(address, Math.min(loadedSize(readProgramHeaders(openElf(head))), LARGEST_IMAGE)) ?? head;
};

const orFault = <Value>(address: bigint, read: () => Value): Value | { address: bigint; fault: string } => {
	try {
		return read();
	} catch (error) {
		if (error instanceof ElfError) return { address, fault: `not a readable image: ${error.message}` };
		throw error;
	}
};

const findImage = (subject: Subject, address: bigint): ImageFound => {
	const mapping = mappingAt(subject.mappings, address);
	if (mapping === undefined) return { address, fault: "nothing is mapped there" };
	return orFault(address, () => {
		const bytes = imageBytes(subject, address);
		if (bytes === undefined) return { address, fault: "its bytes cannot be read" };
		return describeImage({ address, bytes, memory: subject.memory });
	});
};

const namedImage = (image: ImageReport, name: string): NamedImage => ({
	start: image.address,
	end: image.address + BigInt(image.bytes.length),
	name,
	symbols: image.symbols,
});

/** The layer of an image that stands alone: 32-bit ones have their entry. */
export const layerOfImage = (image: ImageReport): Layer => {
	const entry = image.symbols.find(({ name }) => name === "__kernel_vsyscall");
	const memory = spaceOf(image.bytes, image.address);
	return {
		auxv: undefined,
		stackAuxv: undefined,
		image,
		hostImage: undefined,
		ownClock: undefined,
		kernelEntry: entry === undefined ? undefined : readKernelEntry(memory, image.address + entry.value),
		vsyscallPage: undefined,
		names: [namedImage(image, "[vdso]")],
	};
};

/** The kernel's image, where it is not the one at `address`. */
const otherHostImage = ({ mappings }: Subject, address: bigint | undefined): Mapping | undefined =>
	mappings.find(({ name, start }) => name === "[vdso]" && start !== address);

const namesOf = (
	subject: Subject,
	{ image, ownClock, hostImage }: Pick<Layer, "image" | "ownClock" | "hostImage">,
): readonly NamedImage[] => {
	const host = hostImage === undefined ? undefined : findImage(subject, hostImage.start);
	return [
		...(isImage(image) ? [namedImage(image, ownClock === undefined ? "[vdso]" : "image")] : []),
		...(isImage(host) ? [namedImage(host, "[vdso]")] : []),
	];
};

/** Looks at an address space once. */
export const describeLayer = (subject: Subject): Layer => {
	const { memory, mappings, auxv } = subject;
	const address = subject.image ?? auxvValue(auxv, AT_SYSINFO_EHDR);
	const image = address === undefined ? undefined : findImage(subject, address);
	const ownClock = isImage(image) ? findOwnClock(image, memory, mappings) : undefined;
	const hostImage = otherHostImage(subject, address);
	const sysinfo = auxvValue(auxv, AT_SYSINFO);
	return {
		auxv,
		stackAuxv: auxv === undefined ? undefined : findStackAuxv(auxv, memory),
		image: isImage(image) && ownClock !== undefined ? { ...image, verdict: verdictOf(image, "own") } : image,
		hostImage,
		ownClock,
		kernelEntry: sysinfo === undefined ? undefined : readKernelEntry(memory, sysinfo),
		vsyscallPage: mappingAt(mappings, VSYSCALL_START),
		names: namesOf(subject, { image, ownClock, hostImage }),
	};
};
