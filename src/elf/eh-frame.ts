/**
 * Call frame information of functions whose frame is known relative to the stack pointer alone.
 *
 * One CIE (augmentation "zR", pc-relative 4-byte pointers), where a signal handler returns to a second one ("zRS": the program counter
 * is not behind a call), one FDE per function, and the sorted search table that unwinders
 * use through PT_GNU_EH_FRAME (LSB Core, "Exception Frames"; DWARF 4, section 6.4).
 */
import type { FrameNote, FrameRule } from "../asm/code.ts";
import { ByteWriter } from "../bytes.ts";
import * as elf from "./constants.ts";

export interface FunctionFrame {
	/** Offset of the function in the image. */
	readonly start: number;
	readonly length: number;
	/** In ascending order of `offset`. At offset 0 the CFA is one word above the stack pointer, but for signal frames: they say all. */
	readonly rules: readonly FrameNote[];
}

const isSignalFrame = ({ rules }: FunctionFrame): boolean => rules[0]?.kind === "signal-context";

/** The DWARF numbers of a class: psABI x86-64 figure 3.36, psABI i386 table 2.14. */
interface FrameRegisters {
	readonly stackPointer: number;
	readonly returnAddress: number;
	readonly word: number;
	/** By the processor's numbers. */
	readonly general: readonly number[];
}

const REGISTERS: Readonly<Record<32 | 64, FrameRegisters>> = {
	64: {
		stackPointer: 7,
		returnAddress: 16,
		word: 8,
		general: [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15],
	},
	32: { stackPointer: 4, returnAddress: 8, word: 4, general: [0, 1, 2, 3, 4, 5, 6, 7] },
};

/** Offsets of the registers in struct sigcontext of i386 (uapi/asm/sigcontext.h, v6.12), by DWARF number; 8 is eip. */
const SIGNAL_CONTEXT_STACK_POINTER = 28;
const SIGNAL_CONTEXT: readonly (readonly [register: number, offset: number])[] = [
	[0, 44],
	[1, 40],
	[2, 36],
	[3, 32],
	[5, 24],
	[6, 20],
	[7, 16],
	[8, 56],
];

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

const sleb128 = (value: number): number[] => {
	const bytes: number[] = [];
	for (let rest = value; ; rest >>= 7) {
		const low = rest & 0x7f;
		if (rest >> 6 === 0 || rest >> 6 === -1) return [...bytes, low];
		bytes.push(low | 0x80);
	}
};

/** A DWARF expression with its length in front: the word at `offset` bytes above the stack pointer, or its address. */
const expression = (offset: number, dereference: boolean): number[] => {
	const operations = [elf.DW_OP_breg0 + REGISTERS[32].stackPointer, ...sleb128(offset)];
	if (dereference) operations.push(elf.DW_OP_deref);
	return [...uleb128(operations.length), ...operations];
};

const instructionsOf = (rule: FrameRule, { general, returnAddress, word }: FrameRegisters): readonly number[] => {
	switch (rule.kind) {
		case "cfa-offset":
			return [elf.DW_CFA_def_cfa_offset, ...uleb128(rule.cfaOffset)];
		case "return-address-undefined":
			return [elf.DW_CFA_undefined, returnAddress];
		case "saved":
			return [elf.DW_CFA_offset | (general[rule.register.number] ?? 0), ...uleb128(rule.distance / word)];
		case "restored":
			return [elf.DW_CFA_restore | (general[rule.register.number] ?? 0)];
		case "signal-context":
			return [
				elf.DW_CFA_def_cfa_expression,
				...expression(rule.context + SIGNAL_CONTEXT_STACK_POINTER, true),
				...SIGNAL_CONTEXT.flatMap(([register, offset]) => [
					elf.DW_CFA_expression,
					register,
					...expression(rule.context + offset, false),
				]),
			];
	}
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
	const common = (augmentation: string, instructions: readonly number[]): number =>
		entry(writer, word, () => {
			writer.u32(0);
			writer.u8(1);
			writer.cString(augmentation);
			writer.append([1, 0x80 - word, returnAddress, 1, POINTER_ENCODING]);
			writer.append(instructions);
		});
	const called = [elf.DW_CFA_def_cfa, stackPointer, word, elf.DW_CFA_offset | returnAddress, 1];
	const plain = common("zR", called);
	const signal = functions.some(isSignalFrame) ? common("zRS", []) : plain;
	const fdeOffsets = functions.map((frame) =>
		entry(writer, word, () => {
			writer.u32(writer.length - (isSignalFrame(frame) ? signal : plain));
			writer.i32(frame.start - (sectionOffset + writer.length));
			writer.u32(frame.length);
			writer.u8(0);
			let place = 0;
			for (const rule of frame.rules) {
				writer.append(advance(rule.offset - place));
				place = rule.offset;
				writer.append(instructionsOf(rule, REGISTERS[bits]));
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
