/** The ELF header, the program headers and the section headers. */
import { E_MACHINE, E_TYPE, E_VERSION, layoutOf } from "./class-layout.ts";
import * as constants from "./constants.ts";
import { ElfError, hex } from "./elf-error.ts";
import { StringTable } from "./string-table.ts";
import { ElfView, type FileRange } from "./view.ts";

export interface ElfHeader {
	readonly type: number;
	readonly machine: number;
	readonly osAbi: number;
	readonly flags: number;
	readonly entry: bigint;
}

/** Fields as the file has them: a segment may claim bytes that are not there. */
export interface ProgramHeader {
	readonly type: number;
	readonly flags: number;
	readonly offset: bigint;
	readonly virtualAddress: bigint;
	readonly fileSize: bigint;
	readonly memorySize: bigint;
	readonly alignment: bigint;
}

/** Fields as the file has them: a section may claim bytes that are not there. */
export interface SectionHeader {
	/** undefined when the table of names is not in these bytes, or ends before this name does. */
	readonly name: string | undefined;
	readonly type: number;
	readonly flags: bigint;
	readonly address: bigint;
	readonly offset: bigint;
	readonly size: bigint;
	readonly link: number;
	readonly info: number;
	readonly alignment: bigint;
	readonly entrySize: bigint;
}

/**
 * What became of the section header table. It is not part of what gets mapped: a vDSO that was copied from memory by the
 * size of its PT_LOAD lacks it, and loaders work from the program headers alone. So its absence is a fact, not an error:
 * "absent" when the header names none, "truncated" when the file ends before the table does.
 */
export type SectionTable = "present" | "absent" | "truncated";

/**
 * Checks e_ident and gives a view of the file's class.
 *
 * @throws {ElfError} when this is not a little-endian ELF file of version 1.
 */
export const openElf = (bytes: Uint8Array): ElfView => {
	const identity = new ElfView(bytes, layoutOf(64));
	if (bytes.length < constants.EI_NIDENT) {
		throw new ElfError(0, `${bytes.length} bytes, expected an ELF header (${constants.ELF32_EHDR_SIZE} bytes or more)`);
	}
	const magic = identity.u32(0);
	if (magic !== constants.ELFMAG) {
		throw new ElfError(0, `First word ${hex(magic)}, expected ${hex(constants.ELFMAG)} (0x7f "ELF")`);
	}
	const data = identity.u8(constants.EI_DATA);
	if (data !== constants.ELFDATA2LSB) {
		const found = data === constants.ELFDATA2MSB ? "big endian" : `byte order ${data}`;
		throw new ElfError(constants.EI_DATA, `The file is ${found}, expected little endian (${constants.ELFDATA2LSB})`);
	}
	const elfClass = identity.u8(constants.EI_CLASS);
	if (elfClass !== constants.ELFCLASS32 && elfClass !== constants.ELFCLASS64) {
		throw new ElfError(constants.EI_CLASS, `Class ${elfClass}, expected 1 (ELF32) or 2 (ELF64)`);
	}
	const view = new ElfView(bytes, layoutOf(elfClass === constants.ELFCLASS64 ? 64 : 32));
	view.range(0n, BigInt(view.layout.header.recordSize), "ELF header");
	for (const version of [view.u8(constants.EI_VERSION), view.u32(E_VERSION)]) {
		if (version !== constants.EV_CURRENT) throw new ElfError(E_VERSION, `ELF version ${version}, expected 1`);
	}
	return view;
};

export const readHeader = (view: ElfView): ElfHeader => ({
	type: view.u16(E_TYPE),
	machine: view.u16(E_MACHINE),
	osAbi: view.u8(constants.EI_OSABI),
	flags: view.u32(view.layout.header.flags),
	entry: view.word(view.layout.header.entry),
});

/** Where a table stands, as the header has it: it may claim bytes that are not there. */
export interface TableRange {
	readonly offset: bigint;
	readonly size: bigint;
}

/**
 * @param view of the header; the table need not be in it
 * @throws {ElfError} when the table has records of another size.
 */
export const programHeaderTable = (view: ElfView): TableRange => {
	const { header, programHeader: at } = view.layout;
	const count = view.u16(header.phnum);
	if (count === 0) return { offset: 0n, size: 0n };
	if (count === constants.PN_XNUM) {
		throw new ElfError(header.phnum, "More than 65534 program headers (PN_XNUM), expected fewer");
	}
	const recordSize = view.u16(header.phentsize);
	if (recordSize !== at.recordSize) {
		throw new ElfError(header.phentsize, `Program headers of ${recordSize} bytes, expected ${at.recordSize}`);
	}
	return { offset: view.word(header.phoff), size: BigInt(count * recordSize) };
};

/** @throws {ElfError} when the table has records of another size or is not wholly in the file. */
export const readProgramHeaders = (view: ElfView): readonly ProgramHeader[] => {
	const { offset, size } = programHeaderTable(view);
	return decodeProgramHeaders(view, view.range(offset, size, "Program headers"));
};

/** @param table part of `view`, with whole records */
export const decodeProgramHeaders = (view: ElfView, table: FileRange): readonly ProgramHeader[] => {
	const { programHeader: at } = view.layout;
	const headers: ProgramHeader[] = [];
	for (let record = table.offset; record < table.end; record += at.recordSize) {
		headers.push({
			type: view.u32(record + at.type),
			flags: view.u32(record + at.flags),
			offset: view.word(record + at.offset),
			virtualAddress: view.word(record + at.vaddr),
			fileSize: view.word(record + at.filesz),
			memorySize: view.word(record + at.memsz),
			alignment: view.word(record + at.align),
		});
	}
	return headers;
};

/** Bytes of address space from the start of an image to the end of its last PT_LOAD. */
export const loadedSize = (headers: readonly ProgramHeader[]): number =>
	headers
		.filter(({ type }) => type === constants.PT_LOAD)
		.reduce((size, segment) => Math.max(size, Number(segment.virtualAddress + segment.memorySize)), 0);

/**
 * @param view of the header; the table need not be in it
 * @param fileLength in bytes
 * @throws {ElfError} when the table is there with records of another size.
 */
export const sectionHeaderTable = (view: ElfView, fileLength: number): TableRange | "absent" | "truncated" => {
	const { header, sectionHeader: at } = view.layout;
	const offset = view.word(header.shoff);
	// No count but a table means 65280 sections or more (gABI, e_shnum): nothing that we read has that many.
	const count = view.u16(header.shnum);
	if (offset === 0n || count === 0) return "absent";
	const recordSize = view.u16(header.shentsize);
	const size = BigInt(count * at.recordSize);
	if (offset + size > BigInt(fileLength)) return "truncated";
	if (recordSize !== at.recordSize) {
		throw new ElfError(header.shentsize, `Section headers of ${recordSize} bytes, expected ${at.recordSize}`);
	}
	return { offset, size };
};

/** Bytes of an image that its segments have in the file: an image for 32-bit processes claims what lies behind it, too (docs/i386.md). */
export const storedSize = (headers: readonly ProgramHeader[]): number =>
	headers
		.filter(({ type }) => type === constants.PT_LOAD)
		.reduce((size, segment) => Math.max(size, Number(segment.offset + segment.fileSize)), 0);

/** @throws {ElfError} when the table is there with records of another size. */
export const readSections = (
	view: ElfView,
): { readonly sectionTable: SectionTable; readonly sections: readonly SectionHeader[] } => {
	const table = sectionHeaderTable(view, view.length);
	if (table === "absent" || table === "truncated") return { sectionTable: table, sections: [] };
	const range = { offset: Number(table.offset), end: Number(table.offset + table.size) };
	return { sectionTable: "present", sections: decodeSections(view, range, sectionNames(view, range)) };
};

/**
 * @param table part of `view`, with whole records
 * @param nameOf the name at an index into the table of names
 */
export const decodeSections = (
	view: ElfView,
	table: FileRange,
	nameOf: (index: number) => string | undefined,
): readonly SectionHeader[] => {
	const { sectionHeader: at } = view.layout;
	const sections: SectionHeader[] = [];
	for (let record = table.offset; record < table.end; record += at.recordSize) {
		sections.push({
			name: nameOf(view.u32(record + at.name)),
			type: view.u32(record + at.type),
			flags: view.word(record + at.flags),
			address: view.word(record + at.addr),
			offset: view.word(record + at.offset),
			size: view.word(record + at.size),
			link: view.u32(record + at.link),
			info: view.u32(record + at.info),
			alignment: view.word(record + at.addralign),
			entrySize: view.word(record + at.entsize),
		});
	}
	return sections;
};

/** Names are for people: where they cannot be read, the table is still of use. */
export const readableNames =
	(strings: StringTable) =>
	(index: number): string | undefined => {
		try {
			return strings.at(index, "Section name");
		} catch (error) {
			if (error instanceof ElfError) return undefined;
			throw error;
		}
	};

const sectionNames = (view: ElfView, table: FileRange): ((index: number) => string | undefined) => {
	const { header, sectionHeader: at } = view.layout;
	const record = table.offset + view.u16(header.shstrndx) * at.recordSize;
	if (record >= table.end) return () => undefined;
	const offset = view.word(record + at.offset);
	const end = offset + view.word(record + at.size);
	if (end > BigInt(view.length)) return () => undefined;
	return readableNames(new StringTable(view, { offset: Number(offset), end: Number(end) }));
};
