/** The vvar page in code: the wall word, and the slot that it names. */
import type { Assembler } from "../asm/assembler.ts";
import { type Label, type RipRelativeMemory, ripRelative } from "../asm/operands.ts";
import { eax, r9, r9d, rax } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import type { Emission } from "./wall.ts";

export const NANOSECONDS_PER_SECOND = 1_000_000_000;

export const wallWord = (page: Label): RipRelativeMemory => ripRelative(page, layout.PAGE.wall);

/** rax := the wall word. */
export const emitLoadWall = ({ assembler, page }: Emission): void => assembler.mov(rax, wallWord(page));

/** r9 := the nanoseconds of the wall word in rax; jumps to `inSlot` when the word names a slot. */
export const emitLowField = (assembler: Assembler, inSlot: Label): void => {
	assembler.mov(r9d, eax);
	assembler.and(r9d, layout.WALL_NANOSECONDS_MASK);
	assembler.cmp(r9d, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", inSlot);
};

/** r9 := the address of the slot that the wall word in rax names, or of its line. rax is lost. */
export const emitFindSlot = (
	{ assembler, page }: Pick<Emission, "assembler" | "page">,
	first: number = layout.PAGE.slots,
): void => {
	// Bit 0 of the generation, moved to where it is the slot's distance from the first one.
	assembler.shr(eax, layout.WALL_SECONDS_SHIFT - Math.log2(layout.SLOT.size));
	assembler.and(eax, layout.SLOT.size);
	assembler.lea(r9, ripRelative(page, first));
	assembler.add(r9, rax);
};
