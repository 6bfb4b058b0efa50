/**
 * The kernel's own copy of an auxiliary vector, as /proc/PID/auxv shows it: pairs of words, of the class of the process.
 *
 * Nothing says which class that is. But the first entry of a 32-bit process has a type below 2^32 and a value that is not 0 (AT_SYSINFO,
 * or AT_HWCAP where there is no vDSO: create_elf_tables, fs/binfmt_elf.c, v6.18), and in a 64-bit one the upper half of the first type
 * is 0.
 */
import { ByteReader, type WordSize } from "../bytes.ts";
import { wordsOf } from "./words.ts";

const FIRST_VALUE_OF_32_BIT = 4;

export interface SavedAuxv {
	readonly wordSize: WordSize;
	/** The value of an entry. */
	readonly get: (type: bigint) => bigint | undefined;
}

/** Of a copy of the kernel's. */
export const wordSizeOf = (bytes: Uint8Array): WordSize =>
	bytes.length >= 2 * FIRST_VALUE_OF_32_BIT && new ByteReader(bytes).u32(FIRST_VALUE_OF_32_BIT) !== 0 ? 4 : 8;

/** @param bytes valid for as long as the result is used; undefined is returned for fewer than one entry */
export const readSavedAuxv = (bytes: Uint8Array): SavedAuxv | undefined => {
	if (bytes.length < 16) return undefined;
	const wordSize = wordSizeOf(bytes);
	const words = wordsOf(bytes, wordSize);
	return {
		wordSize,
		get: (type) => {
			for (let entry = 0; entry + 1 < words.length; entry += 2) if (words[entry] === type) return words[entry + 1];
			return undefined;
		},
	};
};
