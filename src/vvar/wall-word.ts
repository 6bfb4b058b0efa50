/** The wall word of a page that others push to. */
import { NANOSECONDS_PER_SECOND } from "../units.ts";
import { PAGE, SLOT, WALL_NANOSECONDS_MASK, WALL_SECONDS_SHIFT } from "./layout.ts";

/** Its lower field: nanoseconds of an offset, or what says that it names a slot. */
export const lowField = (word: bigint): number => Number(word & BigInt(WALL_NANOSECONDS_MASK));

export const isSlotWord = (word: bigint): boolean => lowField(word) >= NANOSECONDS_PER_SECOND;

/** Of a word that names a slot. */
export const generationOf = (word: bigint): bigint => BigInt.asIntN(64, word) >> BigInt(WALL_SECONDS_SHIFT);

/** The low bit of a generation says which slot it is in. */
export const slotIndex = (generation: bigint): number => Number(generation & 1n);

/** Bytes from the start of the page. */
export const slotOffset = (generation: bigint): number => PAGE.slots + slotIndex(generation) * SLOT.size;

/**
 * One load, so that it is the word of one push. DataView's getBigUint64 is not: until V8 has compiled the code that calls it, it puts
 * a word together byte by byte (LoadDataView64 in v8/src/builtins/data-view.tq), and shows halves of two pushes.
 *
 * @param page 8-byte aligned where others push to it; a copy may lie anywhere
 */
export const loadWallWord = (page: Uint8Array): bigint => {
	const isAligned = (page.byteOffset + PAGE.wall) % BigUint64Array.BYTES_PER_ELEMENT === 0;
	const { buffer, byteOffset } = isAligned ? page : page.slice(0, PAGE.slots);
	return Atomics.load(new BigUint64Array(buffer, byteOffset + PAGE.wall, 1), 0);
};
