/** Jumps to functions of the host's, through the link page. */
import { anchored, type Label, memory } from "../../asm/operands.ts";
import { ecx, esp } from "../../asm/registers.ts";
import { type Emission, emitAnchor, WORD } from "./emission.ts";

/** At the entry of a function, whose caller does not keep ecx. */
export const emitForward = ({ assembler }: Emission, word: Label): void => {
	const anchor = emitAnchor(assembler, ecx, WORD);
	assembler.jmp(anchored(anchor, word));
};

/** Where a caller keeps every register. No flag is changed. */
export const emitForwardAll = ({ assembler }: Emission, word: Label): void => {
	assembler.push(ecx);
	assembler.cfaOffset(2 * WORD);
	assembler.push(ecx);
	assembler.cfaOffset(3 * WORD);
	const anchor = emitAnchor(assembler, ecx, 3 * WORD);
	assembler.mov(ecx, anchored(anchor, word));
	assembler.mov(memory(esp, WORD), ecx);
	assembler.pop(ecx);
	assembler.cfaOffset(2 * WORD);
	assembler.ret();
};
