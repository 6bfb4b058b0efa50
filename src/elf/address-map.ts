/** From addresses to places in the file, by PT_LOAD, as a loader would map it (gABI chapter 5, "Base Address"). */
import { PT_LOAD } from "./constants.ts";
import { ElfError, hex } from "./elf-error.ts";
import type { ProgramHeader } from "./headers.ts";
import type { ElfView, FileRange } from "./view.ts";

export class AddressMap {
	readonly #loads: readonly ProgramHeader[];
	readonly #view: ElfView;

	constructor(view: ElfView, programHeaders: readonly ProgramHeader[]) {
		this.#view = view;
		this.#loads = programHeaders.filter(({ type }) => type === PT_LOAD);
	}

	/**
	 * The bytes from `address` to the end of its segment, as far as they are in the file. Takes time in the number of
	 * segments: not for loops over what a file claims.
	 *
	 * @throws {ElfError} when no segment has a byte of the file there.
	 */
	at(address: bigint, what: string): FileRange {
		for (const { virtualAddress, offset, fileSize } of this.#loads) {
			if (address < virtualAddress || address >= virtualAddress + fileSize) continue;
			const start = offset + (address - virtualAddress);
			const end = offset + fileSize < BigInt(this.#view.length) ? offset + fileSize : BigInt(this.#view.length);
			if (start < end) return { offset: Number(start), end: Number(end) };
		}
		throw new ElfError(0, `${what}: address ${hex(address)}, expected inside the bytes of a PT_LOAD`);
	}
}
