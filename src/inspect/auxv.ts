/**
 * The auxiliary vector, both copies: the one in the kernel, which /proc/PID/auxv, gdb and core files show, and the one above the
 * environment on the stack, which the C library has read.
 *
 * Types: include/uapi/linux/auxvec.h and arch/x86/include/uapi/asm/auxvec.h, v6.18.
 */
import { wordSizeOf } from "../auxv/saved-auxv.ts";
import * as types from "../auxv/types.ts";
import { ByteReader } from "../bytes.ts";
import type { ElfClass } from "../elf/class-layout.ts";
import type { AddressSpace } from "./address-space.ts";

const AT_NULL = Number(types.AT_NULL);
export const AT_RANDOM: number = Number(types.AT_RANDOM);
export const AT_SYSINFO: number = Number(types.AT_SYSINFO);
export const AT_SYSINFO_EHDR: number = Number(types.AT_SYSINFO_EHDR);

const NAMES: ReadonlyMap<number, string> = new Map(
	Object.entries({
		AT_NULL,
		AT_IGNORE: 1,
		AT_EXECFD: 2,
		AT_PHDR: 3,
		AT_PHENT: 4,
		AT_PHNUM: 5,
		AT_PAGESZ: 6,
		AT_BASE: 7,
		AT_FLAGS: 8,
		AT_ENTRY: 9,
		AT_NOTELF: 10,
		AT_UID: 11,
		AT_EUID: 12,
		AT_GID: 13,
		AT_EGID: 14,
		AT_PLATFORM: 15,
		AT_HWCAP: 16,
		AT_CLKTCK: 17,
		AT_SECURE: 23,
		AT_BASE_PLATFORM: 24,
		AT_RANDOM,
		AT_HWCAP2: 26,
		AT_RSEQ_FEATURE_SIZE: 27,
		AT_RSEQ_ALIGN: 28,
		AT_HWCAP3: 29,
		AT_HWCAP4: 30,
		AT_EXECFN: 31,
		AT_SYSINFO,
		AT_SYSINFO_EHDR,
		AT_MINSIGSTKSZ: 51,
	}).map(([name, type]) => [type, name]),
);

/** Types whose values are numbers that people count with; all others are addresses or bits. */
const COUNTS: ReadonlySet<string> = new Set([
	"AT_PHENT",
	"AT_PHNUM",
	"AT_PAGESZ",
	"AT_UID",
	"AT_EUID",
	"AT_GID",
	"AT_EGID",
	"AT_CLKTCK",
	"AT_SECURE",
	"AT_RSEQ_FEATURE_SIZE",
	"AT_RSEQ_ALIGN",
	"AT_MINSIGSTKSZ",
]);

export interface AuxvEntry {
	readonly type: number;
	/** `AT_*`; the number of a type that this release does not know. */
	readonly name: string;
	readonly value: bigint;
}

export interface Auxv {
	/** Bits of a word. */
	readonly bits: ElfClass;
	/** Without the closing AT_NULL. */
	readonly entries: readonly AuxvEntry[];
}

/** One entry as people read it: counts in decimal. */
export const formatAuxvValue = ({ name, value }: AuxvEntry): string =>
	COUNTS.has(name) ? value.toString() : `0x${value.toString(16)}`;

/** The value of the first entry of a type; undefined where there is none. */
export const auxvValue = (auxv: Auxv | undefined, type: number): bigint | undefined =>
	auxv?.entries.find((entry) => entry.type === type)?.value;

const bitsOf = (bytes: Uint8Array): ElfClass => (wordSizeOf(bytes) === 8 ? 64 : 32);

/**
 * Up to AT_NULL, or to the end of the bytes.
 *
 * @param bits of a word. @default as the first entry looks
 */
export const parseAuxv = (bytes: Uint8Array, bits: ElfClass = bitsOf(bytes)): Auxv => {
	const reader = new ByteReader(bytes);
	const word = (offset: number): bigint => (bits === 64 ? reader.u64(offset) : BigInt(reader.u32(offset)));
	const size = bits / 8;
	const entries: AuxvEntry[] = [];
	for (let offset = 0; offset + 2 * size <= bytes.length; offset += 2 * size) {
		const type = Number(word(offset));
		if (type === AT_NULL) break;
		entries.push({ type, name: NAMES.get(type) ?? String(type), value: word(offset + size) });
	}
	return { bits, entries };
};

/** The copy on the stack lies this close below the 16 random bytes to which AT_RANDOM points (create_elf_tables, v6.18). */
const SEARCHED = [4096, 2048, 1024, 512] as const;

export interface StackAuxv extends Auxv {
	/** Of its first entry. */
	readonly address: bigint;
}

/** The copy on the stack: the words below AT_RANDOM's whose types are those of the kernel's copy; undefined when there are none. */
export const findStackAuxv = (saved: Auxv, memory: AddressSpace): StackAuxv | undefined => {
	const random = auxvValue(saved, AT_RANDOM);
	if (random === undefined) return undefined;
	const size = saved.bits / 8;
	const end = random - (random % BigInt(size));
	for (const length of SEARCHED) {
		const bytes = end < BigInt(length) ? undefined : memory.read(end - BigInt(length), length);
		if (bytes === undefined) continue;
		for (let offset = bytes.length - 2 * size * (saved.entries.length + 1); offset >= 0; offset -= size) {
			const { entries } = parseAuxv(bytes.subarray(offset), saved.bits);
			const isSame =
				entries.length === saved.entries.length &&
				entries.every(({ type }, index) => type === saved.entries[index]?.type);
			if (isSame) return { bits: saved.bits, entries, address: end - BigInt(length - offset) };
		}
	}
	return undefined;
};
