/**
 * What the functions of the 32-bit image are generated from, and the frame that they have in common.
 *
 * They are called as the psABI of i386 says: arguments on the stack, eax, ecx and edx free, everything else kept. A register that holds
 * the address of a label (an anchor) leads to the link page and the vvar page. No vector and no x87 register is touched.
 *
 *     frame, from esp:  a word of scratch | edi esi ebx ebp | return address | arguments
 */
import type { Assembler } from "../../asm/assembler.ts";
import {
	type Anchor,
	anchored,
	type AnchoredMemory,
	type BasedMemory,
	type Label,
	memory,
} from "../../asm/operands.ts";
import { ebp, ebx, edi, esi, esp, type Register } from "../../asm/registers.ts";
import * as layout from "../../vvar/layout.ts";
import type { Emission as SharedEmission } from "../wall.ts";
import type { InternalFunctions } from "./internal.ts";

export interface Emission extends Omit<SharedEmission, "internal"> {
	readonly internal: InternalFunctions;
}

export const WORD = 4;

/** In the order in which they are pushed. */
const SAVED: readonly Register[] = [ebp, ebx, esi, edi];
/** From the scratch word to the return address. */
const FRAME_SIZE = (SAVED.length + 1) * WORD;
/** From the scratch word to the canonical frame address. */
export const FRAME_TO_CFA: number = FRAME_SIZE + WORD;

/**
 * `register` := the address of the returned anchor's label.
 *
 * @param cfaOffset bytes from the stack pointer to the canonical frame address
 */
export const emitAnchor = (assembler: Assembler, register: Register, cfaOffset: number = FRAME_TO_CFA): Anchor => {
	const label = assembler.label("here");
	assembler.call(label);
	assembler.cfaOffset(cfaOffset + WORD);
	assembler.bind(label);
	assembler.pop(register);
	assembler.cfaOffset(cfaOffset);
	return { register, label };
};

/** A field of the vvar page. */
export const pageField = ({ page }: Pick<Emission, "page">, anchor: Anchor, field: number): AnchoredMemory =>
	anchored(anchor, page, field);

/** A field of the page's slot whose address is in ebp. */
export const slotField = (field: keyof typeof layout.SLOT, half: "low" | "high" = "low"): BasedMemory =>
	memory(ebp, layout.SLOT[field] + (half === "high" ? WORD : 0));

export const SCRATCH: BasedMemory = memory(esp);

/** The n-th argument, from 0 on: inside of the frame, or at the entry of a function. */
export const argument = (index: number): BasedMemory => memory(esp, FRAME_SIZE + (1 + index) * WORD);
export const argumentAtEntry = (index: number): BasedMemory => memory(esp, (1 + index) * WORD);

export const emitEnter = (assembler: Assembler): void => {
	SAVED.forEach((register, index) => {
		assembler.push(register);
		assembler.cfaOffset((index + 2) * WORD);
		assembler.cfaSaved(register, (index + 2) * WORD);
	});
	assembler.sub(esp, WORD);
	emitInFrame(assembler);
};

/** What unwinders have to know of code inside of the frame, behind code that has left it. */
export const emitInFrame = (assembler: Assembler): void => {
	assembler.cfaOffset(FRAME_TO_CFA);
	SAVED.forEach((register, index) => assembler.cfaSaved(register, (index + 2) * WORD));
};

/** The same of code outside of it. */
export const emitOutsideFrame = (assembler: Assembler): void => {
	assembler.cfaOffset(WORD);
	for (const register of SAVED) assembler.cfaRestored(register);
};

/** Restores everything. What stands behind it at the same place is outside of the frame. */
export const emitLeaveFrame = (assembler: Assembler): void => {
	assembler.add(esp, WORD);
	assembler.cfaOffset(FRAME_SIZE);
	SAVED.toReversed().forEach((register, index) => {
		assembler.pop(register);
		assembler.cfaOffset(FRAME_SIZE - (index + 1) * WORD);
		assembler.cfaRestored(register);
	});
};

/** Pushes registers where a function is entered. */
export const emitPushAll = (assembler: Assembler, registers: readonly Register[]): void =>
	registers.forEach((register, index) => {
		const distance = (index + 2) * WORD;
		assembler.push(register);
		assembler.cfaOffset(distance);
		if (SAVED.includes(register)) assembler.cfaSaved(register, distance);
	});

/** Pops them where it is left. */
export const emitPopAll = (assembler: Assembler, registers: readonly Register[]): void =>
	registers.toReversed().forEach((register, index) => {
		assembler.pop(register);
		assembler.cfaOffset((registers.length - index) * WORD);
		if (SAVED.includes(register)) assembler.cfaRestored(register);
	});

/** Returns what eax holds; the code behind it is inside of the frame again. */
export const emitReturn = (assembler: Assembler): void => {
	emitLeaveFrame(assembler);
	assembler.ret();
	emitInFrame(assembler);
};

/** Makes labels, for a list of names. */
export const labelsOf = <Names extends readonly string[]>(
	assembler: Assembler,
	...names: Names
): { readonly [Index in keyof Names]: Label } =>
	names.map((name) => assembler.label(name)) as { readonly [Index in keyof Names]: Label };
