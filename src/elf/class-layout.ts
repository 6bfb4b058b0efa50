/**
 * Where the fields of a record stand in each class: the only difference between ELF32 and ELF64, for the reader and the writer.
 *
 * Fields are named as in elf.h without their prefix. Those that the table marks "word" have 4 bytes in ELF32 and 8 in ELF64;
 * all others have one width (gABI chapter 4).
 */
import * as constants from "./constants.ts";

/** Bits of an address: ELFCLASS32 or ELFCLASS64. */
export type ElfClass = 32 | 64;

export interface ClassLayout {
	readonly bits: ElfClass;
	readonly wordSize: 4 | 8;
	readonly dynamicSize: number;
	/** e_entry, e_phoff, e_shoff are words; the others u16, e_flags u32. */
	readonly header: {
		readonly recordSize: number;
		readonly entry: number;
		readonly phoff: number;
		readonly shoff: number;
		readonly flags: number;
		readonly ehsize: number;
		readonly phentsize: number;
		readonly phnum: number;
		readonly shentsize: number;
		readonly shnum: number;
		readonly shstrndx: number;
	};
	/** All words but type and flags (u32). */
	readonly programHeader: {
		readonly recordSize: number;
		readonly type: number;
		readonly flags: number;
		readonly offset: number;
		readonly vaddr: number;
		readonly paddr: number;
		readonly filesz: number;
		readonly memsz: number;
		readonly align: number;
	};
	/** All words but name, type, link and info (u32). */
	readonly sectionHeader: {
		readonly recordSize: number;
		readonly name: number;
		readonly type: number;
		readonly flags: number;
		readonly addr: number;
		readonly offset: number;
		readonly size: number;
		readonly link: number;
		readonly info: number;
		readonly addralign: number;
		readonly entsize: number;
	};
	/** name u32, info and other u8, shndx u16, value and size words. */
	readonly symbol: {
		readonly recordSize: number;
		readonly name: number;
		readonly info: number;
		readonly other: number;
		readonly shndx: number;
		readonly value: number;
		readonly size: number;
	};
}

/** Fields of the header in front of the first word: the same in both classes. */
export const E_TYPE = 16;
export const E_MACHINE = 18;
export const E_VERSION = 20;

const LAYOUT_32: ClassLayout = {
	bits: 32,
	wordSize: 4,
	dynamicSize: constants.ELF32_DYN_SIZE,
	header: {
		recordSize: constants.ELF32_EHDR_SIZE,
		entry: 24,
		phoff: 28,
		shoff: 32,
		flags: 36,
		ehsize: 40,
		phentsize: 42,
		phnum: 44,
		shentsize: 46,
		shnum: 48,
		shstrndx: 50,
	},
	programHeader: {
		recordSize: constants.ELF32_PHDR_SIZE,
		type: 0,
		offset: 4,
		vaddr: 8,
		paddr: 12,
		filesz: 16,
		memsz: 20,
		flags: 24,
		align: 28,
	},
	sectionHeader: {
		recordSize: constants.ELF32_SHDR_SIZE,
		name: 0,
		type: 4,
		flags: 8,
		addr: 12,
		offset: 16,
		size: 20,
		link: 24,
		info: 28,
		addralign: 32,
		entsize: 36,
	},
	symbol: { recordSize: constants.ELF32_SYM_SIZE, name: 0, value: 4, size: 8, info: 12, other: 13, shndx: 14 },
};

const LAYOUT_64: ClassLayout = {
	bits: 64,
	wordSize: 8,
	dynamicSize: constants.ELF64_DYN_SIZE,
	header: {
		recordSize: constants.ELF64_EHDR_SIZE,
		entry: 24,
		phoff: 32,
		shoff: 40,
		flags: 48,
		ehsize: 52,
		phentsize: 54,
		phnum: 56,
		shentsize: 58,
		shnum: 60,
		shstrndx: 62,
	},
	programHeader: {
		recordSize: constants.ELF64_PHDR_SIZE,
		type: 0,
		flags: 4,
		offset: 8,
		vaddr: 16,
		paddr: 24,
		filesz: 32,
		memsz: 40,
		align: 48,
	},
	sectionHeader: {
		recordSize: constants.ELF64_SHDR_SIZE,
		name: 0,
		type: 4,
		flags: 8,
		addr: 16,
		offset: 24,
		size: 32,
		link: 40,
		info: 44,
		addralign: 48,
		entsize: 56,
	},
	symbol: { recordSize: constants.ELF64_SYM_SIZE, name: 0, info: 4, other: 5, shndx: 6, value: 8, size: 16 },
};

export const layoutOf = (bits: ElfClass): ClassLayout => (bits === 64 ? LAYOUT_64 : LAYOUT_32);
