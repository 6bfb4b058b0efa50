import { ByteWriter } from "../bytes.ts";

/** Strings of a string table, each once, with their offsets. */
export class StringTableWriter {
	readonly #writer = new ByteWriter();
	readonly #offsets = new Map<string, number>();

	constructor(texts: readonly string[]) {
		for (const text of ["", ...texts]) this.offsetOf(text);
	}

	offsetOf(text: string): number {
		const known = this.#offsets.get(text);
		if (known !== undefined) return known;
		const offset = this.#writer.cString(text);
		this.#offsets.set(text, offset);
		return offset;
	}

	get size(): number {
		return this.#writer.length;
	}

	toBytes(): Uint8Array {
		return this.#writer.toBytes();
	}
}
