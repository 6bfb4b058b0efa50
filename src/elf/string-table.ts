/**
 * Names of a string table.
 *
 * Offsets may point into the middle of strings, so a small hostile file can ask for many long names that overlap. Each
 * distinct name is decoded once, and all of them together may have at most `OVERLAP` times the size of the table.
 */
import { ElfError, hex } from "./elf-error.ts";
import type { ElfView, FileRange } from "./view.ts";

/** Linkers share the tails of names: real tables stay below 2. */
const OVERLAP = 8;
/** String.fromCharCode takes its characters as arguments, which live on the stack. */
const CHUNK = 4096;

export class StringTable {
	readonly #view: ElfView;
	readonly #range: FileRange;
	readonly #strings = new Map<number, string>();
	#left: number;

	constructor(view: ElfView, range: FileRange) {
		this.#view = view;
		this.#range = range;
		this.#left = OVERLAP * (range.end - range.offset);
	}

	/** The string at `index`, one character per byte. `what` names it in the error. */
	at(index: number, what: string): string {
		const known = this.#strings.get(index);
		if (known !== undefined) return known;
		const { offset, end } = this.#range;
		const start = offset + index;
		if (start >= end) {
			throw new ElfError(offset, `${what}: index ${hex(index)} in a string table of ${hex(end - offset)} bytes`);
		}
		const close = this.#view.bytes.indexOf(0, start);
		if (close < 0 || close >= end) {
			throw new ElfError(start, `${what}: no closing NUL before the end of the string table at ${hex(end)}`);
		}
		this.#left -= close - start + 1;
		if (this.#left < 0) {
			throw new ElfError(start, `${what}: names overlap and have more than ${OVERLAP} times the size of their table`);
		}
		const text = latin1(this.#view.bytes.subarray(start, close));
		this.#strings.set(index, text);
		return text;
	}
}

/** One character per byte. */
export const latin1 = (bytes: Uint8Array): string => {
	let text = "";
	for (let start = 0; start < bytes.length; start += CHUNK) {
		text += String.fromCharCode(...bytes.subarray(start, start + CHUNK));
	}
	return text;
};
