/**
 * Names for addresses, and where functions begin: from .symtab and .dynsym, and from the table of .eh_frame_hdr, which stripped
 * programs still have.
 *
 * Read when something was found, so a file without a finding costs nothing here. Damaged tables give fewer names, not an error.
 */
import { ByteReader } from "../bytes.ts";
import * as elf from "../elf/constants.ts";
import { layoutOf } from "../elf/class-layout.ts";
import type { SectionHeader } from "../elf/headers.ts";
import { latin1 } from "../elf/string-table.ts";
import { type Part, partAt, type Program } from "./program.ts";
import { bytesAt } from "./source.ts";

const { symbol: FIELDS } = layoutOf(64);
/** Symbol tables of half a gigabyte are those of no program. */
const MOST_BYTES = 1n << 29n;
/** How many symbols may stand between an address and the function that covers it: labels, aliases. */
const MOST_BEFORE = 64;
const FUNCTIONS: readonly number[] = [elf.STT_FUNC, elf.STT_GNU_IFUNC];

interface SymbolTable {
	readonly records: ByteReader;
	readonly names: ByteReader;
	/** What a value counts from: in an object file the place of its section, elsewhere nothing. */
	readonly base: (section: number) => bigint;
}

interface Named {
	readonly name: string;
	readonly value: bigint;
	readonly size: bigint;
	readonly type: number;
}

/** One symbol of one of the tables. */
interface Place {
	readonly table: SymbolTable;
	readonly record: number;
}

const sectionBytes = (program: Program, section: SectionHeader | undefined): Uint8Array => {
	if (section === undefined || section.size > MOST_BYTES || section.type === elf.SHT_NOBITS) return new Uint8Array(0);
	return bytesAt(program.source, Number(section.offset), Number(section.size));
};

const readTables = (program: Program): readonly SymbolTable[] =>
	program.sections
		.filter(({ type }) => type === elf.SHT_SYMTAB || type === elf.SHT_DYNSYM)
		.slice(0, 2)
		.map((section) => ({
			records: new ByteReader(sectionBytes(program, section)),
			names: new ByteReader(sectionBytes(program, program.sections[section.link])),
			base: (index: number) => (program.type === elf.ET_REL ? (program.sections[index]?.offset ?? 0n) : 0n),
		}));

/** Words of .eh_frame_hdr: version, encodings of what follows (LSB Core, ".eh_frame_hdr"). */
const HEADER = {
	version: 1,
	/** DW_EH_PE_datarel | DW_EH_PE_sdata4: the one that linkers write. */
	tableEncoding: elf.DW_EH_PE_datarel | elf.DW_EH_PE_sdata4,
	table: 12,
	recordSize: 8,
} as const;

/** Ascending addresses at which code with a call frame begins. */
const frameStarts = (program: Program): readonly bigint[] => {
	const segment = program.programHeaders.find(({ type }) => type === elf.PT_GNU_EH_FRAME);
	if (segment === undefined || segment.fileSize > MOST_BYTES) return [];
	const reader = new ByteReader(bytesAt(program.source, Number(segment.offset), Number(segment.fileSize)));
	if (reader.length < HEADER.table || reader.u8(0) !== HEADER.version || reader.u8(3) !== HEADER.tableEncoding)
		return [];
	const count = Math.min(reader.u32(8), Math.floor((reader.length - HEADER.table) / HEADER.recordSize));
	return Array.from({ length: count }, (_, index) =>
		BigInt.asUintN(64, segment.virtualAddress + BigInt(reader.i32(HEADER.table + index * HEADER.recordSize))),
	);
};

/** The index of the last value that is not greater; -1 if there is none. @param count of the values, ascending */
const lastNotAfter = (count: number, valueAt: (index: number) => bigint, wanted: bigint): number => {
	let [low, high] = [0, count];
	while (low < high) {
		const middle = (low + high) >>> 1;
		if (valueAt(middle) <= wanted) low = middle + 1;
		else high = middle;
	}
	return low - 1;
};

export class SymbolIndex {
	readonly #program: Program;
	/** Defined symbols, by value. */
	readonly #places: readonly Place[];
	readonly #frames: readonly bigint[];

	constructor(program: Program) {
		this.#program = program;
		this.#frames = frameStarts(program);
		const places: Place[] = [];
		for (const table of readTables(program)) {
			for (let record = 0; record + FIELDS.recordSize <= table.records.length; record += FIELDS.recordSize) {
				const type = table.records.u8(record + FIELDS.info) & 0xf;
				const isPlaced = table.records.u16(record + FIELDS.shndx) !== elf.SHN_UNDEF;
				if (isPlaced && (type <= elf.STT_FUNC || type === elf.STT_GNU_IFUNC)) places.push({ table, record });
			}
		}
		this.#places = places
			.map((place) => ({ place, value: valueOf(place) }))
			.toSorted((one, other) => (one.value < other.value ? -1 : Number(one.value > other.value)))
			.map(({ place }) => place);
	}

	/** `name` or `name+0x1c`; undefined where nothing covers the address. */
	nameOf(address: bigint): string | undefined {
		const symbol = this.#covering(address);
		if (symbol === undefined) return undefined;
		const distance = address - symbol.value;
		return distance === 0n ? symbol.name : `${symbol.name}+0x${distance.toString(16)}`;
	}

	/** The name of a symbol that begins at an address. */
	nameAt(address: bigint): string | undefined {
		const symbol = this.#covering(address);
		return symbol?.value === address ? symbol.name : undefined;
	}

	/** Where the function with an address begins, if that is known: the last place in front of it at which code has a name or a frame. */
	functionStart(address: bigint): bigint | undefined {
		const symbol = this.#covering(address);
		if (symbol !== undefined && FUNCTIONS.includes(symbol.type)) return symbol.value;
		const label = symbol?.type === elf.STT_NOTYPE ? symbol.value : undefined;
		const frame = this.#frames[lastNotAfter(this.#frames.length, (index) => this.#frames[index] ?? 0n, address)];
		if (frame === undefined || !isInOnePart(this.#program.parts, frame, address)) return label;
		return label !== undefined && label > frame ? label : frame;
	}

	/** The function or object with an address inside; else the nearest symbol without a size in front of it. */
	#covering(address: bigint): Named | undefined {
		const last = lastNotAfter(this.#places.length, (index) => valueOf(this.#placeAt(index)), address);
		let nearest: Named | undefined;
		for (let index = last; index >= 0 && last - index < MOST_BEFORE; index--) {
			const symbol = named(this.#placeAt(index));
			if (symbol.name === "") continue;
			if (symbol.type !== elf.STT_NOTYPE && address < symbol.value + symbol.size) return symbol;
			if (symbol.size === 0n) nearest ??= symbol;
		}
		if (nearest === undefined || !isInOnePart(this.#program.parts, nearest.value, address)) return undefined;
		return nearest;
	}

	#placeAt(index: number): Place {
		return this.#places[index] as Place;
	}
}

const valueOf = ({ table: { records, base }, record }: Place): bigint =>
	records.u64(record + FIELDS.value) + base(records.u16(record + FIELDS.shndx));

const named = (place: Place): Named => {
	const { records, names } = place.table;
	const { record } = place;
	const at = records.u32(record + FIELDS.name);
	return {
		name: latin1(names.bytes.subarray(at, endOfName(names.bytes, at))),
		value: valueOf(place),
		size: records.u64(record + FIELDS.size),
		type: records.u8(record + FIELDS.info) & 0xf,
	};
};

/** A name that goes on beyond that is cut. */
const MOST_NAME = 4096;

const endOfName = (bytes: Uint8Array, start: number): number => {
	const end = bytes.subarray(start, start + MOST_NAME).indexOf(0);
	return end < 0 ? start + MOST_NAME : start + end;
};

const isInOnePart = (parts: readonly Part[], one: bigint, other: bigint): boolean => {
	const part = partAt(parts, one);
	return part !== undefined && part === partAt(parts, other);
};
