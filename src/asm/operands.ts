/** What an instruction works on: a register, memory, a label or an immediate. */
import { fail } from "./fail.ts";
import type { Register } from "./registers.ts";

/** A place in the code, or, when it is never bound, a place outside that the linker resolves. */
export class Label {
	readonly kind = "label";
	readonly name: string;

	constructor(name: string) {
		this.name = name;
	}
}

/** `[base + index * scale + displacement]`. */
export interface BasedMemory {
	readonly kind: "memory";
	readonly base: Register | undefined;
	readonly index: Register | undefined;
	readonly scale: 1 | 2 | 4 | 8;
	/** A signed 32-bit number of bytes. */
	readonly displacement: number;
}

/** `[rip + label + displacement]`, in 64-bit code only. */
export interface RipRelativeMemory {
	readonly kind: "rip-relative";
	readonly label: Label;
	readonly displacement: number;
}

/** A register that holds the address of a label: from there 32-bit code, which has no rip-relative operands, finds other labels. */
export interface Anchor {
	readonly register: Register;
	readonly label: Label;
}

/** `[anchor.register + (label - anchor.label) + displacement]`: position-independent, in code of either size. */
export interface AnchoredMemory {
	readonly kind: "anchored";
	readonly anchor: Anchor;
	readonly label: Label;
	readonly displacement: number;
}

export type Memory = BasedMemory | RipRelativeMemory | AnchoredMemory;

/** A signed or unsigned constant; which widths fit depends on the instruction. */
export type Immediate = number | bigint;

export type Operand = Register | Memory | Immediate;

const checkDisplacement = (displacement: number): number => {
	if (displacement !== (displacement | 0)) fail(`displacement ${displacement} is not a signed 32-bit integer`);
	return displacement;
};

/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when the displacement does not fit 32 signed bits. */
export const memory = (base: Register, displacement = 0): BasedMemory => ({
	kind: "memory",
	base,
	index: undefined,
	scale: 1,
	displacement: checkDisplacement(displacement),
});

export interface Indexed {
	readonly base?: Register;
	readonly index: Register;
	readonly scale?: 1 | 2 | 4 | 8;
	readonly displacement?: number;
}

/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when the index is the stack pointer, which SIB cannot express. */
export const indexed = ({ base, index, scale = 1, displacement = 0 }: Indexed): BasedMemory => {
	if (index.number === 4) fail(`${index.name} cannot be an index`);
	return { kind: "memory", base, index, scale, displacement: checkDisplacement(displacement) };
};

export const ripRelative = (label: Label, displacement = 0): RipRelativeMemory => ({
	kind: "rip-relative",
	label,
	displacement: checkDisplacement(displacement),
});

/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when the displacement does not fit 32 signed bits. */
export const anchored = (anchor: Anchor, label: Label, displacement = 0): AnchoredMemory => ({
	kind: "anchored",
	anchor,
	label,
	displacement: checkDisplacement(displacement),
});
