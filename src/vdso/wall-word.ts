/** The vvar page in code: the wall word, and the slot that it names. */
import { type Label, type RipRelativeMemory, ripRelative } from "../asm/operands.ts";
import { eax, r9, rax } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import type { Emission } from "./wall.ts";

export const NANOSECONDS_PER_SECOND = 1_000_000_000;

export const wallWord = (page: Label): RipRelativeMemory => ripRelative(page, layout.PAGE.wall);

/** rax := the wall word. */
export const emitLoadWall = ({ assembler, page }: Emission): void => assembler.mov(rax, wallWord(page));

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
