/**
 * The dynamic symbols, with their versions.
 *
 * Nothing in PT_DYNAMIC says how many there are: DT_HASH has one chain entry per symbol; DT_GNU_HASH leads to the last symbol
 * that is defined, which leaves out the undefined ones of a program that exports nothing. For those the section header of
 * .dynsym is asked, when there is one for the same address.
 */
import type { AddressMap } from "./address-map.ts";
import * as constants from "./constants.ts";
import { type DynamicEntry, dynamicValue } from "./dynamic.ts";
import { ElfError } from "./elf-error.ts";
import { type GnuHashTable, gnuSymbolCount, type SysvHashTable } from "./hash-tables.ts";
import type { SectionHeader } from "./headers.ts";
import type { StringTable } from "./string-table.ts";
import type { VersionDefinition, VersionNeed } from "./versions.ts";
import { type ElfView, type FileRange, firstRecords } from "./view.ts";

export interface ElfSymbol {
	readonly name: string;
	readonly value: bigint;
	readonly size: bigint;
	/** STT_*. */
	readonly type: number;
	/** STB_*. */
	readonly binding: number;
	/** STV_*. */
	readonly visibility: number;
	/** SHN_UNDEF, SHN_ABS or a section. */
	readonly sectionIndex: number;
	/** Without the hidden bit; VER_NDX_GLOBAL when the file has no DT_VERSYM. */
	readonly versionIndex: number;
	/** `name@version`: found only by those who ask for this version. */
	readonly isHidden: boolean;
	/** undefined for VER_NDX_LOCAL and VER_NDX_GLOBAL, and for an index that nothing defines. */
	readonly version: string | undefined;
}

export interface SymbolSources {
	readonly view: ElfView;
	readonly addresses: AddressMap;
	readonly dynamic: readonly DynamicEntry[];
	readonly strings: StringTable;
	readonly sections: readonly SectionHeader[];
	readonly sysvHash: SysvHashTable | undefined;
	readonly gnuHash: GnuHashTable | undefined;
	readonly versionDefinitions: readonly VersionDefinition[];
	readonly versionNeeds: readonly VersionNeed[];
}

const countSymbols = ({ view, dynamic, sections, sysvHash, gnuHash }: SymbolSources): number => {
	if (sysvHash !== undefined) return sysvHash.chainCount;
	const hashed = gnuHash === undefined ? 0 : gnuSymbolCount(view, gnuHash);
	const address = dynamicValue(dynamic, constants.DT_SYMTAB);
	const section = sections.find(({ type, address: start }) => type === constants.SHT_DYNSYM && start === address);
	return Math.max(hashed, Number((section?.size ?? 0n) / BigInt(view.layout.symbol.recordSize)));
};

const versionNames = ({ versionDefinitions, versionNeeds }: SymbolSources): ReadonlyMap<number, string> => {
	const names = new Map<number, string>();
	for (const { index, name } of [...versionDefinitions, ...versionNeeds]) {
		if (index > constants.VER_NDX_GLOBAL) names.set(index, name);
	}
	return names;
};

const versionTable = ({ addresses, dynamic }: SymbolSources, count: number): FileRange | undefined => {
	const address = dynamicValue(dynamic, constants.DT_VERSYM);
	if (address === undefined) return undefined;
	return firstRecords(addresses.at(address, "DT_VERSYM"), count, constants.VERSYM_SIZE, "DT_VERSYM");
};

/** Empty when the file has no DT_SYMTAB. The first one is the null symbol. */
export const readSymbols = (sources: SymbolSources): readonly ElfSymbol[] => {
	const { view, addresses, dynamic, strings } = sources;
	const { symbol: at } = view.layout;
	const address = dynamicValue(dynamic, constants.DT_SYMTAB);
	const count = countSymbols(sources);
	if (address === undefined || count === 0) return [];
	const recordSize = dynamicValue(dynamic, constants.DT_SYMENT) ?? BigInt(at.recordSize);
	const range = addresses.at(address, "DT_SYMTAB");
	if (recordSize !== BigInt(at.recordSize)) {
		throw new ElfError(range.offset, `DT_SYMENT: ${recordSize}, expected ${at.recordSize}`);
	}
	const table = firstRecords(range, count, at.recordSize, "DT_SYMTAB");
	const versions = versionTable(sources, count);
	const names = versionNames(sources);
	const symbols: ElfSymbol[] = [];
	for (let index = 0; index < count; index++) {
		const record = table.offset + index * at.recordSize;
		const info = view.u8(record + at.info);
		const versym =
			versions === undefined ? constants.VER_NDX_GLOBAL : view.u16(versions.offset + index * constants.VERSYM_SIZE);
		const versionIndex = versym & ~constants.VERSYM_HIDDEN;
		symbols.push({
			name: strings.at(view.u32(record + at.name), `Name of symbol ${index}`),
			value: view.word(record + at.value),
			size: view.word(record + at.size),
			type: info & 0xf,
			binding: info >> 4,
			visibility: view.u8(record + at.other) & 3,
			sectionIndex: view.u16(record + at.shndx),
			versionIndex,
			isHidden: (versym & constants.VERSYM_HIDDEN) !== 0,
			version: names.get(versionIndex),
		});
	}
	return symbols;
};

/** Whether others can bind to it by name. */
export const isExported = ({ binding, sectionIndex }: ElfSymbol): boolean =>
	sectionIndex !== constants.SHN_UNDEF &&
	(binding === constants.STB_GLOBAL || binding === constants.STB_WEAK || binding === constants.STB_GNU_UNIQUE);
