/**
 * Core files: what a process had mapped (PT_LOAD), what its files were (NT_FILE), and its auxiliary vector (NT_AUXV).
 *
 * They are as large as the process was, so nothing is read but what is asked for. Formats: fs/binfmt_elf.c and
 * include/uapi/linux/elfcore.h, v6.18; the kernel's own and those of gcore are the same.
 */
import { ByteReader } from "../bytes.ts";
import { type ElfClass, layoutOf } from "../elf/class-layout.ts";
import * as elf from "../elf/constants.ts";
import { decodeProgramHeaders, openElf, type ProgramHeader, programHeaderTable, readHeader } from "../elf/headers.ts";
import { segmentFlags } from "../elf/names.ts";
import { type ElfNote, readNotes } from "../elf/notes.ts";
import { ElfView } from "../elf/view.ts";
import { type ByteSource, bytesAt } from "../scan/source.ts";
import type { AddressSpace, Mapping } from "./address-space.ts";
import { type Auxv, parseAuxv } from "./auxv.ts";

export interface CoreFile {
	readonly pid: number | undefined;
	readonly command: string;
	readonly auxv: Auxv | undefined;
	readonly mappings: readonly Mapping[];
	readonly memory: AddressSpace;
}

/** Of struct elf_prpsinfo in each class. */
const PRPSINFO = { 32: { pid: 12, arguments: 44, size: 124 }, 64: { pid: 24, arguments: 56, size: 136 } } as const;
const ARGUMENTS_SIZE = 80;
/** What is believed of the size of notes: NT_FILE has some hundred bytes for each mapping. */
const LARGEST_NOTES = 256n << 20n;

interface NamedRange {
	readonly start: bigint;
	readonly end: bigint;
	readonly name: string;
}

/** NT_FILE: count, page size, three words for each range, and then the names. */
const parseFiles = ({ description }: ElfNote, bits: ElfClass): readonly NamedRange[] => {
	const reader = new ByteReader(description);
	const size = bits / 8;
	const word = (index: number): bigint => (bits === 64 ? reader.u64(index * size) : BigInt(reader.u32(index * size)));
	if (description.length < 2 * size) return [];
	const count = Number(word(0));
	if ((2 + 3 * count) * size > description.length) return [];
	const names = new TextDecoder().decode(description.subarray((2 + 3 * count) * size)).split("\0");
	return Array.from({ length: count }, (_, index) => ({
		start: word(2 + 3 * index),
		end: word(3 + 3 * index),
		name: names[index] ?? "",
	}));
};

const readSegmentNotes = (source: ByteSource, bits: ElfClass, segment: ProgramHeader): readonly ElfNote[] => {
	if (segment.fileSize > LARGEST_NOTES) return [];
	const bytes = bytesAt(source, Number(segment.offset), Number(segment.fileSize));
	const moved = { ...segment, offset: 0n, fileSize: BigInt(bytes.length) };
	return readNotes(new ElfView(bytes, layoutOf(bits)), [moved]);
};

/** Bytes of the segments, as far as the file has them. */
const memoryOf = (source: ByteSource, loads: readonly ProgramHeader[]): AddressSpace => ({
	read: (address, length) => {
		const segment = loads.find(
			({ virtualAddress, fileSize }) =>
				virtualAddress <= address && address + BigInt(length) <= virtualAddress + fileSize,
		);
		if (segment === undefined) return undefined;
		const bytes = bytesAt(source, Number(segment.offset + address - segment.virtualAddress), length);
		return bytes.length === length ? bytes : undefined;
	},
});

/** Whether the file that begins with these bytes is a core file. @param head the ELF header or more */
export const isCoreFile = (head: Uint8Array): boolean => readHeader(openElf(head)).type === elf.ET_CORE;

/** @param head the ELF header or more */
export const readSegments = (source: ByteSource, head: ElfView): readonly ProgramHeader[] => {
	const { offset, size } = programHeaderTable(head);
	const table = new ElfView(bytesAt(source, Number(offset), Number(size)), head.layout);
	return decodeProgramHeaders(table, table.range(0n, size, "Program headers"));
};

/** @throws {ElfError} when the headers or the notes are not those of a core file, or not wholly in the file. */
export const readCoreFile = (source: ByteSource): CoreFile => {
	const head = openElf(bytesAt(source, 0, elf.ELF64_EHDR_SIZE));
	const { layout } = head;
	const segments = readSegments(source, head);
	const loads = segments.filter(({ type }) => type === elf.PT_LOAD);
	const notes = segments
		.filter(({ type }) => type === elf.PT_NOTE)
		.flatMap((segment) => readSegmentNotes(source, layout.bits, segment));
	const note = (type: number): ElfNote | undefined =>
		notes.find((candidate) => candidate.type === type && candidate.name === "CORE");
	const files = note(elf.NT_FILE);
	const names = files === undefined ? [] : parseFiles(files, layout.bits);
	const auxv = note(elf.NT_AUXV);
	const info = note(elf.NT_PRPSINFO)?.description;
	const at = PRPSINFO[layout.bits];
	const hasInfo = info !== undefined && info.length >= at.size;
	return {
		pid: hasInfo ? new ByteReader(info).i32(at.pid) : undefined,
		command: hasInfo
			? new ByteReader(info.subarray(0, at.arguments + ARGUMENTS_SIZE)).cString(at.arguments).trimEnd()
			: "",
		auxv: auxv === undefined ? undefined : parseAuxv(auxv.description, layout.bits),
		mappings: loads.map(({ virtualAddress, memorySize, flags }) => ({
			start: virtualAddress,
			end: virtualAddress + memorySize,
			permissions: segmentFlags(flags),
			name: names.find(({ start, end: last }) => start <= virtualAddress && virtualAddress < last)?.name ?? "",
		})),
		memory: memoryOf(source, loads),
	};
};
