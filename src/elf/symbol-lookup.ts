/**
 * Finds a symbol by name as a dynamic loader does: through the hash tables, never through the list of symbols
 * (glibc elf/dl-lookup.c, do_lookup_x and check_match, 2.36; Linux tools/testing/selftests/vDSO/parse_vdso.c, v6.12).
 *
 *     const { value } = lookUp(readElf(bytes), "__vdso_clock_gettime", "LINUX_2.6") ?? fail();
 */
import * as constants from "./constants.ts";
import { gnuHash, sysvHash } from "./hash.ts";
import type { ElfFile } from "./reader.ts";
import { type ElfSymbol, isExported } from "./symbols.ts";

interface Wanted {
	readonly name: string;
	readonly version: string | undefined;
}

const FOUND_TYPES: ReadonlySet<number> = new Set([
	constants.STT_NOTYPE,
	constants.STT_OBJECT,
	constants.STT_FUNC,
	constants.STT_TLS,
	constants.STT_GNU_IFUNC,
]);

/** Without a version the default one of a name matches; a file without versions satisfies any. */
const matches = (elf: ElfFile, symbol: ElfSymbol, { name, version }: Wanted): boolean => {
	if (symbol.name !== name || !isExported(symbol) || !FOUND_TYPES.has(symbol.type)) return false;
	if (symbol.value === 0n && symbol.sectionIndex !== constants.SHN_ABS && symbol.type !== constants.STT_TLS)
		return false;
	if (version === undefined) return !symbol.isHidden;
	return symbol.version === version || elf.versionDefinitions.length === 0;
};

/** Through DT_HASH. A chain that runs in a circle ends after as many steps as there are chain entries. */
export const lookUpBySysvHash = (elf: ElfFile, name: string, version?: string): ElfSymbol | undefined => {
	const { view, sysvHash: table } = elf;
	if (table === undefined || table.bucketCount === 0) return undefined;
	let index = view.u32(table.buckets + 4 * (sysvHash(name) % table.bucketCount));
	for (let steps = 0; index !== constants.STN_UNDEF && index < table.chainCount && steps < table.chainCount; steps++) {
		const symbol = elf.symbols[index];
		if (symbol !== undefined && matches(elf, symbol, { name, version })) return symbol;
		index = view.u32(table.chains + 4 * index);
	}
	return undefined;
};

/** Through the Bloom filter, the buckets and the chains of DT_GNU_HASH. */
export const lookUpByGnuHash = (elf: ElfFile, name: string, version?: string): ElfSymbol | undefined => {
	const { view, gnuHash: table } = elf;
	if (table === undefined || table.bucketCount === 0) return undefined;
	const { bits, wordSize } = view.layout;
	const hash = gnuHash(name);
	const filter = view.word(table.bloom + wordSize * (Math.floor(hash / bits) & (table.bloomCount - 1)));
	// The shift count of the filter is a C shift of a u32: x86 takes it modulo 32.
	const both = (1n << BigInt(hash % bits)) | (1n << BigInt((hash >>> table.bloomShift) % bits));
	if ((filter & both) !== both) return undefined;
	let index = view.u32(table.buckets + 4 * (hash % table.bucketCount));
	if (index < table.symbolOffset) return undefined;
	for (; index < elf.symbols.length; index++) {
		const entry = table.hashes + 4 * (index - table.symbolOffset);
		if (entry + 4 > table.end) return undefined;
		const chained = view.u32(entry);
		const symbol = elf.symbols[index];
		if ((chained | 1) >>> 0 === (hash | 1) >>> 0 && symbol !== undefined && matches(elf, symbol, { name, version })) {
			return symbol;
		}
		if ((chained & 1) === 1) return undefined;
	}
	return undefined;
};

/** Through DT_GNU_HASH when there is one, as glibc, else through DT_HASH. */
export const lookUp = (elf: ElfFile, name: string, version?: string): ElfSymbol | undefined =>
	elf.gnuHash === undefined ? lookUpBySysvHash(elf, name, version) : lookUpByGnuHash(elf, name, version);
