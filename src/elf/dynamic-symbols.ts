/**
 * What a loader finds symbols by: .dynsym in the order that DT_GNU_HASH needs, both hash tables, and the versions.
 */
import { ByteWriter } from "../bytes.ts";
import * as elf from "./constants.ts";
import { gnuHash, sysvHash } from "./hash.ts";
import type { ElfClass } from "./class-layout.ts";
import type { StringTableWriter } from "./string-table-writer.ts";

export interface ExportedFunction {
	readonly name: string;
	readonly binding: "global" | "weak";
	readonly version: string;
	/** Offset and size in .text, in bytes. */
	readonly start: number;
	readonly size: number;
}

/** What is exported: under which soname, in which versions, as which functions. */
export interface Exports {
	readonly soname: string;
	/** Version definitions in the order of their indices, from 2 on. */
	readonly versions: readonly string[];
	readonly functions: readonly ExportedFunction[];
}

/** A symbol as .dynsym and .gnu.version have it. */
export interface DynamicSymbol {
	readonly name: string;
	readonly info: number;
	readonly sectionIndex: number;
	readonly value: number;
	readonly size: number;
	readonly versionIndex: number;
}

/** DT_HASH: nbucket, nchain, buckets, chains (gABI chapter 5). */
export const writeSysvHash = (symbols: readonly DynamicSymbol[]): Uint8Array => {
	const bucketCount = bucketCountOf(symbols.length);
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

/** Buckets of both tables: two symbols in each on average. */
const bucketCountOf = (hashedCount: number): number => Math.max(1, hashedCount >> 1);

/** DT_GNU_HASH with one bloom word; `symbols[0]` is the null symbol and the rest is sorted by bucket. */
export const writeGnuHash = (bits: ElfClass, symbols: readonly DynamicSymbol[]): Uint8Array => {
	const bloomShift = 6;
	const hashes = symbols.slice(1).map((symbol) => gnuHash(symbol.name));
	const bucketCount = bucketCountOf(hashes.length);
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

export const writeVersionDefinitions = (object: Exports, strings: StringTableWriter): Uint8Array => {
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

export const sortedSymbols = (object: Exports, textIndex: number, textOffset: number): readonly DynamicSymbol[] => {
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
	const bucketCount = bucketCountOf(functions.length + versions.length);
	const bucketOf = (symbol: DynamicSymbol): number => gnuHash(symbol.name) % bucketCount;
	const none = { name: "", info: 0, sectionIndex: elf.SHN_UNDEF, value: 0, size: 0, versionIndex: elf.VER_NDX_LOCAL };
	return [none, ...[...functions, ...versions].toSorted((a, b) => bucketOf(a) - bucketOf(b))];
};

/** Bytes of the tables above. */
export const tableSizes = (
	bits: ElfClass,
	object: Exports,
): { symbols: number; hash: number; gnuHash: number; versions: number } => {
	const symbols = 1 + object.functions.length + object.versions.length;
	return {
		symbols,
		hash: 4 * (2 + bucketCountOf(symbols) + symbols),
		gnuHash: 16 + bits / 8 + 4 * bucketCountOf(symbols - 1) + 4 * (symbols - 1),
		versions: (elf.VERDEF_SIZE + elf.VERDAUX_SIZE) * (object.versions.length + 1),
	};
};
