/** Jumps to functions of the host's, through the link page. */
import { anchored, type Label, memory } from "../../asm/operands.ts";
import { ecx, esp } from "../../asm/registers.ts";
import type { Counter } from "../observer/slots.ts";
import { type Emission, emitAnchor, WORD } from "./emission.ts";
import { emitCalled, emitEntered } from "./observer/hooks.ts";

export interface Forwarded {
	/** Undefined when the call has been counted. */
	readonly counter?: Counter | undefined;
	/** Under which it is recorded here; undefined when its caller does that. */
	readonly name?: string | undefined;
}

/** At the entry of a function, whose caller does not keep ecx. @returns what emits the rest, out of line and outside of the frame */
export const emitForward = (emission: Emission, word: Label, { counter, name }: Forwarded = {}): (() => void) => {
	const { assembler } = emission;
	const countOutOfLine = counter && emitCalled(emission, counter);
	if (name !== undefined && counter !== undefined && "call" in counter) emitEntered(emission, name, counter.call);
	const anchor = emitAnchor(assembler, ecx, WORD);
	assembler.jmp(anchored(anchor, word));
	return () => countOutOfLine?.();
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
