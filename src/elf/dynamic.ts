/** The entries of PT_DYNAMIC, and the string table that they name. */
import type { AddressMap } from "./address-map.ts";
import { DT_NULL, DT_STRSZ, DT_STRTAB, PT_DYNAMIC } from "./constants.ts";
import { ElfError, hex } from "./elf-error.ts";
import type { ProgramHeader } from "./headers.ts";
import { StringTable } from "./string-table.ts";
import type { ElfView } from "./view.ts";

export interface DynamicEntry {
	/** DT_*. Above 2^53, where no tag is defined, only nearly right. */
	readonly tag: number;
	readonly value: bigint;
}

/**
 * Up to DT_NULL, which is not part of the result, or to the end of the segment.
 *
 * @throws {ElfError} when the segment is not wholly in the file.
 */
export const readDynamic = (view: ElfView, programHeaders: readonly ProgramHeader[]): readonly DynamicEntry[] => {
	const segment = programHeaders.find(({ type }) => type === PT_DYNAMIC);
	if (segment === undefined) return [];
	const { offset, end } = view.range(segment.offset, segment.fileSize, "PT_DYNAMIC");
	const { dynamicSize, wordSize } = view.layout;
	const entries: DynamicEntry[] = [];
	for (let record = offset; record + dynamicSize <= end; record += dynamicSize) {
		const tag = Number(view.word(record));
		if (tag === DT_NULL) break;
		entries.push({ tag, value: view.word(record + wordSize) });
	}
	return entries;
};

/** The value of the last entry with this tag: what a loader keeps when there are several. */
export const dynamicValue = (entries: readonly DynamicEntry[], tag: number): bigint | undefined =>
	entries.findLast((entry) => entry.tag === tag)?.value;

/** The strings of DT_STRTAB; to the end of its segment when there is no DT_STRSZ. */
export const dynamicStrings = (
	view: ElfView,
	addresses: AddressMap,
	entries: readonly DynamicEntry[],
): StringTable | undefined => {
	const address = dynamicValue(entries, DT_STRTAB);
	if (address === undefined) return undefined;
	const { offset, end } = addresses.at(address, "DT_STRTAB");
	const size = dynamicValue(entries, DT_STRSZ) ?? BigInt(end - offset);
	if (size > BigInt(end - offset)) {
		throw new ElfError(offset, `DT_STRSZ: ${hex(size)}, expected at most ${hex(end - offset)} bytes of its segment`);
	}
	return new StringTable(view, { offset, end: offset + Number(size) });
};
