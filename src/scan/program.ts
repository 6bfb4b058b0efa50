/**
 * An ELF file as a scan needs it: which of its bytes are code and which are data, and at which addresses.
 *
 * Sections say it best, since data often stands in executable segments. Without a section table it is what the segments say, and
 * then code may hold data. Only the tables are read here.
 */
import { layoutOf } from "../elf/class-layout.ts";
import * as elf from "../elf/constants.ts";
import { ElfError } from "../elf/elf-error.ts";
import {
	decodeProgramHeaders,
	decodeSections,
	openElf,
	type ProgramHeader,
	programHeaderTable,
	readableNames,
	readHeader,
	type SectionHeader,
	sectionHeaderTable,
} from "../elf/headers.ts";
import { StringTable } from "../elf/string-table.ts";
import { ElfView } from "../elf/view.ts";
import { type ByteSource, bytesAt } from "./source.ts";

/** Bytes of the file that are mapped at an address. */
export interface Part {
	readonly name: string | undefined;
	readonly isCode: boolean;
	readonly offset: number;
	readonly length: number;
	/** In an object file, whose sections have no addresses, the offset. */
	readonly address: bigint;
}

export interface Program {
	readonly source: ByteSource;
	/** ET_*. */
	readonly type: number;
	/** EM_*. */
	readonly machine: number;
	readonly bits: 32 | 64;
	readonly programHeaders: readonly ProgramHeader[];
	/** Empty where the file has no section table. */
	readonly sections: readonly SectionHeader[];
	/** In the order of the file; none shares a byte with another. */
	readonly parts: readonly Part[];
}

/** Types of sections that are in the file and in memory, but have a meaning of their own: none holds an address of a function. */
const TABLES: readonly number[] = [
	elf.SHT_NOTE,
	elf.SHT_HASH,
	elf.SHT_GNU_HASH,
	elf.SHT_DYNSYM,
	elf.SHT_STRTAB,
	elf.SHT_REL,
	elf.SHT_RELA,
	elf.SHT_GNU_versym,
	elf.SHT_GNU_verdef,
	elf.SHT_GNU_verneed,
	elf.SHT_NOBITS,
];

const MAGIC = [0x7f, 0x45, 0x4c, 0x46];
const HEADER_SIZE = elf.ELF64_EHDR_SIZE;
/** The names of sections; a larger table is damaged. */
const MOST_NAMES = 1n << 24n;

/** @param start four bytes or more */
export const isElf = (start: Uint8Array): boolean => MAGIC.every((byte, index) => start[index] === byte);

/** A table that the header tells of, as a view of its own. */
const tableView = (source: ByteSource, head: ElfView, table: { offset: bigint; size: bigint }): ElfView => {
	if (table.offset + table.size > BigInt(source.length)) {
		throw new ElfError(
			Number(table.offset),
			`A table of headers ends at ${table.offset + table.size}, expected inside the file of ${source.length} bytes`,
		);
	}
	return new ElfView(bytesAt(source, Number(table.offset), Number(table.size)), head.layout);
};

const whole = (view: ElfView): { offset: number; end: number } => ({ offset: 0, end: view.length });

const namesOf = (source: ByteSource, head: ElfView, table: ElfView): ((index: number) => string | undefined) => {
	const { header, sectionHeader: at } = head.layout;
	const record = head.u16(header.shstrndx) * at.recordSize;
	if (record >= table.length) return () => undefined;
	const [offset, size] = [table.word(record + at.offset), table.word(record + at.size)];
	if (size > MOST_NAMES || offset + size > BigInt(source.length)) return () => undefined;
	const view = new ElfView(bytesAt(source, Number(offset), Number(size)), head.layout);
	return readableNames(new StringTable(view, whole(view)));
};

const readSections = (source: ByteSource, head: ElfView): readonly SectionHeader[] => {
	const range = sectionHeaderTable(head, source.length);
	if (range === "absent" || range === "truncated") return [];
	const table = tableView(source, head, range);
	return decodeSections(table, whole(table), namesOf(source, head, table));
};

type Candidate = Omit<Part, "offset" | "length"> & { readonly offset: bigint; readonly size: bigint };

const sectionParts = (sections: readonly SectionHeader[], isObject: boolean): readonly Candidate[] =>
	sections
		.filter(({ flags, type }) => (flags & BigInt(elf.SHF_ALLOC)) !== 0n && !TABLES.includes(type))
		.map(({ name, flags, offset, size, address }) => ({
			name,
			isCode: (flags & BigInt(elf.SHF_EXECINSTR)) !== 0n,
			offset,
			size,
			address: isObject ? offset : address,
		}));

const segmentParts = (headers: readonly ProgramHeader[]): readonly Candidate[] =>
	headers
		.filter(({ type }) => type === elf.PT_LOAD)
		.map(({ flags, offset, fileSize, virtualAddress }) => ({
			name: undefined,
			isCode: (flags & elf.PF_X) !== 0,
			offset,
			size: fileSize,
			address: virtualAddress,
		}));

/** What is in the file, each byte once: a hostile file may claim the same gigabyte a thousand times. */
const disjoint = (candidates: readonly Candidate[], fileLength: number): readonly Part[] => {
	const parts: Part[] = [];
	let free = 0;
	const ordered = candidates.toSorted((one, other) => Number(one.offset - other.offset));
	for (const { offset, size, address, ...rest } of ordered) {
		if (offset >= BigInt(fileLength)) continue;
		const start = Math.max(free, Number(offset));
		const end = Number(offset + size > BigInt(fileLength) ? BigInt(fileLength) : offset + size);
		if (start >= end) continue;
		const moved = BigInt.asUintN(64, address + BigInt(start) - offset);
		parts.push({ ...rest, offset: start, length: end - start, address: moved });
		free = end;
	}
	return parts;
};

/**
 * Reads the tables of an ELF file.
 *
 * @throws {ElfError} ERR_VSYSCALL_ELF when it is none, or its tables are not in it.
 */
export const openProgram = (source: ByteSource): Program => {
	const head = openElf(bytesAt(source, 0, HEADER_SIZE));
	const { type, machine } = readHeader(head);
	const { bits } = head.layout;
	const opened = { source, type, machine, bits };
	// A memory image has its tables in its own place, and is no program.
	if (type === elf.ET_CORE || machine !== elf.EM_X86_64 || bits !== layoutOf(64).bits) {
		return { ...opened, programHeaders: [], sections: [], parts: [] };
	}
	const table = tableView(source, head, programHeaderTable(head));
	const programHeaders = decodeProgramHeaders(table, whole(table));
	const sections = readSections(source, head);
	const candidates = sections.length > 0 ? sectionParts(sections, type === elf.ET_REL) : segmentParts(programHeaders);
	return { ...opened, programHeaders, sections, parts: disjoint(candidates, source.length) };
};

/** Up to `length` bytes at an address of the program, from one part. */
export const readAt = ({ source, parts }: Program, address: bigint, length: number): Uint8Array => {
	const part = partAt(parts, address);
	if (part === undefined) return new Uint8Array(0);
	const inside = Number(address - part.address);
	return bytesAt(source, part.offset + inside, Math.min(length, part.length - inside));
};

/** The part with an address. */
export const partAt = (parts: readonly Part[], address: bigint): Part | undefined =>
	parts.find((part) => address >= part.address && address < part.address + BigInt(part.length));
