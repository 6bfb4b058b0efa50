/**
 * Our vDSO: functions -> machine code -> a shared object that is mapped as it stands.
 *
 *     image (r-x, whole pages) | link page (r--, private) | vvar page (r--, shared)
 *
 * The three stand side by side in every process, so the code reaches both pages rip-relative. In the file the vvar page follows
 * the image at once; the link page has no bytes there.
 */
import { Assembler } from "../asm/assembler.ts";
import { Label } from "../asm/operands.ts";
import { NT_LINUX_VERSION } from "../elf/constants.ts";
import { writeSharedObject } from "../elf/shared-object.ts";
import { VsyscallError } from "../errors.ts";
import { type Calls, describeCalls } from "../observation/calls.ts";
import type { VsyscallNumber } from "../vsyscall/page.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import { Blocks } from "./blocks.ts";
import { stopOffsets, stopPlaces } from "./bootstrap.ts";
import type { EntryForm } from "./fast-entry.ts";
import type * as vdso from "./host.ts";
import type { ImageClass } from "./image-class.ts";
import { IMAGE_32 } from "./image32.ts";
import { IMAGE_64 } from "./image64.ts";
import { emitInstaller } from "./installer.ts";
import { internalFunctions } from "./internal.ts";
import { LinkPage } from "./link-page.ts";
import { behindImage, type HostNeighbour } from "./neighbour.ts";
import {
	observationLabels,
	type ObservationPlaces,
	type ObservationRequest,
	observe,
	placeObservation,
} from "./observer/places.ts";
import { emitPageSupport, type PageSupport } from "./page-support.ts";
import type { Reads } from "./reads.ts";
import { CALL_SIZE } from "./system-call.ts";
import type { Emission } from "./wall.ts";

export interface Image {
	/** The class of the processes that it is for. */
	readonly bits: 32 | 64;
	/** A whole number of pages. */
	readonly bytes: Uint8Array;
	/** Where stage 2 of the install begins and ends in the image, and the instructions at which it stops. */
	readonly installerOffset: number;
	readonly installerEnd: number;
	readonly installerStops: readonly number[];
	/** The first word of the build-id, by which stage 1 knows the file. */
	readonly nonce: { readonly offset: number; readonly word: number };
	/** Bytes of address space: image, link page, vvar page. */
	readonly mappingLength: number;
	/** Offset of the vvar page in the file. */
	readonly pageFileOffset: number;
	/** What the file has behind the vvar page: whole pages. */
	readonly furtherPages: readonly Uint8Array[];
	/** Offset of an instruction that calls the kernel: `syscall`, or `int 0x80` in a 32-bit image. */
	readonly syscallOffset: number;
	/** What the link page has free behind its words, from and to which offset of the image. */
	readonly linkPageRest: { readonly start: number; readonly end: number };
	/** Offset of the word that holds the address of the entry page, from the start of the image. */
	readonly entryPageWord: number | undefined;
	/** Offset of the copy of the vsyscall page in memory, from the start of the image. */
	readonly pageCopy: number | undefined;
	/** The stores of the entries through a pointer of the program's, by the offset of the instruction. */
	readonly entryStores: ReadonlyMap<number, VsyscallNumber>;
	/** In an image that counts or traces: offsets of its further pages in memory, what its calls are, by number, and what the host exports. */
	readonly observation:
		| (ObservationPlaces & { readonly calls: Calls; readonly hostFunctions: readonly vdso.HostFunction[] })
		| undefined;
}

/** LINUX_VERSION_CODE of the first kernel with all five functions in its vDSO, 5.3: what the note promises. */
const LINUX_VERSION_CODE = (5 << 16) | (3 << 8);

const CLASSES: Readonly<Record<Image["bits"], ImageClass>> = { 64: IMAGE_64, 32: IMAGE_32 };

/** namesz 4, descsz 20, type NT_GNU_BUILD_ID, "GNU". */
const BUILD_ID_NOTE = [4, 0, 0, 0, 20, 0, 0, 0, 3, 0, 0, 0, 0x47, 0x4e, 0x55, 0];

const buildIdWord = (image: Uint8Array): Image["nonce"] => {
	const note = image.findIndex((_, start) => BUILD_ID_NOTE.every((byte, index) => image[start + index] === byte));
	const offset = note + BUILD_ID_NOTE.length;
	return { offset, word: new DataView(image.buffer, image.byteOffset).getInt32(offset, true) };
};

/** What a run wants of its image beyond the clock. */
export interface ImageRequest extends PageSupport {
	/** @default "exact" */
	readonly reads?: Reads;
	/** How __kernel_vsyscall of a 32-bit image enters the kernel. @default "host" */
	readonly entryForm?: EntryForm;
	/** The host's image, where it is mapped right behind a 32-bit image of ours in every process. */
	readonly neighbour?: HostNeighbour;
	/** Calls are counted or traced. @default undefined: neither */
	readonly observation?: ObservationRequest | undefined;
}

/**
 * Generates the image for a host.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_IMAGE when the host has more functions than the link page has words.
 */
export const buildImage = (
	host: vdso.HostVdso,
	request: ImageRequest = { hasEntryPage: false, copy: "none" },
): Image => {
	const assembler = new Assembler(host.bits);
	const links = new LinkPage(host, request.hasEntryPage);
	if (links.length > PAGE_SIZE) {
		throw new VsyscallError(
			"ERR_VSYSCALL_IMAGE",
			`the host's vDSO exports ${host.functions.length} functions, more than the link page holds`,
		);
	}
	const { reads = "exact" } = request;
	const observed = request.observation && observe(assembler, request.observation, host.hasRdpid);
	const emission: Emission = {
		assembler,
		page: new Label("vvar page"),
		links,
		host,
		internal: internalFunctions(),
		reads,
		observed,
	};
	const { emitFunctions, machine, soname, versions } = CLASSES[host.bits];
	const blocks = new Blocks(assembler);
	const functions = emitFunctions(emission, blocks, request.entryForm ?? "host");
	const support = emitPageSupport(emission, request, (name, emit) => blocks.emit(name, [], emit).start);
	const labels = {
		...functions,
		image: new Label("image"),
		entries: support.entries,
		copy: support.copy,
		linkPage: new Label("link page"),
		stops: stopPlaces(assembler),
	};
	const installer = blocks.emit("installer", [], () => emitInstaller(emission, labels));
	const code = assembler.assemble();
	const ownPages = (support.copy === undefined ? 2 : 3) * PAGE_SIZE;

	let textOffset = 0;
	const version = new Uint8Array(4);
	new DataView(version.buffer).setUint32(0, LINUX_VERSION_CODE, true);
	const bytes = writeSharedObject({
		bits: host.bits,
		machine,
		soname,
		versions: [...new Set([...versions, ...links.forwarded.map((entry) => entry.version)])],
		functions: blocks.functions(code),
		notes: [{ name: "Linux", type: NT_LINUX_VERSION, description: version }],
		textSize: code.bytes.length,
		entry: functions.kernelVsyscall === undefined ? undefined : code.offsetOf(functions.kernelVsyscall),
		frames: blocks.frames(code),
		behind: request.neighbour && behindImage(request.neighbour, placeObservation(observed, ownPages).end),
		text: ({ offset, imageSize }) => {
			textOffset = offset;
			const places = new Map<Label, number>([
				[labels.linkPage, imageSize],
				[labels.image, 0],
				[emission.page, imageSize + PAGE_SIZE],
			]);
			for (const word of links.words) places.set(word.label, imageSize + word.offset);
			for (const [label, place] of support.places(imageSize)) places.set(label, place);
			for (const [label, place] of observationLabels(observed, imageSize + ownPages)) places.set(label, place);
			return code.link((label) => {
				const place = places.get(label);
				if (place === undefined) throw new VsyscallError("ERR_VSYSCALL_IMAGE", `nothing is at ${label.name}`);
				return place - offset;
			});
		},
	});
	const observationPlaces = placeObservation(observed, bytes.length + ownPages);
	return {
		bits: host.bits,
		bytes,
		installerOffset: textOffset + code.offsetOf(installer.start),
		installerEnd: textOffset + code.offsetOf(installer.end),
		installerStops: stopOffsets(code, labels.stops).map((offset) => textOffset + offset),
		nonce: buildIdWord(bytes),
		mappingLength: observationPlaces.end,
		pageFileOffset: bytes.length,
		furtherPages: support.pages,
		syscallOffset: textOffset + code.offsetOf(labels.stops.killed) - CALL_SIZE,
		linkPageRest: { start: bytes.length + ((links.length + 15) & ~15), end: bytes.length + PAGE_SIZE },
		entryPageWord: links.entryPage === undefined ? undefined : bytes.length + links.entryPage.offset,
		pageCopy: support.copy === undefined ? undefined : bytes.length + 2 * PAGE_SIZE,
		entryStores: new Map(
			support.stores.map(({ label, number }) => [textOffset + code.offsetOf(label), number] as const),
		),
		observation: observed && {
			...observationPlaces,
			hostFunctions: host.functions,
			calls: describeCalls(
				host.bits,
				links.forwardedFunctions.map(([first]) => first),
			),
		},
	};
};
