/** The frame of an install (vdso/install-frame.ts), as the supervisor writes it below the stack of a process and reads it at a stop. */
import { randomInt } from "node:crypto";
import { ByteReader, setU32, setU64 } from "../../bytes.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { ENTRY_PAGE_PLACES, entryPagePlace } from "../../vsyscall/entry-page.ts";
import { INSTALL_FRAME, INSTALL_FRAME_DISTANCE, PAGE_BY_PATH, PAGE_IN_IMAGE } from "../../vdso/install-frame.ts";
import { PAGE_SIZE } from "../../vvar/layout.ts";
import type { NewProgram } from "./exec-stop.ts";
import type { Kit } from "./kits.ts";
import type { ProvidedFiles } from "./provided-files.ts";

/** What stands for the descriptor of the image until there is one. */
export const NO_DESCRIPTOR = -1;

export interface FrameRequest {
	readonly program: NewProgram;
	readonly kit: Kit;
	/** struct prctl_mm_map, to be handed to the kernel. */
	readonly memoryMap: Uint8Array | undefined;
	/** 0 when stage 1 has taken the place of the program's first bytes. */
	readonly entry: bigint;
	readonly stopsWhenDone: boolean;
	/** Of a process whose calls are counted or traced. */
	readonly observed: ObservedFrame | undefined;
}

/** What the image finds there when it counts or traces. */
export interface ObservedFrame {
	/** By which the image marks what it counts and records. */
	readonly key: bigint;
	/** Offsets in the observation file: its entry in the registry, from the first one, and its first slot. */
	readonly registry: number;
	readonly home: number;
	/** What the header of the file holds. */
	readonly nonce: bigint;
	/** Of the file; at most 32 bytes, with its NUL. */
	readonly path: Uint8Array;
}

/** Where a process with these registers has its frame. */
export const frameAddress = ({ initial }: Pick<NewProgram, "initial">): bigint =>
	initial.get("rsp") - BigInt(INSTALL_FRAME_DISTANCE);

/** An offset in a file, as mmap of the class counts it. */
const countedOffset = ({ architecture }: Kit, offset: number): bigint =>
	BigInt(architecture === "i386" ? offset / PAGE_SIZE : offset);

/** Where a process first tries to map its entry page. */
const randomPlace = (): bigint => entryPagePlace(randomInt(ENTRY_PAGE_PLACES));

export const makeFrame = ({ program, kit, memoryMap, entry, stopsWhenDone, observed }: FrameRequest): Uint8Array => {
	const { image, files } = kit;
	const frame = new Uint8Array(INSTALL_FRAME.size);
	const address = frameAddress(program);
	setU32(frame, INSTALL_FRAME.descriptor, NO_DESCRIPTOR);
	setU32(frame, INSTALL_FRAME.stopsWhenDone, stopsWhenDone ? 1 : 0);
	if (kit.hostDistance !== undefined) setU64(frame, INSTALL_FRAME.image, program.hostImage - BigInt(kit.hostDistance));
	setU64(frame, INSTALL_FRAME.entry, entry);
	setU64(frame, INSTALL_FRAME.hostImage, program.hostImage);
	setU64(frame, INSTALL_FRAME.ehdrSlot, program.ehdrSlot);
	setU64(frame, INSTALL_FRAME.sysinfoSlot, program.sysinfoSlot);
	if (memoryMap !== undefined) {
		setU64(frame, INSTALL_FRAME.memoryMapAddress, address + BigInt(INSTALL_FRAME.memoryMap));
		frame.set(memoryMap, INSTALL_FRAME.memoryMap);
	}
	if (image.entryPageWord !== undefined) setU64(frame, INSTALL_FRAME.entryPage, randomPlace());
	setU32(frame, INSTALL_FRAME.pageDescriptor, files.page === undefined ? PAGE_IN_IMAGE : PAGE_BY_PATH);
	setU64(frame, INSTALL_FRAME.pageOffset, countedOffset(kit, files.page?.offset ?? image.pageFileOffset));
	frame.set(files.path, INSTALL_FRAME.imagePath);
	if (files.page !== undefined) frame.set(files.page.path, INSTALL_FRAME.pagePath);
	if (observed !== undefined) {
		setU64(frame, INSTALL_FRAME.observationKey, observed.key);
		setU64(frame, INSTALL_FRAME.observationRegistry, BigInt(observed.registry));
		setU64(frame, INSTALL_FRAME.observationHome, BigInt(observed.home));
		setU64(frame, INSTALL_FRAME.observationNonce, observed.nonce);
		frame.set(observed.path, INSTALL_FRAME.observationPath);
	}
	return frame;
};

/** Lets the vvar page be mapped from a descriptor that the process has now. @returns whether that could be said */
export const writePageDescriptor = (
	tid: number,
	address: bigint,
	kit: Kit,
	files: Exclude<ProvidedFiles, { kind: "failed" }>,
): boolean => {
	const descriptor = files.kind === "passed" ? files.page : undefined;
	const isElsewhere = descriptor !== undefined;
	const fields = new Uint8Array(INSTALL_FRAME.pageOffset + 8 - INSTALL_FRAME.pageDescriptor);
	const offset = isElsewhere ? (kit.files.page?.offset ?? 0) : kit.image.pageFileOffset;
	setU32(fields, 0, descriptor ?? PAGE_IN_IMAGE);
	setU64(fields, INSTALL_FRAME.pageOffset - INSTALL_FRAME.pageDescriptor, countedOffset(kit, offset));
	return writeMemory(tid, address + BigInt(INSTALL_FRAME.pageDescriptor), fields) === fields.length;
};

/** What the stages have noted. */
export interface FrameNotes {
	/** NO_DESCRIPTOR until there is one. */
	readonly descriptor: number;
	/** Where the image is mapped, or what mmap said. */
	readonly image: bigint;
	/** 0, or -errno. */
	readonly result: number;
}

/** @returns undefined when the memory is gone */
export const readFrame = (tid: number, address: bigint, { wordSize }: Kit): FrameNotes | undefined => {
	const bytes = new Uint8Array(INSTALL_FRAME.entry);
	if (readMemory(tid, address, bytes) !== bytes.length) return undefined;
	const reader = new ByteReader(bytes);
	return {
		descriptor: reader.i32(INSTALL_FRAME.descriptor),
		image: reader.word(INSTALL_FRAME.image, wordSize),
		result: reader.i32(INSTALL_FRAME.result),
	};
};
