/** The words of either class as 64-bit numbers, and back: 4 bytes each in a 32-bit process, 8 in a 64-bit one. */
import type { WordSize } from "../bytes.ts";

/**
 * @param bytes at an address that is a multiple of 8 in their buffer; what is left of the last word does not count
 * @returns a view of the bytes where the words have 8
 */
export const wordsOf = (bytes: Uint8Array, wordSize: WordSize): BigUint64Array => {
	const count = Math.floor(bytes.length / wordSize);
	if (wordSize === 8) return new BigUint64Array(bytes.buffer, bytes.byteOffset, count);
	return BigUint64Array.from(new Uint32Array(bytes.buffer, bytes.byteOffset, count), BigInt);
};

/** @returns a view of the words where they have 8 bytes; otherwise the lower halves */
export const bytesOf = (words: BigUint64Array, wordSize: WordSize): Uint8Array => {
	if (wordSize === 8) return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
	return new Uint8Array(Uint32Array.from(words, (word) => Number(BigInt.asUintN(32, word))).buffer);
};
