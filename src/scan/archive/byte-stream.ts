/** Bytes that come one after the other: a file, a part of one, or what comes out of a decompressor. */
import type { ByteSource } from "../source.ts";

export interface ByteStream {
	/** The next `length` bytes; fewer only at the end. Valid until the next call. */
	read(length: number): Promise<Uint8Array>;
	/** @returns the bytes passed over: fewer only at the end */
	skip(length: number): Promise<number>;
	/** The next `length` bytes for access at will, without moving on; undefined where they have to be read in order. */
	ahead(length: number): ByteSource | undefined;
}

/** A source from its first byte on. */
export const streamOf = (source: ByteSource): ByteStream => {
	let position = 0;
	return {
		async read(length) {
			const bytes = new Uint8Array(Math.max(0, Math.min(length, source.length - position)));
			const count = bytes.length === 0 ? 0 : source.read(bytes, position);
			position += count;
			return bytes.subarray(0, count);
		},
		async skip(length) {
			const count = Math.max(0, Math.min(length, source.length - position));
			position += count;
			return count;
		},
		ahead(length) {
			const start = position;
			const available = Math.max(0, Math.min(length, source.length - start));
			return {
				length: available,
				read: (into, offset) =>
					source.read(into.subarray(0, Math.max(0, Math.min(into.length, available - offset))), start + offset),
			};
		},
	};
};

const SKIPPED_AT_ONCE = 1 << 20;

/** What an iterable gives, in chunks of its own sizes. */
export const streamOfChunks = (chunks: AsyncIterator<Uint8Array>): ByteStream => {
	let rest: Uint8Array = new Uint8Array(0);
	/** Up to `length` bytes of one chunk. */
	const some = async (length: number): Promise<Uint8Array | undefined> => {
		while (rest.length === 0) {
			const next = await chunks.next();
			if (next.done === true) return undefined;
			rest = next.value;
		}
		const part = rest.subarray(0, length);
		rest = rest.subarray(part.length);
		return part;
	};
	const read = async (length: number): Promise<Uint8Array> => {
		const first = await some(length);
		if (first === undefined || first.length === length) return first ?? new Uint8Array(0);
		const bytes = new Uint8Array(length);
		bytes.set(first);
		let filled = first.length;
		while (filled < length) {
			const part = await some(length - filled);
			if (part === undefined) break;
			bytes.set(part, filled);
			filled += part.length;
		}
		return bytes.subarray(0, filled);
	};
	return {
		read,
		async skip(length) {
			let left = length;
			while (left > 0) {
				const part = await some(Math.min(left, SKIPPED_AT_ONCE));
				if (part === undefined) break;
				left -= part.length;
			}
			return length - left;
		},
		ahead: () => undefined,
	};
};

/** What was read of a stream, and the rest of it, as one. */
const rejoined = (start: Uint8Array, rest: ByteStream): ByteStream => {
	let left = start;
	const take = (length: number): Uint8Array => {
		const part = left.subarray(0, length);
		left = left.subarray(part.length);
		return part;
	};
	return {
		async read(length) {
			if (left.length === 0) return rest.read(length);
			const part = take(length);
			if (part.length === length) return part;
			const further = await rest.read(length - part.length);
			const bytes = new Uint8Array(part.length + further.length);
			bytes.set(part);
			bytes.set(further, part.length);
			return bytes;
		},
		async skip(length) {
			const count = take(length).length;
			return count + (await rest.skip(length - count));
		},
		ahead: (length) => (left.length === 0 ? rest.ahead(length) : undefined),
	};
};

/** The first bytes of a stream, and the stream with them still in front. */
export const peek = async (stream: ByteStream, length: number): Promise<{ start: Uint8Array; whole: ByteStream }> => {
	const source = stream.ahead(length);
	if (source === undefined) {
		const start = (await stream.read(length)).slice();
		return { start, whole: rejoined(start, stream) };
	}
	const start = new Uint8Array(source.length);
	return { start: start.subarray(0, source.read(start, 0)), whole: stream };
};

/** The next bytes of a stream as one of their own. Whoever made it goes on behind them, however much was read. */
export class Section implements ByteStream {
	readonly #whole: ByteStream;
	#left: number;

	constructor(whole: ByteStream, length: number) {
		this.#whole = whole;
		this.#left = length;
	}

	async read(length: number): Promise<Uint8Array> {
		const bytes = await this.#whole.read(Math.min(length, this.#left));
		this.#left -= bytes.length;
		return bytes;
	}

	async skip(length: number): Promise<number> {
		const count = await this.#whole.skip(Math.min(length, this.#left));
		this.#left -= count;
		return count;
	}

	ahead(length: number): ByteSource | undefined {
		return this.#whole.ahead(Math.min(length, this.#left));
	}

	/** Passes over what was not read. @returns whether it was all there */
	async end(): Promise<boolean> {
		await this.skip(this.#left);
		return this.#left === 0;
	}
}
