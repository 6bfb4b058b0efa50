/** What there is to say of a vDSO image: its headers, notes, versions and symbols, where each function goes, and the verdict. */
import { ByteReader } from "../bytes.ts";
import type { ElfClass } from "../elf/class-layout.ts";
import * as elf from "../elf/constants.ts";
import type { ElfNote } from "../elf/notes.ts";
import { type ElfFile, readElf } from "../elf/reader.ts";
import { latin1 } from "../elf/string-table.ts";
import type { ElfSymbol } from "../elf/symbols.ts";
import { type Profile, RULES, type Violation, verifyImage } from "../elf/verify.ts";
import type { AddressSpace } from "./address-space.ts";
import { followJumps } from "./destination.ts";

export interface SymbolReport extends ElfSymbol {
	/** Where its code is, when its first instruction leads elsewhere. */
	readonly leadsTo: bigint | undefined;
}

export interface NoteReport extends ElfNote {
	readonly meaning: string;
}

export interface Verdict {
	readonly profile: Profile;
	/** Rules that were checked. */
	readonly rules: number;
	readonly violations: readonly Violation[];
}

export interface ImageReport {
	/** Where it is mapped; 0 for one that is not. */
	readonly address: bigint;
	/** As they are mapped, or stand in the file. */
	readonly bytes: Uint8Array;
	readonly elf: ElfFile;
	/** The kind of machine code, by the machine and the class. */
	readonly abi: Abi;
	/** Of its instructions; undefined for code that is not decoded. */
	readonly codeBits: ElfClass | undefined;
	readonly buildId: string | undefined;
	readonly notes: readonly NoteReport[];
	/** But the null symbol. */
	readonly symbols: readonly SymbolReport[];
	/** undefined for images to which the rules do not apply: those of other machines. */
	readonly verdict: Verdict | undefined;
}

export type Abi = "x86-64" | "x32" | "i386" | "aarch64" | `machine ${number}`;

const abiOf = ({ bits, header: { machine } }: ElfFile): Abi => {
	if (machine === elf.EM_X86_64) return bits === 64 ? "x86-64" : "x32";
	if (machine === elf.EM_386) return "i386";
	return machine === elf.EM_AARCH64 ? "aarch64" : `machine ${machine}`;
};

const CODE_BITS: Readonly<Partial<Record<Abi, ElfClass>>> = { "x86-64": 64, x32: 64, i386: 32 };

const toHex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** As text, when it is some. */
const printable = (bytes: Uint8Array): string | undefined => /^([\x20-\x7e]+)\0*$/.exec(latin1(bytes))?.[1];

const isBuildId = ({ name, type }: ElfNote): boolean => name === "GNU" && type === elf.NT_GNU_BUILD_ID;

/** LINUX_VERSION_CODE: 8 bits for the last number, 8 for the middle one, the rest for the first. */
const linuxVersion = (code: number): string => `${code >>> 16}.${(code >>> 8) & 0xff}.${code & 0xff}`;

const meaningOf = (note: ElfNote): string => {
	const { name, type, description } = note;
	if (isBuildId(note)) return `build id ${toHex(description)}`;
	if (name === "Linux" && type === elf.NT_LINUX_VERSION && description.length === 4) {
		return `Linux ${linuxVersion(new ByteReader(description).u32(0))}`;
	}
	if (name === "Linux" && type === elf.NT_LINUX_BUILD_SALT)
		return `build salt ${printable(description) ?? toHex(description)}`;
	if (name === "GNU" && type === elf.NT_GNU_PROPERTY_TYPE_0) return `properties ${toHex(description)}`;
	return toHex(description);
};

/** @param profile whose image it is said to be. @default the stricter one, when it keeps its rules */
export const verdictOf = (image: Pick<ImageReport, "bytes" | "abi">, profile?: Profile): Verdict | undefined => {
	if (image.abi !== "x86-64" && image.abi !== "i386") return undefined;
	const verdict = (of: Profile): Verdict => ({
		profile: of,
		rules: RULES[of].length,
		violations: verifyImage(image.bytes, of),
	});
	if (profile !== undefined) return verdict(profile);
	const own = verdict("own");
	return own.violations.length === 0 ? own : verdict("host");
};

export interface ImageSource {
	readonly address: bigint;
	readonly bytes: Uint8Array;
	/** The memory around it, to which its jumps lead. */
	readonly memory: AddressSpace;
}

/** @throws {ElfError} when the bytes are not a readable ELF file. */
export const describeImage = ({ address, bytes, memory }: ImageSource): ImageReport => {
	const file = readElf(bytes);
	const abi = abiOf(file);
	const codeBits = CODE_BITS[abi];
	const leadsTo = ({ type, sectionIndex, value }: ElfSymbol): bigint | undefined => {
		if (codeBits === undefined || type !== elf.STT_FUNC || sectionIndex === elf.SHN_UNDEF) return undefined;
		const code = followJumps(memory, address + value, codeBits);
		return code === address + value ? undefined : code;
	};
	const buildId = file.notes.find(isBuildId);
	return {
		address,
		bytes,
		elf: file,
		abi,
		codeBits,
		buildId: buildId === undefined ? undefined : toHex(buildId.description),
		notes: file.notes.map((note) => ({ ...note, meaning: meaningOf(note) })),
		symbols: file.symbols.slice(1).map((symbol) => ({ ...symbol, leadsTo: leadsTo(symbol) })),
		verdict: verdictOf({ bytes, abi }),
	};
};
