/** Words of an ELF file of one class. A read that does not fit the file throws ElfError; nothing here allocates. */
import { ByteReader } from "../bytes.ts";
import type { ClassLayout } from "./class-layout.ts";
import { ElfError, hex } from "./elf-error.ts";

/** A part of the file that is known to be there. */
export interface FileRange {
	readonly offset: number;
	readonly end: number;
}

export class ElfView {
	readonly #reader: ByteReader;
	readonly bytes: Uint8Array;
	readonly length: number;
	readonly layout: ClassLayout;

	constructor(bytes: Uint8Array, layout: ClassLayout) {
		this.#reader = new ByteReader(bytes);
		this.bytes = bytes;
		this.length = bytes.length;
		this.layout = layout;
	}

	#outside(offset: number, size: number): ElfError {
		const end = hex(offset + size);
		return new ElfError(
			offset,
			`A ${size}-byte word ends at ${end}, expected inside the file of ${hex(this.length)} bytes`,
		);
	}

	u8(offset: number): number {
		if (offset + 1 > this.length) throw this.#outside(offset, 1);
		return this.#reader.u8(offset);
	}

	u16(offset: number): number {
		if (offset + 2 > this.length) throw this.#outside(offset, 2);
		return this.#reader.u16(offset);
	}

	u32(offset: number): number {
		if (offset + 4 > this.length) throw this.#outside(offset, 4);
		return this.#reader.u32(offset);
	}

	u64(offset: number): bigint {
		if (offset + 8 > this.length) throw this.#outside(offset, 8);
		return this.#reader.u64(offset);
	}

	/** A word of the class: 4 or 8 bytes, unsigned. */
	word(offset: number): bigint {
		return this.layout.wordSize === 8 ? this.u64(offset) : BigInt(this.u32(offset));
	}

	/** `value` modulo the size of an address of the class. */
	wrap(value: bigint): bigint {
		return BigInt.asUintN(this.layout.bits, value);
	}

	/** A part that is wholly in the file. `what` names it in the error. */
	range(offset: bigint, size: bigint, what: string): FileRange {
		const end = offset + size;
		if (end > BigInt(this.length)) {
			throw new ElfError(
				Number(offset),
				`${what}: ends at ${hex(end)}, expected inside the file of ${hex(this.length)} bytes`,
			);
		}
		return { offset: Number(offset), end: Number(end) };
	}
}

/** The first `count` records of `recordSize` bytes of a range. */
export const firstRecords = (range: FileRange, count: number, recordSize: number, what: string): FileRange => {
	const end = range.offset + count * recordSize;
	if (end > range.end) {
		throw new ElfError(
			range.offset,
			`${what}: ${count} entries of ${recordSize} bytes, expected at most ${range.end - range.offset} bytes`,
		);
	}
	return { offset: range.offset, end };
};
