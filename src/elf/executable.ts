/**
 * Writes a program that runs at any address the kernel chooses: code in one segment r-x, without data. It is static, or it takes
 * functions of shared libraries from the dynamic loader (64-bit only), whose addresses stand in words behind the code:
 *
 *     page 0…  r-x   ELF header · program headers · [interpreter · .dynsym · .dynstr · .hash · .rela] · code
 *     page n   rw-   [.dynamic · one word for each imported function]
 *
 * Source: System V gABI chapter 5; the loader finds its own load address by PT_PHDR (glibc 2.36, elf/rtld.c, rtld_setup_main_map).
 */
import { ByteWriter } from "../bytes.ts";
import { type ClassLayout, type ElfClass, layoutOf } from "./class-layout.ts";
import * as elf from "./constants.ts";
import {
	dynamicRecord,
	headerRecord,
	programHeaderRecord,
	relocationRecord,
	type SegmentFields,
	symbolRecord,
} from "./records.ts";
import { StringTableWriter } from "./string-table-writer.ts";

/** Functions that the dynamic loader finds at the start. */
export interface Imports {
	/** Path of the loader. */
	readonly interpreter: string;
	/** Sonames of libraries that have the functions, unless something preloaded has them. */
	readonly libraries: readonly string[];
	readonly functions: readonly string[];
}

export interface Executable {
	readonly bits: ElfClass;
	readonly machine: number;
	/** Bytes of code. */
	readonly textSize: number;
	/** Where the program begins, counted from its code. */
	readonly entry: number;
	readonly imports?: Imports;
	/** The code, once its place and that of the words of the imports are known (bytes from the start of the image). */
	readonly text: (place: { readonly offset: number; readonly importsOffset: number }) => Uint8Array;
}

const PAGE_SIZE = 4096;
const TEXT_ALIGNMENT = 64;
const WORD = 8;

const alignUp = (offset: number, alignment: number): number => (offset + alignment - 1) & ~(alignment - 1);

interface Part {
	readonly offset: number;
	readonly size: number;
}

/** What the loader reads, each part with its place in the file; `start` is where the first one may stand. */
const dynamicParts = (layout: ClassLayout, imports: Imports, start: number) => {
	const strings = new StringTableWriter([...imports.libraries, ...imports.functions]);
	const symbolCount = imports.functions.length + 1;
	let end = start;
	const place = (size: number): Part => {
		const offset = alignUp(end, WORD);
		end = offset + size;
		return { offset, size };
	};
	return {
		strings,
		interpreter: place(imports.interpreter.length + 1),
		symbolTable: place(symbolCount * layout.symbol.recordSize),
		stringTable: place(strings.size),
		// One empty bucket: nobody looks for a symbol here.
		hash: place(4 * (3 + symbolCount)),
		relocations: place(imports.functions.length * elf.ELF64_RELA_SIZE),
		end,
	};
};

type DynamicParts = ReturnType<typeof dynamicParts>;

const dynamicEntries = (layout: ClassLayout, parts: DynamicParts, imports: Imports) =>
	[
		...imports.libraries.map((library) => [elf.DT_NEEDED, parts.strings.offsetOf(library)] as const),
		[elf.DT_HASH, parts.hash.offset],
		[elf.DT_STRTAB, parts.stringTable.offset],
		[elf.DT_SYMTAB, parts.symbolTable.offset],
		[elf.DT_STRSZ, parts.stringTable.size],
		[elf.DT_SYMENT, layout.symbol.recordSize],
		[elf.DT_RELA, parts.relocations.offset],
		[elf.DT_RELASZ, parts.relocations.size],
		[elf.DT_RELAENT, elf.ELF64_RELA_SIZE],
		[elf.DT_NULL, 0],
	] as const;

const fillDynamicParts = (
	image: Uint8Array,
	{ layout, parts, imports, importsOffset }: ReturnType<typeof dynamicPlaces>,
): void => {
	const put = ({ offset }: Part, records: readonly Uint8Array[]): void => {
		let at = offset;
		for (const record of records) {
			image.set(record, at);
			at += record.length;
		}
	};
	put(parts.interpreter, [new TextEncoder().encode(imports.interpreter)]);
	const undefinedFunction = {
		info: (elf.STB_GLOBAL << 4) | elf.STT_FUNC,
		sectionIndex: elf.SHN_UNDEF,
		value: 0,
		size: 0,
	};
	put(parts.symbolTable, [
		new Uint8Array(layout.symbol.recordSize),
		...imports.functions.map((name) =>
			symbolRecord(layout, { ...undefinedFunction, name: parts.strings.offsetOf(name) }),
		),
	]);
	put(parts.stringTable, [parts.strings.toBytes()]);
	const hash = new ByteWriter();
	hash.u32(1);
	hash.u32(imports.functions.length + 1);
	put(parts.hash, [hash.toBytes()]);
	put(
		parts.relocations,
		imports.functions.map((_, index) =>
			relocationRecord(importsOffset + WORD * index, elf.R_X86_64_GLOB_DAT, index + 1),
		),
	);
};

const dynamicPlaces = (layout: ClassLayout, parts: DynamicParts, imports: Imports, dataOffset: number) => {
	const entries = dynamicEntries(layout, parts, imports);
	const dynamic: Part = { offset: dataOffset, size: entries.length * layout.dynamicSize };
	const importsOffset = dataOffset + dynamic.size;
	const dataSize = dynamic.size + WORD * imports.functions.length;
	return { layout, parts, imports, entries, dynamic, importsOffset, dataSize };
};

const segment = (type: number, flags: number, { offset, size }: Part, alignment: number): SegmentFields => ({
	type,
	flags,
	offset,
	size,
	alignment,
});

/** @returns the bytes of the file. */
export const writeExecutable = (program: Executable): Uint8Array => {
	const { bits, imports } = program;
	const layout = layoutOf(bits);
	const segmentCount = imports === undefined ? 2 : 6;
	const headersSize = layout.header.recordSize + segmentCount * layout.programHeader.recordSize;
	const parts = imports === undefined ? undefined : dynamicParts(layout, imports, headersSize);
	const textOffset = alignUp(parts?.end ?? headersSize, TEXT_ALIGNMENT);
	const textEnd = textOffset + program.textSize;
	const dataOffset = alignUp(textEnd, PAGE_SIZE);
	const places =
		imports === undefined || parts === undefined ? undefined : dynamicPlaces(layout, parts, imports, dataOffset);
	const image = new Uint8Array(places === undefined ? textEnd : dataOffset + places.dataSize);

	const code = segment(elf.PT_LOAD, elf.PF_R | elf.PF_X, { offset: 0, size: textEnd }, PAGE_SIZE);
	const stack = segment(elf.PT_GNU_STACK, elf.PF_R | elf.PF_W, { offset: 0, size: 0 }, 16);
	const segments: SegmentFields[] = [code, stack];
	if (places !== undefined) {
		const headers = { offset: layout.header.recordSize, size: headersSize - layout.header.recordSize };
		const data = { offset: dataOffset, size: places.dataSize };
		segments.unshift(
			segment(elf.PT_PHDR, elf.PF_R, headers, WORD),
			segment(elf.PT_INTERP, elf.PF_R, places.parts.interpreter, 1),
		);
		segments.push(
			segment(elf.PT_LOAD, elf.PF_R | elf.PF_W, data, PAGE_SIZE),
			segment(elf.PT_DYNAMIC, elf.PF_R | elf.PF_W, places.dynamic, WORD),
		);
		fillDynamicParts(image, places);
		const dynamic = places.entries.map(([tag, value]) => dynamicRecord(layout, tag, value));
		dynamic.forEach((record, index) => image.set(record, dataOffset + index * record.length));
	}
	const header = headerRecord(layout, {
		machine: program.machine,
		entry: textOffset + program.entry,
		programHeaderCount: segments.length,
		sectionHeadersOffset: 0,
		sectionCount: 0,
		sectionNamesIndex: 0,
	});
	image.set(header);
	segments.forEach((fields, index) =>
		image.set(programHeaderRecord(layout, fields), header.length + index * layout.programHeader.recordSize),
	);
	image.set(program.text({ offset: textOffset, importsOffset: places?.importsOffset ?? 0 }), textOffset);
	return image;
};

/** A static program that is code alone, from its first byte on. */
export const executableOf = ({
	code,
	...program
}: Pick<Executable, "bits" | "machine"> & { readonly code: Uint8Array }): Uint8Array =>
	writeExecutable({ ...program, textSize: code.length, entry: 0, text: () => code });
