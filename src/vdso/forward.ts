/** A function of the host's that we do not write ourselves: a jump to it, through the link page. */
import { type Label, ripRelative } from "../asm/operands.ts";
import { emitCalled, emitEntered } from "./observer/hooks.ts";
import type { Counter } from "./observer/slots.ts";
import type { Emission } from "./wall.ts";

/** @param isTraced by its caller */
export const emitForward = (
	emission: Emission,
	word: Label,
	{ counter, isTraced }: { readonly counter: Counter; readonly isTraced: boolean },
): void => {
	const { assembler } = emission;
	assembler.endbr();
	const countOutOfLine = emitCalled(emission, counter);
	if (!isTraced && "call" in counter) emitEntered(emission, counter.call);
	assembler.jmp(ripRelative(word));
	countOutOfLine();
};
