/** The records of elf.h that the writer needs, for both classes: widths differ everywhere, the order of fields in two. */
import type { ByteWriter } from "../bytes.ts";
import * as elf from "./constants.ts";

export type ElfClass = 32 | 64;

export interface HeaderFields {
	readonly machine: number;
	readonly entry: number;
	readonly programHeaderCount: number;
	readonly sectionHeadersOffset: number;
	readonly sectionCount: number;
	readonly sectionNamesIndex: number;
}

/** A segment or section that is mapped where it stands in the file, so offset and address are one number. */
export interface SegmentFields {
	readonly type: number;
	readonly flags: number;
	readonly offset: number;
	readonly size: number;
	readonly alignment: number;
}

export interface SectionFields extends SegmentFields {
	readonly name: number;
	readonly link: number;
	readonly info?: number;
	readonly entrySize?: number;
}

export interface SymbolFields {
	readonly name: number;
	readonly info: number;
	readonly sectionIndex: number;
	readonly value: number;
	readonly size: number;
}

export interface Records {
	/** Bytes of an address. */
	readonly word: number;
	readonly headerSize: number;
	readonly programHeaderSize: number;
	readonly sectionHeaderSize: number;
	readonly symbolSize: number;
	readonly header: (writer: ByteWriter, fields: HeaderFields) => void;
	readonly programHeader: (writer: ByteWriter, fields: SegmentFields) => void;
	readonly sectionHeader: (writer: ByteWriter, fields: SectionFields) => void;
	readonly symbol: (writer: ByteWriter, fields: SymbolFields) => void;
	readonly dynamic: (writer: ByteWriter, tag: number, value: number) => void;
}

const SIZES = {
	32: { word: 4, headerSize: 52, programHeaderSize: 32, sectionHeaderSize: 40, symbolSize: 16 },
	64: { word: 8, headerSize: 64, programHeaderSize: 56, sectionHeaderSize: 64, symbolSize: 24 },
} as const;

export const recordsOf = (bits: ElfClass): Records => {
	const sizes = SIZES[bits];
	const word = (writer: ByteWriter, value: number): void => {
		if (bits === 64) writer.u64(BigInt(value));
		else writer.u32(value);
	};
	return {
		...sizes,
		header: (writer, fields) => {
			writer.u32(elf.ELFMAG);
			const elfClass = bits === 64 ? elf.ELFCLASS64 : elf.ELFCLASS32;
			writer.append([elfClass, elf.ELFDATA2LSB, elf.EV_CURRENT, elf.ELFOSABI_NONE]);
			writer.append(new Uint8Array(8));
			writer.u16(elf.ET_DYN);
			writer.u16(fields.machine);
			writer.u32(elf.EV_CURRENT);
			word(writer, fields.entry);
			word(writer, sizes.headerSize);
			word(writer, fields.sectionHeadersOffset);
			writer.u32(0);
			writer.u16(sizes.headerSize);
			writer.u16(sizes.programHeaderSize);
			writer.u16(fields.programHeaderCount);
			writer.u16(sizes.sectionHeaderSize);
			writer.u16(fields.sectionCount);
			writer.u16(fields.sectionNamesIndex);
		},
		programHeader: (writer, { type, flags, offset, size, alignment }) => {
			writer.u32(type);
			if (bits === 64) writer.u32(flags);
			for (const value of [offset, offset, offset, size, size]) word(writer, value);
			if (bits === 32) writer.u32(flags);
			word(writer, alignment);
		},
		sectionHeader: (writer, { name, type, flags, offset, size, link, info = 0, alignment, entrySize = 0 }) => {
			writer.u32(name);
			writer.u32(type);
			word(writer, flags);
			word(writer, (flags & elf.SHF_ALLOC) === 0 ? 0 : offset);
			word(writer, offset);
			word(writer, size);
			writer.u32(link);
			writer.u32(info);
			word(writer, alignment);
			word(writer, entrySize);
		},
		symbol: (writer, { name, info, sectionIndex, value, size }) => {
			writer.u32(name);
			if (bits === 64) {
				writer.append([info, elf.STV_DEFAULT]);
				writer.u16(sectionIndex);
			}
			word(writer, value);
			word(writer, size);
			if (bits === 32) {
				writer.append([info, elf.STV_DEFAULT]);
				writer.u16(sectionIndex);
			}
		},
		dynamic: (writer, tag, value) => {
			word(writer, tag);
			word(writer, value);
		},
	};
};
