/** How a caller's frame is found from an address of a function: the rules that most code has, the stack pointer or rbp and an offset. */
import type { FrameDescription } from "../../elf/call-frame.ts";

export interface FrameRules {
	/** The canonical frame address is this register plus an offset. */
	readonly base: "rsp" | "rbp";
	readonly offset: number;
	/** Where the caller's rbp is, from the canonical frame address; undefined when it is still in the register. */
	readonly savedRbp: number | undefined;
}

/** DWARF register numbers: psABI, figure 3.36. */
const RBP = 6;
const RSP = 7;

export class FrameTable {
	readonly #descriptions: readonly FrameDescription[];

	constructor(descriptions: readonly FrameDescription[]) {
		this.#descriptions = descriptions.toSorted((a, b) => (a.start < b.start ? -1 : Number(a.start > b.start)));
	}

	at(address: bigint): FrameRules | undefined {
		const description = this.#descriptions.findLast(({ start }) => start <= address);
		if (description === undefined || address >= description.start + description.length) return undefined;
		const row = description.rows.findLast(({ offset }) => description.start + BigInt(offset) <= address);
		if (row?.cfa.kind !== "register") return undefined;
		const { register, offset } = row.cfa;
		if (register !== RSP && register !== RBP) return undefined;
		const rbp = row.registers.get(RBP);
		const savedRbp = rbp?.kind === "offset" ? rbp.offset : undefined;
		return { base: register === RSP ? "rsp" : "rbp", offset, savedRbp };
	}
}
