/** Reads DWARF's variable-length numbers and the encoded pointers of .eh_frame, in order, up to an end. */
import * as constants from "./constants.ts";
import { ElfError, hex } from "./elf-error.ts";
import type { ElfView, FileRange } from "./view.ts";

/** 7 bits each: 49 bits, exact in a double. Nothing in call frames is larger. */
const LEB128_MAX_BYTES = 7;

export class DwarfCursor {
	readonly view: ElfView;
	readonly end: number;
	readonly #what: string;
	#offset: number;

	/** `what` names the part in errors. */
	constructor(view: ElfView, range: FileRange, what: string) {
		this.view = view;
		this.end = range.end;
		this.#offset = range.offset;
		this.#what = what;
	}

	/** Of the next byte, in the file. */
	get offset(): number {
		return this.#offset;
	}

	get isAtEnd(): boolean {
		return this.#offset >= this.end;
	}

	/** @returns the offset of what is skipped. */
	skip(size: number): number {
		const start = this.#offset;
		if (start + size > this.end) {
			throw new ElfError(start, `${this.#what}: ends at ${hex(this.end)}, expected ${size} more bytes`);
		}
		this.#offset = start + size;
		return start;
	}

	u8(): number {
		if (this.#offset >= this.end) this.skip(1);
		return this.view.u8(this.#offset++);
	}

	u16(): number {
		return this.view.u16(this.skip(2));
	}

	u32(): number {
		return this.view.u32(this.skip(4));
	}

	u64(): bigint {
		return this.view.u64(this.skip(8));
	}

	uleb128(): number {
		const first = this.u8();
		// Nearly all are one byte.
		if (first < 0x80) return first;
		this.#offset--;
		return this.#leb128().value;
	}

	sleb128(): number {
		const { value, limit } = this.#leb128();
		return value * 2 >= limit ? value - limit : value;
	}

	/** `limit` is 2 to the power of the number of bits that were read. */
	#leb128(): { readonly value: number; readonly limit: number } {
		const start = this.#offset;
		let value = 0;
		let limit = 1;
		for (let count = 0; count < LEB128_MAX_BYTES; count++) {
			const byte = this.u8();
			value += (byte & 0x7f) * limit;
			limit *= 0x80;
			if (byte < 0x80) return { value, limit };
		}
		throw new ElfError(start, `${this.#what}: a LEB128 number of more than ${LEB128_MAX_BYTES} bytes`);
	}

	/** NUL-terminated ASCII of at most `longest` characters. */
	cString(longest: number): string {
		const start = this.#offset;
		let text = "";
		while (text.length <= longest) {
			const byte = this.u8();
			if (byte === 0) return text;
			text += String.fromCharCode(byte);
		}
		throw new ElfError(start, `${this.#what}: a string of more than ${longest} characters`);
	}

	/** A value in the format of the low 4 bits of a DW_EH_PE_* encoding, sign-extended where the format says so. */
	encodedValue(encoding: number): bigint {
		switch (encoding & 0x0f) {
			case constants.DW_EH_PE_absptr:
				return this.view.word(this.skip(this.view.layout.wordSize));
			case constants.DW_EH_PE_uleb128:
				return BigInt(this.uleb128());
			case constants.DW_EH_PE_udata2:
				return BigInt(this.u16());
			case constants.DW_EH_PE_udata4:
				return BigInt(this.u32());
			case constants.DW_EH_PE_udata8:
				return this.u64();
			case constants.DW_EH_PE_sleb128:
				return BigInt(this.sleb128());
			case constants.DW_EH_PE_sdata2:
				return BigInt.asIntN(16, BigInt(this.u16()));
			case constants.DW_EH_PE_sdata4:
				return BigInt(this.u32() | 0);
			case constants.DW_EH_PE_sdata8:
				return BigInt.asIntN(64, this.u64());
			default:
				throw new ElfError(
					this.#offset,
					`${this.#what}: pointer encoding ${hex(encoding)}, expected a DW_EH_PE_* format`,
				);
		}
	}

	/**
	 * An address. `bias` is what an offset in the file must be added to become an address; `data` is the address that
	 * DW_EH_PE_datarel counts from.
	 */
	encodedAddress(encoding: number, bias: bigint, data: bigint): bigint {
		const base = this.#base(encoding, bias + BigInt(this.#offset), data);
		return this.view.wrap(base + this.encodedValue(encoding));
	}

	#base(encoding: number, here: bigint, data: bigint): bigint {
		switch (encoding & 0xf0) {
			case 0:
				return 0n;
			case constants.DW_EH_PE_pcrel:
				return here;
			case constants.DW_EH_PE_datarel:
				return data;
			default:
				throw new ElfError(
					this.#offset,
					`${this.#what}: pointer encoding ${hex(encoding)}, expected absolute, pcrel or datarel`,
				);
		}
	}
}
