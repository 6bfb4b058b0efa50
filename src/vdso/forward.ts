/** A function of the host's that we do not write ourselves: a jump to it, through the link page. */
import { anchored, type Label, memory, ripRelative } from "../asm/operands.ts";
import { ecx, esp } from "../asm/registers.ts";
import type { Emission } from "./wall.ts";

export const emitForward = ({ assembler }: Emission, word: Label): void => {
	assembler.endbr();
	if (assembler.bits === 32) {
		const here = assembler.label("here");
		assembler.push(ecx);
		assembler.push(ecx);
		assembler.call(here);
		assembler.bind(here);
		assembler.pop(ecx);
		assembler.mov(ecx, anchored({ register: ecx, label: here }, word));
		assembler.mov(memory(esp, 4), ecx);
		assembler.pop(ecx);
		return assembler.ret();
	}
	assembler.jmp(ripRelative(word));
};
