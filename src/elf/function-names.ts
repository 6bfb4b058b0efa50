/**
 * Which function an address is in: by .symtab, which programs have for debuggers, else by the dynamic symbols.
 *
 * Names are read when they are asked for, since a large program has a hundred thousand of them.
 */
import * as constants from "./constants.ts";
import type { ElfFile } from "./reader.ts";
import type { SectionHeader } from "./headers.ts";
import { StringTable } from "./string-table.ts";

export interface NamedFunction {
	readonly name: string;
	/** Address of its first byte. */
	readonly start: bigint;
}

interface Entry {
	readonly start: bigint;
	/** Of the first byte behind it: the end of its section for hand-written assembly without a size, which the next symbol cuts short. */
	readonly end: bigint;
	readonly name: () => string;
}

const isFunction = (type: number): boolean => type === constants.STT_FUNC || type === constants.STT_GNU_IFUNC;

const endOf = (
	{ sections }: ElfFile,
	{ value, size, sectionIndex }: { readonly value: bigint; readonly size: bigint; readonly sectionIndex: number },
): bigint => {
	if (size !== 0n) return value + size;
	const section = sections[sectionIndex];
	return section === undefined ? value : section.address + section.size;
};

const fromTable = (elf: ElfFile, table: SectionHeader, strings: StringTable): Entry[] => {
	const { view } = elf;
	const { symbol } = view.layout;
	const range = view.range(table.offset, table.size, ".symtab");
	const entries: Entry[] = [];
	for (let at = range.offset; at + symbol.recordSize <= range.end; at += symbol.recordSize) {
		if (!isFunction(view.u8(at + symbol.info) & 0xf) || view.u16(at + symbol.shndx) === constants.SHN_UNDEF) continue;
		const name = view.u32(at + symbol.name);
		const start = view.word(at + symbol.value);
		entries.push({
			start,
			end: endOf(elf, { value: start, size: view.word(at + symbol.size), sectionIndex: view.u16(at + symbol.shndx) }),
			name: () => strings.at(name, "a symbol's name"),
		});
	}
	return entries;
};

const readEntries = (elf: ElfFile): Entry[] => {
	const table = elf.sections.find(({ type }) => type === constants.SHT_SYMTAB);
	const names = table && elf.sections[table.link];
	if (table !== undefined && names !== undefined) {
		const strings = new StringTable(elf.view, elf.view.range(names.offset, names.size, ".strtab"));
		const entries = fromTable(elf, table, strings);
		if (entries.length > 0) return entries;
	}
	return elf.symbols
		.filter(({ type, sectionIndex }) => isFunction(type) && sectionIndex !== constants.SHN_UNDEF)
		.map((symbol) => ({ start: symbol.value, end: endOf(elf, symbol), name: () => symbol.name }));
};

export class FunctionNames {
	readonly #entries: readonly Entry[];

	/** @throws {ElfError} when the file claims symbols that are not in it. */
	constructor(elf: ElfFile) {
		this.#entries = readEntries(elf).toSorted((a, b) => (a.start < b.start ? -1 : Number(a.start > b.start)));
	}

	/** The function that `address` is in; undefined when no symbol says so. */
	at(address: bigint): NamedFunction | undefined {
		let [low, high] = [0, this.#entries.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			if ((this.#entries[middle]?.start ?? 0n) <= address) low = middle + 1;
			else high = middle;
		}
		const entry = this.#entries[low - 1];
		if (entry === undefined || address >= entry.end) return undefined;
		return { name: entry.name(), start: entry.start };
	}
}
