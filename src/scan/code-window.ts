/**
 * A stretch of code around a place that may be an operand, and the question whether it is one.
 *
 * x86 code is only read rightly from the start of an instruction. Where the start of the function is known, the code is decoded from
 * there. Where it is not, it is decoded from every byte in front of the place: chains that began inside an instruction fall into step
 * with the true ones soon, so most of them agree on what starts where.
 */
import { Decoding } from "../vsyscall/call-site-decode.ts";

/** An instruction with an operand of four bytes begins at most this far in front of it: prefixes, opcode, ModRM, SIB, displacement. */
const MOST_IN_FRONT = 11;
/** Enough for chains to fall into step. */
const SYNCHRONIZE = 96;

export class CodeWindow {
	readonly bytes: Uint8Array;
	/** Of the first byte. */
	readonly address: bigint;
	/** Has to be freed. */
	readonly decoding: Decoding;

	constructor(bytes: Uint8Array, address: bigint) {
		this.bytes = bytes;
		this.address = address;
		this.decoding = new Decoding(bytes, address);
	}

	[Symbol.dispose](): void {
		this.decoding.free();
	}

	/**
	 * Where the instruction begins that has the four bytes at `operand` as a constant; undefined if none has.
	 *
	 * @param start where a function is known to begin
	 */
	instructionWith(operand: number, start: number | undefined): number | undefined {
		return start === undefined ? this.#byChains(operand) : this.#fromStart(operand, start);
	}

	/** A byte that begins no instruction is passed over, as disassemblers do. */
	#fromStart(operand: number, start: number): number | undefined {
		let offset = start;
		for (;;) {
			const length = Math.max(1, this.decoding.lengthAt(offset));
			if (offset + length > operand) return this.#hasConstant(offset, operand) ? offset : undefined;
			offset += length;
		}
	}

	#byChains(operand: number): number | undefined {
		const first = Math.max(0, operand - SYNCHRONIZE);
		const lengths = Array.from({ length: operand - first }, (_, index) => this.decoding.lengthAt(first + index));
		const starts = Array.from({ length: MOST_IN_FRONT }, (_, index) => operand - 1 - index)
			.filter((start) => start >= first && this.#hasConstant(start, operand))
			.map((start) => ({ start, lead: leadOf(lengths, start - first) }))
			.filter(({ lead }) => lead > 0)
			.toSorted((one, other) => other.lead - one.lead);
		return starts[0]?.start;
	}

	#hasConstant(start: number, operand: number): boolean {
		const length = this.decoding.lengthAt(start);
		return length > 0 && this.decoding.constants().includes(operand - start);
	}
}

/** How many more chains have a boundary at `place` than run over it; one that begins there counts. */
const leadOf = (lengths: readonly number[], place: number): number => {
	const leads: (boolean | undefined)[] = [];
	leads[place] = true;
	let lead = 1;
	for (let offset = place - 1; offset >= 0; offset--) {
		const length = lengths[offset] ?? 0;
		// Undefined where the chain ends in bytes that are no instruction: it says nothing.
		leads[offset] = length === 0 ? undefined : offset + length > place ? false : leads[offset + length];
		if (leads[offset] !== undefined) lead += leads[offset] === true ? 1 : -1;
	}
	return lead;
};
