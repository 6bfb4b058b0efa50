/**
 * Writes a shared object that is mapped as it stands: one PT_LOAD r-x at offset 0 that holds everything, the section headers
 * included, so that the file, the mapping and a core dump are the same bytes. No relocations, no data, no bss.
 *
 *     ELF header · program headers · .hash .gnu.hash .dynsym .dynstr .gnu.version .gnu.version_d .dynamic .note
 *     · .text · .eh_frame_hdr .eh_frame · .shstrtab · section headers
 *
 * Everything in front of .text has a size that does not depend on the code, so the place of .text is known before the code
 * is linked.
 */
import { createHash } from "node:crypto";
import { ByteWriter } from "../bytes.ts";
import { type ElfClass, layoutOf } from "./class-layout.ts";
import * as elf from "./constants.ts";
import {
	type Exports,
	sortedSymbols,
	tableSizes,
	writeGnuHash,
	writeSysvHash,
	writeVersionDefinitions,
} from "./dynamic-symbols.ts";
import { ehFrameHeaderSize, type FunctionFrame, writeEhFrame, writeEhFrameHeader } from "./eh-frame.ts";
import { dynamicRecord, headerRecord, programHeaderRecord, sectionHeaderRecord, symbolRecord } from "./records.ts";
import { StringTableWriter } from "./string-table-writer.ts";

export interface Note {
	readonly name: string;
	readonly type: number;
	readonly description: Uint8Array;
}

/** Mappings that unwinders are to take for part of the image, though no byte of the file is in them. */
export interface MappedBehind {
	/** Whole pages. */
	readonly size: number;
	/** Frames with `start` counted from the end of the image, in ascending order. */
	readonly frames: readonly FunctionFrame[];
}

export interface SharedObject extends Exports {
	readonly bits: ElfClass;
	readonly machine: number;
	readonly notes: readonly Note[];
	readonly textSize: number;
	/** What e_entry leads to, counted from .text; undefined for none. */
	readonly entry: number | undefined;
	/** Frames with `start` counted from .text, in ascending order. */
	readonly frames: readonly FunctionFrame[];
	/** What is mapped behind the pages of the image in every process, and counts as part of it. */
	readonly behind?: MappedBehind | undefined;
	/** The code, once its place in the image and the size of the image are known. Called once. */
	readonly text: (place: { readonly offset: number; readonly imageSize: number }) => Uint8Array;
}

interface Section {
	readonly name: string;
	readonly type: number;
	/** SHF_ALLOC or SHF_ALLOC | SHF_EXECINSTR; 0 for what no loader needs. */
	readonly flags: number;
	readonly alignment: number;
	readonly size: number;
	readonly entrySize?: number;
	readonly link?: string;
	readonly info?: number;
	/** Called when every section has its place. */
	readonly content: () => Uint8Array;
}

const PAGE_SIZE = 4096;
const BUILD_ID_SIZE = 20;
const PROGRAM_HEADER_COUNT = 5;
const DYNAMIC_COUNT = 12;
const TEXT = ".text";
const SECTION_NAMES = ".shstrtab";

const alignUp = (offset: number, alignment: number): number => (offset + alignment - 1) & ~(alignment - 1);

const writeNotes = (notes: readonly Note[]): Uint8Array => {
	const writer = new ByteWriter();
	for (const note of notes) {
		writer.u32(note.name.length + 1);
		writer.u32(note.description.length);
		writer.u32(note.type);
		writer.cString(note.name);
		writer.align(4);
		writer.append(note.description);
		writer.align(4);
	}
	return writer.toBytes();
};

/** Places sections one behind the other. */
class Layout {
	readonly #sections: readonly Section[];
	readonly #offsets = new Map<string, number>();
	/** Behind the last section. */
	readonly end: number;

	constructor(sections: readonly Section[], start: number) {
		this.#sections = sections;
		let end = start;
		for (const { name, alignment, size } of sections) {
			const offset = alignUp(end, alignment);
			this.#offsets.set(name, offset);
			end = offset + size;
		}
		this.end = end;
	}

	offset(name: string): number {
		const offset = this.#offsets.get(name);
		if (offset === undefined) throw new RangeError(`There is no section ${name}`);
		return offset;
	}

	size(name: string): number {
		return this.#sections[this.index(name) - 1]?.size ?? 0;
	}

	/** Index in the section table, whose first entry is empty. */
	index(name: string): number {
		return this.#sections.findIndex((section) => section.name === name) + 1;
	}
}

/** What `write` writes, which must have the size that the layout was made with. */
const table = (count: number, write: (writer: ByteWriter) => void): Uint8Array => {
	const writer = new ByteWriter();
	write(writer);
	if (writer.length !== count)
		throw new RangeError(`A table of ${count} bytes was announced, ${writer.length} were written`);
	return writer.toBytes();
};

/** @returns the bytes of the image, a whole number of pages. */
export const writeSharedObject = (object: SharedObject): Uint8Array => {
	const { bits, frames } = object;
	const records = layoutOf(bits);
	const sizes = tableSizes(bits, object);
	const strings = new StringTableWriter([
		object.soname,
		...object.versions,
		...object.functions.map(({ name }) => name),
	]);
	const buildId: Note = { name: "GNU", type: elf.NT_GNU_BUILD_ID, description: new Uint8Array(BUILD_ID_SIZE) };
	const notes = writeNotes([...object.notes, buildId]);
	const behind = object.behind ?? { size: 0, frames: [] };
	const ehFrame = (sectionOffset: number, textOffset: number, imageSize: number): ReturnType<typeof writeEhFrame> =>
		writeEhFrame(bits, sectionOffset, placedFrames(textOffset, imageSize));
	const placedFrames = (textOffset: number, imageSize: number): readonly FunctionFrame[] => [
		...frames.map((frame) => ({ ...frame, start: textOffset + frame.start })),
		...behind.frames.map((frame) => ({ ...frame, start: imageSize + frame.start })),
	];

	const symbols = () => sortedSymbols(object, layout.index(TEXT), layout.offset(TEXT));
	const read = elf.SHF_ALLOC;
	const bySymbols = { flags: read, link: ".dynsym" };
	const byStrings = { flags: read, link: ".dynstr" };
	const symbolTableSize = sizes.symbols * records.symbol.recordSize;
	const dynamicSize = DYNAMIC_COUNT * records.dynamicSize;
	const inImage: readonly Section[] = [
		{
			name: ".hash",
			type: elf.SHT_HASH,
			alignment: 8,
			entrySize: 4,
			size: sizes.hash,
			...bySymbols,
			content: () => writeSysvHash(symbols()),
		},
		{
			name: ".gnu.hash",
			type: elf.SHT_GNU_HASH,
			alignment: 8,
			size: sizes.gnuHash,
			...bySymbols,
			content: () => writeGnuHash(bits, symbols()),
		},
		{
			name: ".dynsym",
			type: elf.SHT_DYNSYM,
			alignment: 8,
			entrySize: records.symbol.recordSize,
			size: symbolTableSize,
			info: 1,
			...byStrings,
			content: () =>
				table(symbolTableSize, (writer) => {
					for (const symbol of symbols())
						writer.append(symbolRecord(records, { ...symbol, name: strings.offsetOf(symbol.name) }));
				}),
		},
		{
			name: ".dynstr",
			type: elf.SHT_STRTAB,
			flags: read,
			alignment: 1,
			size: strings.size,
			content: () => strings.toBytes(),
		},
		{
			name: ".gnu.version",
			type: elf.SHT_GNU_versym,
			alignment: 2,
			entrySize: 2,
			size: 2 * sizes.symbols,
			...bySymbols,
			content: () =>
				table(2 * sizes.symbols, (writer) => {
					for (const { versionIndex } of symbols()) writer.u16(versionIndex);
				}),
		},
		{
			name: ".gnu.version_d",
			type: elf.SHT_GNU_verdef,
			alignment: 8,
			size: sizes.versions,
			info: object.versions.length + 1,
			...byStrings,
			content: () => writeVersionDefinitions(object, strings),
		},
		{
			name: ".dynamic",
			type: elf.SHT_DYNAMIC,
			alignment: 8,
			entrySize: records.dynamicSize,
			size: dynamicSize,
			...byStrings,
			content: () =>
				table(dynamicSize, (writer) => {
					const entries: readonly (readonly [tag: number, value: number])[] = [
						[elf.DT_SONAME, strings.offsetOf(object.soname)],
						[elf.DT_HASH, layout.offset(".hash")],
						[elf.DT_GNU_HASH, layout.offset(".gnu.hash")],
						[elf.DT_STRTAB, layout.offset(".dynstr")],
						[elf.DT_SYMTAB, layout.offset(".dynsym")],
						[elf.DT_STRSZ, strings.size],
						[elf.DT_SYMENT, records.symbol.recordSize],
						[elf.DT_VERDEF, layout.offset(".gnu.version_d")],
						[elf.DT_VERDEFNUM, object.versions.length + 1],
						[elf.DT_FLAGS, elf.DF_SYMBOLIC],
						[elf.DT_VERSYM, layout.offset(".gnu.version")],
						[elf.DT_NULL, 0],
					];
					for (const [tag, value] of entries) writer.append(dynamicRecord(records, tag, value));
				}),
		},
		{ name: ".note", type: elf.SHT_NOTE, flags: read, alignment: 4, size: notes.length, content: () => notes },
		{
			name: TEXT,
			type: elf.SHT_PROGBITS,
			flags: read | elf.SHF_EXECINSTR,
			alignment: 64,
			size: object.textSize,
			content: () => object.text({ offset: layout.offset(TEXT), imageSize: image.length }),
		},
		{
			name: ".eh_frame_hdr",
			type: elf.SHT_PROGBITS,
			flags: read,
			alignment: 4,
			size: ehFrameHeaderSize(frames.length + behind.frames.length),
			content: () =>
				writeEhFrameHeader({
					headerOffset: layout.offset(".eh_frame_hdr"),
					frameOffset: layout.offset(".eh_frame"),
					functions: placedFrames(layout.offset(TEXT), image.length),
					fdeOffsets: ehFrame(layout.offset(".eh_frame"), layout.offset(TEXT), image.length).fdeOffsets,
				}),
		},
		{
			name: ".eh_frame",
			type: elf.SHT_PROGBITS,
			flags: read,
			alignment: 8,
			size: ehFrame(0, 0, 0).bytes.length,
			content: () => ehFrame(layout.offset(".eh_frame"), layout.offset(TEXT), image.length).bytes,
		},
	];
	const names = new StringTableWriter([...inImage.map(({ name }) => name), SECTION_NAMES]);
	const sections: readonly Section[] = [
		...inImage,
		{
			name: SECTION_NAMES,
			type: elf.SHT_STRTAB,
			flags: 0,
			alignment: 1,
			size: names.size,
			content: () => names.toBytes(),
		},
	];
	const layout = new Layout(
		sections,
		records.header.recordSize + PROGRAM_HEADER_COUNT * records.programHeader.recordSize,
	);
	const sectionHeadersOffset = alignUp(layout.end, 8);
	const sectionCount = sections.length + 1;
	const loadSize = sectionHeadersOffset + sectionCount * records.sectionHeader.recordSize;
	const image = new Uint8Array(alignUp(loadSize, PAGE_SIZE));

	const headers = new ByteWriter();
	headers.append(
		headerRecord(records, {
			machine: object.machine,
			entry: object.entry === undefined ? 0 : layout.offset(TEXT) + object.entry,
			programHeaderCount: PROGRAM_HEADER_COUNT,
			sectionHeadersOffset,
			sectionCount,
			sectionNamesIndex: layout.index(SECTION_NAMES),
		}),
	);
	const memorySize = behind.size === 0 ? loadSize : image.length + behind.size;
	const load = {
		type: elf.PT_LOAD,
		flags: elf.PF_R | elf.PF_X,
		offset: 0,
		size: loadSize,
		memorySize,
		alignment: PAGE_SIZE,
	};
	headers.append(programHeaderRecord(records, load));
	const segments: readonly (readonly [type: number, section: string, alignment: number])[] = [
		[elf.PT_DYNAMIC, ".dynamic", 8],
		[elf.PT_NOTE, ".note", 4],
		[elf.PT_GNU_EH_FRAME, ".eh_frame_hdr", 4],
	];
	for (const [type, name, alignment] of segments) {
		headers.append(
			programHeaderRecord(records, {
				type,
				flags: elf.PF_R,
				offset: layout.offset(name),
				size: layout.size(name),
				alignment,
			}),
		);
	}
	headers.append(
		programHeaderRecord(records, { type: elf.PT_GNU_STACK, flags: elf.PF_R, offset: 0, size: 0, alignment: 16 }),
	);

	const sectionHeaders = new ByteWriter();
	sectionHeaders.append(new Uint8Array(records.sectionHeader.recordSize));
	for (const section of sections) {
		const link = section.link === undefined ? 0 : layout.index(section.link);
		const place = { name: names.offsetOf(section.name), offset: layout.offset(section.name), link };
		sectionHeaders.append(sectionHeaderRecord(records, { ...section, ...place }));
		image.set(section.content(), place.offset);
	}
	image.set(headers.toBytes(), 0);
	image.set(sectionHeaders.toBytes(), sectionHeadersOffset);
	// The build-id names these bytes: a hash of the image while the field itself is zero. It is the last thing in .note.
	const id = createHash("sha1").update(image).digest();
	image.set(id, layout.offset(".note") + notes.length - BUILD_ID_SIZE);
	return image;
};
