/**
 * Little-endian words in bytes; the only place that uses DataView.
 *
 * Offsets are in bytes from the start of the array. A read or write that does not fit throws RangeError.
 */
const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Bytes of an address in processes of either class. */
export type WordSize = 4 | 8;

/** Reads words of one byte array. */
export class ByteReader {
	readonly #view: DataView;
	readonly bytes: Uint8Array;

	constructor(bytes: Uint8Array) {
		this.bytes = bytes;
		this.#view = viewOf(bytes);
	}

	get length(): number {
		return this.bytes.length;
	}

	u8(offset: number): number {
		return this.#view.getUint8(offset);
	}

	u16(offset: number): number {
		return this.#view.getUint16(offset, true);
	}

	u32(offset: number): number {
		return this.#view.getUint32(offset, true);
	}

	i32(offset: number): number {
		return this.#view.getInt32(offset, true);
	}

	u64(offset: number): bigint {
		return this.#view.getBigUint64(offset, true);
	}

	i64(offset: number): bigint {
		return this.#view.getBigInt64(offset, true);
	}

	/** An address, or what is as wide. */
	word(offset: number, size: WordSize): bigint {
		return size === 8 ? this.u64(offset) : BigInt(this.u32(offset));
	}

	/** The NUL-terminated bytes at `offset` as Latin-1; ends at the end of the array when there is no NUL. */
	cString(offset: number): string {
		const end = this.bytes.indexOf(0, offset);
		return String.fromCharCode(...this.bytes.subarray(offset, end < 0 ? this.bytes.length : end));
	}
}

/** Grows as it is written; each method appends and returns the offset of what it wrote. */
export class ByteWriter {
	#bytes = new Uint8Array(1024);
	#view = viewOf(this.#bytes);
	#length = 0;

	get length(): number {
		return this.#length;
	}

	#reserve(count: number): number {
		const offset = this.#length;
		this.#length += count;
		if (this.#length > this.#bytes.length) {
			const grown = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
			grown.set(this.#bytes);
			this.#bytes = grown;
			this.#view = viewOf(grown);
		}
		return offset;
	}

	u8(value: number): number {
		const offset = this.#reserve(1);
		this.#view.setUint8(offset, value);
		return offset;
	}

	u16(value: number): number {
		const offset = this.#reserve(2);
		this.#view.setUint16(offset, value, true);
		return offset;
	}

	u32(value: number): number {
		const offset = this.#reserve(4);
		this.#view.setUint32(offset, value, true);
		return offset;
	}

	i32(value: number): number {
		const offset = this.#reserve(4);
		this.#view.setInt32(offset, value, true);
		return offset;
	}

	u64(value: bigint): number {
		const offset = this.#reserve(8);
		this.#view.setBigUint64(offset, BigInt.asUintN(64, value), true);
		return offset;
	}

	append(bytes: Uint8Array | readonly number[]): number {
		const offset = this.#reserve(bytes.length);
		this.#bytes.set(bytes, offset);
		return offset;
	}

	/** ASCII with a closing NUL. */
	cString(text: string): number {
		const offset = this.#reserve(text.length + 1);
		for (let index = 0; index < text.length; index++) this.#bytes[offset + index] = text.charCodeAt(index);
		return offset;
	}

	/** Zeros up to the next multiple of `alignment`, which is a power of two. */
	align(alignment: number, fill = 0): number {
		const start = this.#length;
		const padded = (start + alignment - 1) & ~(alignment - 1);
		this.#reserve(padded - start);
		this.#bytes.fill(fill, start, padded);
		return padded;
	}

	patchU8(offset: number, value: number): void {
		this.#view.setUint8(offset, value);
	}

	patchI32(offset: number, value: number): void {
		this.#view.setInt32(offset, value, true);
	}

	patchU32(offset: number, value: number): void {
		this.#view.setUint32(offset, value, true);
	}

	/** A copy of what was written. */
	toBytes(): Uint8Array {
		return this.#bytes.slice(0, this.#length);
	}
}

/** Writes one word in place. */
export const setU64 = (bytes: Uint8Array, offset: number, value: bigint): void =>
	viewOf(bytes).setBigUint64(offset, BigInt.asUintN(64, value), true);

export const setU32 = (bytes: Uint8Array, offset: number, value: number): void =>
	viewOf(bytes).setUint32(offset, value >>> 0, true);

export const setU16 = (bytes: Uint8Array, offset: number, value: number): void =>
	viewOf(bytes).setUint16(offset, value, true);

/** @param value of which the lower `size` bytes count */
export const setWord = (bytes: Uint8Array, offset: number, value: bigint, size: WordSize): void =>
	size === 8 ? setU64(bytes, offset, value) : setU32(bytes, offset, Number(BigInt.asUintN(32, value)));
