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
import * as elf from "./constants.ts";
import { ehFrameHeaderSize, type FunctionFrame, writeEhFrame, writeEhFrameHeader } from "./eh-frame.ts";
import { gnuHash, sysvHash } from "./hash.ts";
import { type ElfClass, recordsOf } from "./records.ts";

export interface ExportedFunction {
	readonly name: string;
	readonly binding: "global" | "weak";
	readonly version: string;
	/** Offset and size in .text, in bytes. */
	readonly start: number;
	readonly size: number;
}

export interface Note {
	readonly name: string;
	readonly type: number;
	readonly description: Uint8Array;
}

export interface SharedObject {
	readonly bits: ElfClass;
	readonly machine: number;
	readonly soname: string;
	/** Version definitions in the order of their indices, from 2 on. */
	readonly versions: readonly string[];
	readonly functions: readonly ExportedFunction[];
	readonly notes: readonly Note[];
	readonly textSize: number;
	/** Frames with `start` counted from .text, in ascending order. */
	readonly frames: readonly FunctionFrame[];
	/** The code, once its place in the image and the size of the image are known. Called once. */
	readonly text: (place: { readonly offset: number; readonly imageSize: number }) => Uint8Array;
}

interface Section {
	readonly name: string;
	readonly type: number;
	readonly flags: number;
	readonly alignment: number;
	readonly entrySize?: number;
	readonly link?: string;
	readonly info?: number;
	readonly size: number;
}

interface Symbol {
	readonly name: string;
	readonly info: number;
	readonly sectionIndex: number;
	readonly value: number;
	readonly size: number;
	readonly versionIndex: number;
}

const PAGE_SIZE = 4096;
const BUILD_ID_SIZE = 20;
const TEXT = ".text";

const alignUp = (offset: number, alignment: number): number => (offset + alignment - 1) & ~(alignment - 1);

/** Strings of a string table, each once, with their offsets. */
class StringTable {
	readonly #writer = new ByteWriter();
	readonly #offsets = new Map<string, number>();

	constructor() {
		this.offsetOf("");
	}

	offsetOf(text: string): number {
		const known = this.#offsets.get(text);
		if (known !== undefined) return known;
		const offset = this.#writer.cString(text);
		this.#offsets.set(text, offset);
		return offset;
	}

	get size(): number {
		return this.#writer.length;
	}

	toBytes(): Uint8Array {
		return this.#writer.toBytes();
	}
}

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

/** DT_HASH: nbucket, nchain, buckets, chains (gABI chapter 5). */
const writeSysvHash = (symbols: readonly Symbol[]): Uint8Array => {
	const bucketCount = Math.max(1, symbols.length >> 1);
	const buckets = Array.from({ length: bucketCount }, () => 0);
	const chains = Array.from({ length: symbols.length }, () => 0);
	for (let index = symbols.length - 1; index > 0; index--) {
		const bucket = sysvHash(symbols[index]?.name ?? "") % bucketCount;
		chains[index] = buckets[bucket] ?? 0;
		buckets[bucket] = index;
	}
	const writer = new ByteWriter();
	for (const word of [bucketCount, symbols.length, ...buckets, ...chains]) writer.u32(word);
	return writer.toBytes();
};

const gnuBucketCount = (hashedCount: number): number => Math.max(1, hashedCount >> 1);

/** DT_GNU_HASH with one bloom word; `symbols[0]` is the null symbol and the rest is sorted by bucket. */
const writeGnuHash = (bits: ElfClass, symbols: readonly Symbol[]): Uint8Array => {
	const bloomShift = 6;
	const hashes = symbols.slice(1).map((symbol) => gnuHash(symbol.name));
	const bucketCount = gnuBucketCount(hashes.length);
	let bloom = 0n;
	for (const hash of hashes) {
		bloom |= 1n << BigInt(hash % bits);
		bloom |= 1n << BigInt((hash >>> bloomShift) % bits);
	}
	const writer = new ByteWriter();
	for (const word of [bucketCount, 1, 1, bloomShift]) writer.u32(word);
	if (bits === 64) writer.u64(bloom);
	else writer.u32(Number(bloom));
	for (let bucket = 0; bucket < bucketCount; bucket++) {
		writer.u32(hashes.findIndex((hash) => hash % bucketCount === bucket) + 1);
	}
	hashes.forEach((hash, index) => {
		const next = hashes[index + 1];
		const isLast = next === undefined || next % bucketCount !== hash % bucketCount;
		writer.u32(((hash & ~1) | (isLast ? 1 : 0)) >>> 0);
	});
	return writer.toBytes();
};

const writeVersionDefinitions = (object: SharedObject, strings: StringTable): Uint8Array => {
	const names = [object.soname, ...object.versions];
	const writer = new ByteWriter();
	names.forEach((name, index) => {
		writer.u16(elf.VER_DEF_CURRENT);
		writer.u16(index === 0 ? elf.VER_FLG_BASE : 0);
		writer.u16(index + 1);
		writer.u16(1);
		writer.u32(sysvHash(name));
		writer.u32(elf.VERDEF_SIZE);
		writer.u32(index === names.length - 1 ? 0 : elf.VERDEF_SIZE + elf.VERDAUX_SIZE);
		writer.u32(strings.offsetOf(name));
		writer.u32(0);
	});
	return writer.toBytes();
};

const sortedSymbols = (object: SharedObject, textIndex: number, textOffset: number): readonly Symbol[] => {
	const versionIndex = (version: string): number => object.versions.indexOf(version) + 2;
	const functions = object.functions.map((entry) => ({
		name: entry.name,
		info: ((entry.binding === "global" ? elf.STB_GLOBAL : elf.STB_WEAK) << 4) | elf.STT_FUNC,
		sectionIndex: textIndex,
		value: textOffset + entry.start,
		size: entry.size,
		versionIndex: versionIndex(entry.version),
	}));
	// Each version node is a symbol of its own, as ld makes it.
	const versions = object.versions.map((name) => ({
		name,
		info: (elf.STB_GLOBAL << 4) | elf.STT_OBJECT,
		sectionIndex: elf.SHN_ABS,
		value: 0,
		size: 0,
		versionIndex: versionIndex(name),
	}));
	const bucketCount = gnuBucketCount(functions.length + versions.length);
	const bucketOf = (symbol: Symbol): number => gnuHash(symbol.name) % bucketCount;
	const none = { name: "", info: 0, sectionIndex: elf.SHN_UNDEF, value: 0, size: 0, versionIndex: elf.VER_NDX_LOCAL };
	return [none, ...[...functions, ...versions].toSorted((a, b) => bucketOf(a) - bucketOf(b))];
};

/** @returns the bytes of the image, a whole number of pages. */
export const writeSharedObject = (object: SharedObject): Uint8Array => {
	const { bits } = object;
	const records = recordsOf(bits);
	const strings = new StringTable();
	for (const name of [object.soname, ...object.versions, ...object.functions.map((entry) => entry.name)]) {
		strings.offsetOf(name);
	}
	const buildId: Note = { name: "GNU", type: elf.NT_GNU_BUILD_ID, description: new Uint8Array(BUILD_ID_SIZE) };
	const notes = writeNotes([...object.notes, buildId]);
	const symbolCount = 1 + object.functions.length + object.versions.length;
	const programHeaderCount = 5;
	const dynamicCount = 12;
	const { word } = records;

	const read = elf.SHF_ALLOC;
	const execute = elf.SHF_ALLOC | elf.SHF_EXECINSTR;
	const gnuHashSize = 16 + word + 4 * gnuBucketCount(symbolCount - 1) + 4 * (symbolCount - 1);
	const hashSize = 4 * (2 + Math.max(1, symbolCount >> 1) + symbolCount);
	const verdefSize = (elf.VERDEF_SIZE + elf.VERDAUX_SIZE) * (object.versions.length + 1);
	const symtabSize = symbolCount * records.symbolSize;
	const ehFrameSize = writeEhFrame(bits, 0, object.frames).bytes.length;
	const dynsym = { link: ".dynsym" };
	const dynstr = { link: ".dynstr" };
	const sections: readonly Section[] = [
		{ name: ".hash", type: elf.SHT_HASH, flags: read, alignment: 8, entrySize: 4, size: hashSize, ...dynsym },
		{ name: ".gnu.hash", type: elf.SHT_GNU_HASH, flags: read, alignment: 8, size: gnuHashSize, ...dynsym },
		{
			name: ".dynsym",
			type: elf.SHT_DYNSYM,
			flags: read,
			alignment: 8,
			entrySize: records.symbolSize,
			size: symtabSize,
			info: 1,
			...dynstr,
		},
		{ name: ".dynstr", type: elf.SHT_STRTAB, flags: read, alignment: 1, size: strings.size },
		{
			name: ".gnu.version",
			type: elf.SHT_GNU_versym,
			flags: read,
			alignment: 2,
			entrySize: 2,
			size: 2 * symbolCount,
			...dynsym,
		},
		{
			name: ".gnu.version_d",
			type: elf.SHT_GNU_verdef,
			flags: read,
			alignment: 8,
			size: verdefSize,
			info: object.versions.length + 1,
			...dynstr,
		},
		{
			name: ".dynamic",
			type: elf.SHT_DYNAMIC,
			flags: read,
			alignment: 8,
			entrySize: 2 * word,
			size: dynamicCount * 2 * word,
			...dynstr,
		},
		{ name: ".note", type: elf.SHT_NOTE, flags: read, alignment: 4, size: notes.length },
		{ name: TEXT, type: elf.SHT_PROGBITS, flags: execute, alignment: 64, size: object.textSize },
		{
			name: ".eh_frame_hdr",
			type: elf.SHT_PROGBITS,
			flags: read,
			alignment: 4,
			size: ehFrameHeaderSize(object.frames.length),
		},
		{ name: ".eh_frame", type: elf.SHT_PROGBITS, flags: read, alignment: 8, size: ehFrameSize },
	];

	const sectionNames = new StringTable();
	for (const section of [...sections.map(({ name }) => name), ".shstrtab"]) sectionNames.offsetOf(section);
	const offsets = new Map<string, number>();
	let end = records.headerSize + programHeaderCount * records.programHeaderSize;
	for (const section of sections) {
		const offset = alignUp(end, section.alignment);
		offsets.set(section.name, offset);
		end = offset + section.size;
	}
	const offsetOf = (name: string): number => offsets.get(name) ?? 0;
	const sizeOf = (name: string): number => sections.find((section) => section.name === name)?.size ?? 0;
	const indexOf = (name: string): number => sections.findIndex((section) => section.name === name) + 1;
	const sectionNamesOffset = end;
	const sectionHeadersOffset = alignUp(sectionNamesOffset + sectionNames.size, 8);
	const sectionCount = sections.length + 2;
	const loadSize = sectionHeadersOffset + sectionCount * records.sectionHeaderSize;
	const image = new Uint8Array(alignUp(loadSize, PAGE_SIZE));

	const textOffset = offsetOf(TEXT);
	const symbols = sortedSymbols(object, indexOf(TEXT), textOffset);
	const frames = object.frames.map((frame) => ({ ...frame, start: textOffset + frame.start }));
	const ehFrame = writeEhFrame(bits, offsetOf(".eh_frame"), frames);

	const header = new ByteWriter();
	records.header(header, {
		machine: object.machine,
		entry: 0,
		programHeaderCount,
		sectionHeadersOffset,
		sectionCount,
		sectionNamesIndex: sectionCount - 1,
	});
	const segment = (type: number, flags: number, name: string, alignment: number): void =>
		records.programHeader(header, { type, flags, offset: offsetOf(name), size: sizeOf(name), alignment });
	records.programHeader(header, {
		type: elf.PT_LOAD,
		flags: elf.PF_R | elf.PF_X,
		offset: 0,
		size: loadSize,
		alignment: PAGE_SIZE,
	});
	segment(elf.PT_DYNAMIC, elf.PF_R, ".dynamic", 8);
	segment(elf.PT_NOTE, elf.PF_R, ".note", 4);
	segment(elf.PT_GNU_EH_FRAME, elf.PF_R, ".eh_frame_hdr", 4);
	records.programHeader(header, { type: elf.PT_GNU_STACK, flags: elf.PF_R, offset: 0, size: 0, alignment: 16 });

	const dynamic = new ByteWriter();
	const dynamicEntries: readonly (readonly [number, number])[] = [
		[elf.DT_SONAME, strings.offsetOf(object.soname)],
		[elf.DT_HASH, offsetOf(".hash")],
		[elf.DT_GNU_HASH, offsetOf(".gnu.hash")],
		[elf.DT_STRTAB, offsetOf(".dynstr")],
		[elf.DT_SYMTAB, offsetOf(".dynsym")],
		[elf.DT_STRSZ, strings.size],
		[elf.DT_SYMENT, records.symbolSize],
		[elf.DT_VERDEF, offsetOf(".gnu.version_d")],
		[elf.DT_VERDEFNUM, object.versions.length + 1],
		[elf.DT_FLAGS, elf.DF_SYMBOLIC],
		[elf.DT_VERSYM, offsetOf(".gnu.version")],
		[elf.DT_NULL, 0],
	];
	for (const [tag, value] of dynamicEntries) records.dynamic(dynamic, tag, value);

	const symbolTable = new ByteWriter();
	const versionTable = new ByteWriter();
	for (const symbol of symbols) {
		records.symbol(symbolTable, { ...symbol, name: strings.offsetOf(symbol.name) });
		versionTable.u16(symbol.versionIndex);
	}

	const sectionHeaders = new ByteWriter();
	sectionHeaders.append(new Uint8Array(records.sectionHeaderSize));
	for (const section of sections) {
		records.sectionHeader(sectionHeaders, {
			...section,
			name: sectionNames.offsetOf(section.name),
			offset: offsetOf(section.name),
			link: section.link === undefined ? 0 : indexOf(section.link),
		});
	}
	records.sectionHeader(sectionHeaders, {
		name: sectionNames.offsetOf(".shstrtab"),
		type: elf.SHT_STRTAB,
		flags: 0,
		alignment: 1,
		offset: sectionNamesOffset,
		size: sectionNames.size,
		link: 0,
	});

	image.set(header.toBytes(), 0);
	image.set(writeSysvHash(symbols), offsetOf(".hash"));
	image.set(writeGnuHash(bits, symbols), offsetOf(".gnu.hash"));
	image.set(symbolTable.toBytes(), offsetOf(".dynsym"));
	image.set(writeVersionDefinitions(object, strings), offsetOf(".gnu.version_d"));
	image.set(strings.toBytes(), offsetOf(".dynstr"));
	image.set(versionTable.toBytes(), offsetOf(".gnu.version"));
	image.set(dynamic.toBytes(), offsetOf(".dynamic"));
	image.set(notes, offsetOf(".note"));
	image.set(object.text({ offset: textOffset, imageSize: image.length }), textOffset);
	image.set(ehFrame.bytes, offsetOf(".eh_frame"));
	image.set(
		writeEhFrameHeader({
			headerOffset: offsetOf(".eh_frame_hdr"),
			frameOffset: offsetOf(".eh_frame"),
			functions: frames,
			fdeOffsets: ehFrame.fdeOffsets,
		}),
		offsetOf(".eh_frame_hdr"),
	);
	image.set(sectionNames.toBytes(), sectionNamesOffset);
	image.set(sectionHeaders.toBytes(), sectionHeadersOffset);
	// The build-id names these bytes: a hash of the image while the field itself is zero. It is the last thing in .note.
	const id = createHash("sha1").update(image).digest();
	image.set(id, offsetOf(".note") + notes.length - BUILD_ID_SIZE);
	return image;
};
