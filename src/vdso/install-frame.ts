/**
 * What the supervisor leaves on the stack of a new program for both stages of the install, and what they leave there for it. The stack
 * pointer points here until the program is entered; then it is INSTALL_FRAME_DISTANCE higher again, as execve left it.
 *
 * Each word has 8 bytes, of which 32-bit code uses the lower four. All of it lies beyond the red zone and inside the first pages of the
 * stack.
 */
import type { Assembler } from "../asm/assembler.ts";
import { type BasedMemory, memory } from "../asm/operands.ts";
import { wordRegisters } from "./system-call.ts";

/** Words and ints first: a distance below 128 takes one byte in an instruction. */
export const INSTALL_FRAME = {
	/** int: the descriptor of the image's file; -1 until there is one. */
	descriptor: 0,
	/** int: 1 when the process is to stop at the end. */
	stopsWhenDone: 4,
	/** Where the image is to be mapped, 0 for anywhere; then where it is, or what mmap said. */
	image: 8,
	/** 0, or -errno. */
	result: 16,
	/** Entry point of the program. */
	entry: 24,
	/** Address of the host's image; 0 when there is none. */
	hostImage: 32,
	/** Where the auxiliary vector holds AT_SYSINFO_EHDR. */
	ehdrSlot: 40,
	/** Where it holds AT_SYSINFO; 0 when it does not. */
	sysinfoSlot: 48,
	/** Address of the memory map below; 0 when it is not to be handed to the kernel. */
	memoryMapAddress: 56,
	/** Where the entry page is to be tried first; then where it is, or 0. */
	entryPage: 64,
	/** int: the descriptor of the file that holds the vvar page, or one of the two below. */
	pageDescriptor: 72,
	/** Where that file has the vvar page, as mmap counts it. */
	pageOffset: 80,
	/** Path of the image's file; at most "/proc/4194304/fd/2147483647" and a NUL, as the next. */
	imagePath: 88,
	/** Path of the file that holds the vvar page. */
	pagePath: 120,
	/** struct prctl_mm_map: 104 bytes. */
	memoryMap: 152,
	/** Of a process whose calls are counted or traced: its key, its entry in the registry and its first slot, and the word of the file. */
	observationKey: 256,
	observationRegistry: 264,
	observationHome: 272,
	observationNonce: 280,
	/** What the file that was opened has as its word. */
	observationSeen: 288,
	/** int: its descriptor; negative when there is none. */
	observationDescriptor: 296,
	/** Path of the observation file. */
	observationPath: 304,
	size: 336,
} as const;

type Field = keyof typeof INSTALL_FRAME;

/** From the frame up to the stack pointer that execve left. */
export const INSTALL_FRAME_DISTANCE = 1024;

/** The vvar page's file is to be opened by its path. */
export const PAGE_BY_PATH = -1;
/** The vvar page is in the image's file. */
export const PAGE_IN_IMAGE = -2;

/** A field while the stack pointer points to the frame. @param half bytes from its start, for the upper half of a word */
export const frameField = (assembler: Assembler, field: Field, half: 0 | 4 = 0): BasedMemory =>
	memory(wordRegisters(assembler).sp, INSTALL_FRAME[field] + half);

/** Leaves the frame, and jumps to the program's entry point. */
export const emitEnterProgram = (assembler: Assembler): void => {
	const { sp } = wordRegisters(assembler);
	// The flags stay as they are.
	assembler.lea(sp, memory(sp, INSTALL_FRAME_DISTANCE));
	assembler.jmp(memory(sp, INSTALL_FRAME.entry - INSTALL_FRAME_DISTANCE));
};
