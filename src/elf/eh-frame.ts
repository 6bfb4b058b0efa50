/**
 * Call frame information of functions whose frame is known relative to the stack pointer alone.
 *
 * One CIE (augmentation "zR", pc-relative 4-byte pointers), one FDE per function, and the sorted search table that unwinders
 * use through PT_GNU_EH_FRAME (LSB Core, "Exception Frames"; DWARF 4, section 6.4).
 */
import type { FrameNote } from "../asm/code.ts";
import { ByteWriter } from "../bytes.ts";
import * as elf from "./constants.ts";

export interface FunctionFrame {
	/** Offset of the function in the image. */
	readonly start: number;
	readonly length: number;
	/** In ascending order of `offset`. At offset 0 the CFA is one word above the stack pointer. */
	readonly rules: readonly FrameNote[];
}

/** The DWARF numbers of a class: psABI x86-64 figure 3.36, psABI i386 table 2.14. */
interface FrameRegisters {
	readonly stackPointer: number;
	readonly returnAddress: number;
	readonly word: number;
}

const REGISTERS: Readonly<Record<32 | 64, FrameRegisters>> = {
	64: { stackPointer: 7, returnAddress: 16, word: 8 },
	32: { stackPointer: 4, returnAddress: 8, word: 4 },
};

const POINTER_ENCODING = elf.DW_EH_PE_pcrel | elf.DW_EH_PE_sdata4;

const uleb128 = (value: number): number[] => {
	const bytes: number[] = [];
	let rest = value;
	do {
		const low = rest & 0x7f;
		rest >>>= 7;
		bytes.push(rest === 0 ? low : low | 0x80);
	} while (rest !== 0);
	return bytes;
};

const advance = (delta: number): number[] => {
	if (delta === 0) return [];
	if (delta < 0x40) return [elf.DW_CFA_advance_loc | delta];
	if (delta < 0x100) return [elf.DW_CFA_advance_loc1, delta];
	return [elf.DW_CFA_advance_loc2, delta & 0xff, delta >> 8];
};

/** Length word, body from `write`, padding with DW_CFA_nop to the word size. */
const entry = (writer: ByteWriter, word: number, write: () => void): number => {
	const start = writer.u32(0);
	write();
	// The length word itself is 4 bytes: the entry as a whole keeps the alignment of the section.
	writer.align(word);
	writer.patchU32(start, writer.length - start - 4);
	return start;
};

/**
 * .eh_frame as it stands at `sectionOffset` of the image, and where in it each FDE begins.
 *
 * @param functions in ascending order of `start`
 */
export const writeEhFrame = (
	bits: 32 | 64,
	sectionOffset: number,
	functions: readonly FunctionFrame[],
): { readonly bytes: Uint8Array; readonly fdeOffsets: readonly number[] } => {
	const { stackPointer, returnAddress, word } = REGISTERS[bits];
	const writer = new ByteWriter();
	entry(writer, word, () => {
		writer.u32(0);
		writer.u8(1);
		writer.cString("zR");
		writer.append([1, 0x80 - word, returnAddress, 1, POINTER_ENCODING]);
		writer.append([elf.DW_CFA_def_cfa, stackPointer, word, elf.DW_CFA_offset | returnAddress, 1]);
	});
	const fdeOffsets = functions.map((frame) =>
		entry(writer, word, () => {
			writer.u32(writer.length);
			writer.i32(frame.start - (sectionOffset + writer.length));
			writer.u32(frame.length);
			writer.u8(0);
			let place = 0;
			for (const rule of frame.rules) {
				writer.append(advance(rule.offset - place));
				place = rule.offset;
				if (rule.kind === "cfa-offset") writer.append([elf.DW_CFA_def_cfa_offset, ...uleb128(rule.cfaOffset)]);
				else writer.append([elf.DW_CFA_undefined, returnAddress]);
			}
		}),
	);
	writer.u32(0);
	return { bytes: writer.toBytes(), fdeOffsets };
};

/** Bytes of .eh_frame_hdr for `count` functions. */
export const ehFrameHeaderSize = (count: number): number => 12 + 8 * count;

export interface EhFrameHeader {
	/** Offsets of the two sections in the image. */
	readonly headerOffset: number;
	readonly frameOffset: number;
	readonly functions: readonly FunctionFrame[];
	/** Offsets of the FDEs inside .eh_frame. */
	readonly fdeOffsets: readonly number[];
}

/** .eh_frame_hdr: addresses relative to the header itself, sorted, so that an unwinder can search by halves. */
export const writeEhFrameHeader = ({ headerOffset, frameOffset, functions, fdeOffsets }: EhFrameHeader): Uint8Array => {
	const writer = new ByteWriter();
	writer.append([1, POINTER_ENCODING, elf.DW_EH_PE_udata4, elf.DW_EH_PE_datarel | elf.DW_EH_PE_sdata4]);
	writer.i32(frameOffset - (headerOffset + 4));
	writer.u32(functions.length);
	functions.forEach((frame, index) => {
		writer.i32(frame.start - headerOffset);
		writer.i32(frameOffset + (fdeOffsets[index] ?? 0) - headerOffset);
	});
	return writer.toBytes();
};
