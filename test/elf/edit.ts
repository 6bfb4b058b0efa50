/** Edits good ELF64 images into bad ones: places of records, found with the reader. */
import { setU32, setU64 } from "../../src/bytes.ts";
import * as constants from "../../src/elf/constants.ts";
import { type ElfFile, readElf } from "../../src/elf/reader.ts";

/** A copy of an image, with the places of its records as offsets in the file. */
export class EditedImage {
	bytes: Uint8Array;
	readonly elf: ElfFile;

	constructor(bytes: Uint8Array) {
		this.bytes = bytes.slice();
		this.elf = readElf(bytes);
	}

	u8(offset: number, value: number): void {
		this.bytes[offset] = value;
	}

	u16(offset: number, value: number): void {
		this.bytes.set([value & 0xff, value >> 8], offset);
	}

	u32(offset: number, value: number): void {
		setU32(this.bytes, offset, value);
	}

	u64(offset: number, value: number | bigint): void {
		setU64(this.bytes, offset, BigInt(value));
	}

	/** A program header: type +0, flags +4, offset +8, vaddr +16, filesz +32, memsz +40, align +48. */
	segment(type: number): number {
		return constants.ELF64_EHDR_SIZE + this.#indexOf(this.elf.programHeaders, type) * constants.ELF64_PHDR_SIZE;
	}

	/** A section header: type +4, flags +8, offset +24, size +32. */
	section(name: string): number {
		const index = this.elf.sections.findIndex((section) => section.name === name);
		if (index < 0) throw new Error(`No section ${name}`);
		return Number(this.elf.view.u64(40)) + index * constants.ELF64_SHDR_SIZE;
	}

	sectionOffset(name: string): number {
		return Number(this.elf.view.u64(this.section(name) + 24));
	}

	/** An entry of PT_DYNAMIC: tag +0, value +8. */
	dynamic(tag: number): number {
		const index = this.elf.dynamic.findIndex((entry) => entry.tag === tag);
		if (index < 0) throw new Error(`No dynamic entry ${tag}`);
		return Number(this.elf.view.u64(this.segment(constants.PT_DYNAMIC) + 8)) + index * constants.ELF64_DYN_SIZE;
	}

	symbolIndex(name: string): number {
		const index = this.elf.symbols.findIndex((symbol) => symbol.name === name);
		if (index < 0) throw new Error(`No symbol ${name}`);
		return index;
	}

	/** A symbol: name +0, info +4, shndx +6, value +8, size +16. */
	symbol(name: string): number {
		return this.#at(constants.DT_SYMTAB) + this.symbolIndex(name) * constants.ELF64_SYM_SIZE;
	}

	versym(name: string): number {
		return this.#at(constants.DT_VERSYM) + this.symbolIndex(name) * constants.VERSYM_SIZE;
	}

	/** A version definition: flags +2, index +4, hash +8. `place` counts from 0, the base version. */
	verdef(place: number): number {
		return this.#at(constants.DT_VERDEF) + place * (constants.VERDEF_SIZE + constants.VERDAUX_SIZE);
	}

	/** The bytes of a table that PT_DYNAMIC names: addresses are offsets in these images. */
	table(tag: number): number {
		return this.#at(tag);
	}

	/** A string of .dynstr. */
	string(text: string): number {
		const start = this.#at(constants.DT_STRTAB);
		const offset = Buffer.from(this.bytes).indexOf(`\0${text}\0`, start, "latin1");
		if (offset < 0) throw new Error(`No string ${text}`);
		return offset + 1;
	}

	/** The first byte of a note's name. */
	noteName(name: string): number {
		const start = Number(this.elf.view.u64(this.segment(constants.PT_NOTE) + 8));
		return Buffer.from(this.bytes).indexOf(`${name}\0`, start, "latin1");
	}

	/** Adds a segment like the first PT_LOAD but for its type: the table moves to the end of the file. */
	addSegment(type: number): void {
		const load = this.segment(constants.PT_LOAD);
		const count = this.elf.programHeaders.length;
		const size = constants.ELF64_PHDR_SIZE;
		const table = this.bytes.slice(constants.ELF64_EHDR_SIZE, constants.ELF64_EHDR_SIZE + count * size);
		const added = this.bytes.slice(load, load + size);
		setU32(added, 0, type);
		const place = Math.ceil(this.bytes.length / 8) * 8;
		const grown = new Uint8Array(place + table.length + size);
		grown.set(this.bytes);
		grown.set(table, place);
		grown.set(added, place + table.length);
		this.bytes = grown;
		this.u64(32, place);
		this.u16(56, count + 1);
	}

	#at(tag: number): number {
		return Number(this.elf.view.u64(this.dynamic(tag) + 8));
	}

	#indexOf(records: readonly { readonly type: number }[], type: number): number {
		const index = records.findIndex((record) => record.type === type);
		if (index < 0) throw new Error(`No segment of type ${type}`);
		return index;
	}
}

/** [what is wrong, the rule that says so, the edit, other rules that cannot but be broken with it]. */
export type Damage = readonly [string, string, (image: EditedImage) => void, (readonly string[])?];

/** .eh_frame_hdr of every known linker: version, three encodings, address, count, then pairs of start and FDE. */
export const FRAME_TABLE = 12;

/** An unused tag: what an entry becomes that is to be missing. */
export const UNKNOWN_TAG = 0x6fff_f000;
