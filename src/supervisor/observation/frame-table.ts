/**
 * How a caller's frame is found from an address of a function: the rules that most code has, the stack pointer or the frame pointer (rbp,
 * ebp) and an offset.
 */
import type { FrameDescription } from "../../elf/call-frame.ts";

export interface FrameRules {
	/** The canonical frame address is this register plus an offset. */
	readonly base: "stack pointer" | "frame pointer";
	readonly offset: number;
	/** Where the caller's frame pointer is, from the canonical frame address; undefined when it is still in the register. */
	readonly savedFramePointer: number | undefined;
}

/** DWARF register numbers: psABI, figure 3.36, and that of i386, figure 2.14. */
const REGISTERS = {
	64: { framePointer: 6, stackPointer: 7 },
	32: { framePointer: 5, stackPointer: 4 },
} as const;

export class FrameTable {
	readonly #descriptions: readonly FrameDescription[];
	readonly #registers: (typeof REGISTERS)[64 | 32];

	/** @param bits the class of the file */
	constructor(bits: 64 | 32, descriptions: readonly FrameDescription[]) {
		this.#registers = REGISTERS[bits];
		this.#descriptions = descriptions.toSorted((a, b) => (a.start < b.start ? -1 : Number(a.start > b.start)));
	}

	at(address: bigint): FrameRules | undefined {
		const description = this.#descriptions.findLast(({ start }) => start <= address);
		if (description === undefined || address >= description.start + description.length) return undefined;
		const row = description.rows.findLast(({ offset }) => description.start + BigInt(offset) <= address);
		if (row?.cfa.kind !== "register") return undefined;
		const { register, offset } = row.cfa;
		const { framePointer, stackPointer } = this.#registers;
		if (register !== stackPointer && register !== framePointer) return undefined;
		const saved = row.registers.get(framePointer);
		return {
			base: register === stackPointer ? "stack pointer" : "frame pointer",
			offset,
			savedFramePointer: saved?.kind === "offset" ? saved.offset : undefined,
		};
	}
}
