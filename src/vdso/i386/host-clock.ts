/** The seam between the 32-bit functions and the host's clocks: inline or by chain, as ../host-clock.ts explains. */
import { type Anchor, anchored, type Label, memory } from "../../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi, esp } from "../../asm/registers.ts";
import { SYSCALL_KEY } from "../../syscalls/key.ts";
import { CLOCK_MODE_NONE, CLOCK_MODE_OFFSET, SYSCALLS_I386 } from "../host.ts";
import { isInline } from "../host-clock.ts";
import { type Emission, emitAnchor, labelsOf, WORD } from "./emission.ts";
import { emitReadInline, hostField, type HostRead } from "./host-page.ts";

export interface HostCall extends Omit<HostRead, "away"> {
	/** Where to go with the host's result in eax when its function fails. */
	readonly failed: Label;
}

/**
 * edi:esi := seconds, eax := nanoseconds of a clock of the host, plus the offset in edi:esi and ebp where there is one. The nanoseconds
 * fit 32 bits and may be above 10^9. ebx, ecx and edx are lost; ebp is kept.
 *
 * @returns what emits the chain, out of line
 */
export const emitReadHost = (emission: Emission, anchor: Anchor, call: HostCall): (() => void) => {
	const { assembler, internal } = emission;
	const { clock, hasOffset, failed } = call;
	const chain = (): void => {
		assembler.mov(eax, clock);
		assembler.call(internal.askHost);
		assembler.jcc("b", failed);
		if (hasOffset) {
			assembler.add(esi, ecx);
			assembler.adc(edi, edx);
			assembler.add(eax, ebp);
		} else {
			assembler.mov(esi, ecx);
			assembler.mov(edi, edx);
		}
	};
	if (!isInline(emission, clock)) {
		chain();
		return () => {};
	}
	const [away, read] = labelsOf(assembler, "away", "read");
	emitReadInline(emission, anchor, { ...call, away });
	assembler.bind(read);
	return () => {
		assembler.bind(away);
		chain();
		assembler.jmp(read);
	};
};

/** A struct __kernel_timespec, and the arguments of the host's function. */
const FRAME = { clock: 0, pointer: 4, time: 8, size: 24 } as const;

/**
 * The internal function behind the chain: eax is the clock. The carry flag is clear when edx:ecx are its seconds and eax its nanoseconds,
 * and set when eax is an error. ebp, esi and edi are kept; ebx is lost.
 */
export const emitAskHost = (emission: Emission): void => {
	const { assembler, links, host, reads, internal } = emission;
	const [ownCall, answered, refused] = labelsOf(assembler, "own call", "answered", "refused");
	const sequence = (host.fine ?? host.coarse)?.sequence;
	assembler.sub(esp, FRAME.size);
	assembler.cfaOffset(FRAME.size + WORD);
	const anchor = emitAnchor(assembler, ecx, FRAME.size + WORD);
	assembler.mov(memory(esp, FRAME.clock), eax);
	assembler.lea(edx, memory(esp, FRAME.time));
	assembler.mov(memory(esp, FRAME.pointer), edx);
	if (sequence !== undefined) {
		assembler.mov(ebx, anchored(anchor, links.hostClocks.label));
		assembler.cmp(hostField(emission, sequence + CLOCK_MODE_OFFSET), CLOCK_MODE_NONE, 32);
		assembler.jcc("z", ownCall);
	}
	assembler.call(anchored(anchor, links.own("clock_gettime64")));
	assembler.bind(answered);
	// The host has read the counter in order; a later read of ours, which is not ordered, must not overtake it.
	if (reads === "relaxed") assembler.lfence();
	assembler.test(eax, eax);
	assembler.jcc("nz", refused);
	assembler.mov(ecx, memory(esp, FRAME.time));
	assembler.mov(edx, memory(esp, FRAME.time + WORD));
	assembler.mov(eax, memory(esp, FRAME.time + 2 * WORD));
	assembler.add(esp, FRAME.size);
	assembler.cfaOffset(WORD);
	// The stack does not end at 2^32, so the addition has left no carry.
	assembler.ret();

	assembler.cfaOffset(FRAME.size + WORD);
	assembler.bind(refused);
	assembler.add(esp, FRAME.size);
	assembler.cfaOffset(WORD);
	assembler.stc();
	assembler.ret();
	assembler.cfaOffset(FRAME.size + WORD);
	if (sequence === undefined) return;
	assembler.bind(ownCall);
	assembler.mov(ebx, eax);
	assembler.mov(ecx, edx);
	assembler.mov(edx, SYSCALL_KEY);
	assembler.mov(eax, SYSCALLS_I386.clock_gettime64);
	assembler.call(internal.kernelVsyscall);
	assembler.jmp(answered);
};
