/** A function of the host's that we do not write ourselves: a jump to it, through the link page. */
import { type Label, ripRelative } from "../asm/operands.ts";
import { emitCalled, emitEntered } from "./observer/hooks.ts";
import type { Counter } from "./observer/slots.ts";
import type { Emission } from "./wall.ts";

/** @param name under which it is recorded here; undefined when its caller does that */
export const emitForward = (
	emission: Emission,
	word: Label,
	{ counter, name }: { readonly counter: Counter; readonly name?: string | undefined },
): void => {
	const { assembler } = emission;
	assembler.endbr();
	const countOutOfLine = emitCalled(emission, counter);
	if (name !== undefined && "call" in counter) emitEntered(emission, name, counter.call);
	assembler.jmp(ripRelative(word));
	countOutOfLine();
};
