/** A function of the host's that we do not write ourselves: a jump to it, through the link page. */
import { type Label, ripRelative } from "../asm/operands.ts";
import type { Emission } from "./wall.ts";

export const emitForward = ({ assembler }: Emission, word: Label): void => {
	assembler.endbr();
	assembler.jmp(ripRelative(word));
};
