/** Writes the records of elf.h for both classes, each field where class-layout.ts says. */
import { setU16, setU32, setU64 } from "../bytes.ts";
import { type ClassLayout, E_MACHINE, E_TYPE, E_VERSION } from "./class-layout.ts";
import * as elf from "./constants.ts";

export interface HeaderFields {
	readonly machine: number;
	/** Where an executable begins, or __kernel_vsyscall. @default 0, nowhere */
	readonly entry?: number;
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
	/** Of a segment. @default size */
	readonly memorySize?: number;
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

const setWord = ({ wordSize }: ClassLayout, bytes: Uint8Array, offset: number, value: number): void => {
	if (wordSize === 8) setU64(bytes, offset, BigInt(value));
	else setU32(bytes, offset, value);
};

/** The ELF header of a shared object or of an executable that runs at any address, whose program headers follow it. */
export const headerRecord = (layout: ClassLayout, fields: HeaderFields): Uint8Array => {
	const { header } = layout;
	const bytes = new Uint8Array(header.recordSize);
	setU32(bytes, 0, elf.ELFMAG);
	bytes[elf.EI_CLASS] = layout.bits === 64 ? elf.ELFCLASS64 : elf.ELFCLASS32;
	bytes[elf.EI_DATA] = elf.ELFDATA2LSB;
	bytes[elf.EI_VERSION] = elf.EV_CURRENT;
	bytes[elf.EI_OSABI] = elf.ELFOSABI_NONE;
	setU16(bytes, E_TYPE, elf.ET_DYN);
	setU16(bytes, E_MACHINE, fields.machine);
	setU32(bytes, E_VERSION, elf.EV_CURRENT);
	setWord(layout, bytes, header.entry, fields.entry ?? 0);
	setWord(layout, bytes, header.phoff, header.recordSize);
	setWord(layout, bytes, header.shoff, fields.sectionHeadersOffset);
	setU16(bytes, header.ehsize, header.recordSize);
	setU16(bytes, header.phentsize, layout.programHeader.recordSize);
	setU16(bytes, header.phnum, fields.programHeaderCount);
	setU16(bytes, header.shentsize, layout.sectionHeader.recordSize);
	setU16(bytes, header.shnum, fields.sectionCount);
	setU16(bytes, header.shstrndx, fields.sectionNamesIndex);
	return bytes;
};

export const programHeaderRecord = (layout: ClassLayout, fields: SegmentFields): Uint8Array => {
	const { programHeader } = layout;
	const bytes = new Uint8Array(programHeader.recordSize);
	setU32(bytes, programHeader.type, fields.type);
	setU32(bytes, programHeader.flags, fields.flags);
	for (const place of [programHeader.offset, programHeader.vaddr, programHeader.paddr]) {
		setWord(layout, bytes, place, fields.offset);
	}
	setWord(layout, bytes, programHeader.filesz, fields.size);
	setWord(layout, bytes, programHeader.memsz, fields.memorySize ?? fields.size);
	setWord(layout, bytes, programHeader.align, fields.alignment);
	return bytes;
};

export const sectionHeaderRecord = (layout: ClassLayout, fields: SectionFields): Uint8Array => {
	const { sectionHeader } = layout;
	const bytes = new Uint8Array(sectionHeader.recordSize);
	setU32(bytes, sectionHeader.name, fields.name);
	setU32(bytes, sectionHeader.type, fields.type);
	setWord(layout, bytes, sectionHeader.flags, fields.flags);
	// What is not loaded has no address.
	setWord(layout, bytes, sectionHeader.addr, (fields.flags & elf.SHF_ALLOC) === 0 ? 0 : fields.offset);
	setWord(layout, bytes, sectionHeader.offset, fields.offset);
	setWord(layout, bytes, sectionHeader.size, fields.size);
	setU32(bytes, sectionHeader.link, fields.link);
	setU32(bytes, sectionHeader.info, fields.info ?? 0);
	setWord(layout, bytes, sectionHeader.addralign, fields.alignment);
	setWord(layout, bytes, sectionHeader.entsize, fields.entrySize ?? 0);
	return bytes;
};

export const symbolRecord = (layout: ClassLayout, fields: SymbolFields): Uint8Array => {
	const { symbol } = layout;
	const bytes = new Uint8Array(symbol.recordSize);
	setU32(bytes, symbol.name, fields.name);
	bytes[symbol.info] = fields.info;
	bytes[symbol.other] = elf.STV_DEFAULT;
	setU16(bytes, symbol.shndx, fields.sectionIndex);
	setWord(layout, bytes, symbol.value, fields.value);
	setWord(layout, bytes, symbol.size, fields.size);
	return bytes;
};

/** Elf64_Rela: the loader stores the address of a symbol in the word at `offset`. */
export const relocationRecord = (offset: number, type: number, symbol: number): Uint8Array => {
	const bytes = new Uint8Array(elf.ELF64_RELA_SIZE);
	setU64(bytes, 0, BigInt(offset));
	setU64(bytes, 8, (BigInt(symbol) << 32n) | BigInt(type));
	return bytes;
};

export const dynamicRecord = (layout: ClassLayout, tag: number, value: number): Uint8Array => {
	const bytes = new Uint8Array(layout.dynamicSize);
	setWord(layout, bytes, 0, tag);
	setWord(layout, bytes, layout.wordSize, value);
	return bytes;
};
