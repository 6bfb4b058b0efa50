/**
 * The headers of DT_HASH (gABI chapter 5, "Hash Table") and DT_GNU_HASH. Both are arrays of u32 behind a few counts, except
 * for the Bloom filter, whose entries are words of the class.
 *
 *     DT_HASH      bucketCount chainCount | buckets | chains, one per symbol
 *     DT_GNU_HASH  bucketCount symbolOffset bloomCount bloomShift | bloom words | buckets | hashes, one per symbol
 *                  from symbolOffset on; bit 0 is not part of the hash but marks the last one of a bucket
 */
import type { AddressMap } from "./address-map.ts";
import { DT_GNU_HASH, DT_HASH } from "./constants.ts";
import { type DynamicEntry, dynamicValue } from "./dynamic.ts";
import { ElfError } from "./elf-error.ts";
import { type ElfView, firstRecords } from "./view.ts";

/** Offsets are in the file; every bucket and chain is in it. */
export interface SysvHashTable {
	readonly bucketCount: number;
	readonly chainCount: number;
	readonly buckets: number;
	readonly chains: number;
}

/** Offsets are in the file. The array of hashes has no count: it ends before `end`. */
export interface GnuHashTable {
	readonly bucketCount: number;
	/** Index of the first symbol that is in the table. */
	readonly symbolOffset: number;
	/** A power of two. */
	readonly bloomCount: number;
	readonly bloomShift: number;
	readonly bloom: number;
	readonly buckets: number;
	readonly hashes: number;
	readonly end: number;
}

export const readSysvHash = (
	view: ElfView,
	addresses: AddressMap,
	dynamic: readonly DynamicEntry[],
): SysvHashTable | undefined => {
	const address = dynamicValue(dynamic, DT_HASH);
	if (address === undefined) return undefined;
	const range = addresses.at(address, "DT_HASH");
	const bucketCount = view.u32(range.offset);
	const chainCount = view.u32(range.offset + 4);
	firstRecords(range, 2 + bucketCount + chainCount, 4, "DT_HASH");
	const buckets = range.offset + 8;
	return { bucketCount, chainCount, buckets, chains: buckets + 4 * bucketCount };
};

export const readGnuHash = (
	view: ElfView,
	addresses: AddressMap,
	dynamic: readonly DynamicEntry[],
): GnuHashTable | undefined => {
	const address = dynamicValue(dynamic, DT_GNU_HASH);
	if (address === undefined) return undefined;
	const range = addresses.at(address, "DT_GNU_HASH");
	const bucketCount = view.u32(range.offset);
	const symbolOffset = view.u32(range.offset + 4);
	const bloomCount = view.u32(range.offset + 8);
	if (bloomCount === 0 || (bloomCount & (bloomCount - 1)) !== 0) {
		throw new ElfError(range.offset + 8, `DT_GNU_HASH: ${bloomCount} Bloom filter words, expected a power of two`);
	}
	const bloom = range.offset + 16;
	const buckets = bloom + view.layout.wordSize * bloomCount;
	const hashes = firstRecords({ offset: buckets, end: range.end }, bucketCount, 4, "DT_GNU_HASH").end;
	const bloomShift = view.u32(range.offset + 12);
	return { bucketCount, symbolOffset, bloomCount, bloomShift, bloom, buckets, hashes, end: range.end };
};

/** One more than the index of the last symbol in the table; `symbolOffset` when it is empty. */
export const gnuSymbolCount = (view: ElfView, table: GnuHashTable): number => {
	let last = 0;
	for (let bucket = 0; bucket < table.bucketCount; bucket++) {
		last = Math.max(last, view.u32(table.buckets + 4 * bucket));
	}
	if (last === 0) return table.symbolOffset;
	if (last < table.symbolOffset) {
		throw new ElfError(
			table.buckets,
			`DT_GNU_HASH: a bucket with symbol ${last}, expected ${table.symbolOffset} or more`,
		);
	}
	// Symbols are in the order of their buckets, so the chain of the highest bucket is the end of the table.
	for (; ; last++) {
		const entry = table.hashes + 4 * (last - table.symbolOffset);
		if (entry + 4 > table.end) throw new ElfError(entry, "DT_GNU_HASH: a chain without an end inside its segment");
		if ((view.u32(entry) & 1) === 1) return last + 1;
	}
};
