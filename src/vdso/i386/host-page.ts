/**
 * The host's own vvar page, read by 32-bit code: what ../host-page.ts does, in halves.
 *
 * A counter that is 2^32 cycles or more behind the last update is left to the host's function, and so are nanoseconds to which those of
 * an offset cannot be added in 32 bits. What remains is one product of 32 by 32 bits.
 */
import type { Label } from "../../asm/operands.ts";
import { type Anchor, anchored, type BasedMemory, memory } from "../../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi } from "../../asm/registers.ts";
import { CLOCK_MODE_OFFSET, CLOCK_MODE_TSC, CLOCK_REALTIME_COARSE, type HostFineClocks } from "../host.ts";
import { BASE_STRIDE } from "../host-page.ts";
import { isCoarse } from "../host-clock.ts";
import { type Emission, SCRATCH, WORD } from "./emission.ts";
import { NANOSECONDS_PER_SECOND } from "../wall-word.ts";

export interface HostRead {
	readonly clock: number;
	/** With an offset its time is added to that in edi:esi (seconds) and ebp (nanoseconds). */
	readonly hasOffset: boolean;
	/** Where to ask the host's function. */
	readonly away: Label;
	/** Where to begin anew, when the kernel has written meanwhile: edi:esi may be lost. */
	readonly again: Label;
}

/** The nanoseconds of the host's clock are not above it, so that those of an offset, below 10^9, can be added. */
const NANOSECONDS_LIMIT = 2 ** 32 - NANOSECONDS_PER_SECOND;

/** Counts of a shift of two words are taken modulo this. */
const SHIFT_LIMIT = 32;

/** A field of the host's page, when ebx has the address that the link page's word holds. */
export const hostField = ({ links }: Pick<Emission, "links">, field: number): BasedMemory =>
	memory(ebx, field - links.hostClocksOffset);

/** ebx := the host's page, ecx := the sequence, which is even. */
const emitBegin = (emission: Emission, anchor: Anchor, sequence: number, away: Label): void => {
	const { assembler, links } = emission;
	assembler.mov(ebx, anchored(anchor, links.hostClocks.label));
	assembler.mov(ecx, hostField(emission, sequence));
	assembler.test(ecx, 1);
	assembler.jcc("nz", away);
};

/** edi:esi := the seconds at `place`, or the sum of both. */
const emitSeconds = (emission: Emission, place: number, { hasOffset }: HostRead): void => {
	const { assembler } = emission;
	const [low, high] = [hostField(emission, place), hostField(emission, place + WORD)];
	if (hasOffset) {
		assembler.add(esi, low);
		assembler.adc(edi, high);
	} else {
		assembler.mov(esi, low);
		assembler.mov(edi, high);
	}
};

const emitFine = (emission: Emission, fine: HostFineClocks, read: HostRead): void => {
	const { assembler, reads } = emission;
	const { away, again, clock, hasOffset } = read;
	const base = fine.bases + clock * BASE_STRIDE;
	assembler.cmp(hostField(emission, fine.sequence + CLOCK_MODE_OFFSET), CLOCK_MODE_TSC, 32);
	assembler.jcc("nz", away);
	assembler.mov(SCRATCH, ecx);
	if (reads === "relaxed") assembler.rdtsc();
	else assembler.rdtscp();
	assembler.sub(eax, hostField(emission, fine.cycleLast));
	assembler.sbb(edx, hostField(emission, fine.cycleLast + WORD));
	assembler.jcc("nz", away);
	assembler.unary("mul", hostField(emission, fine.multiplier), 32);
	assembler.mov(ecx, hostField(emission, fine.shift));
	assembler.add(eax, hostField(emission, base + 8));
	assembler.adc(edx, hostField(emission, base + 8 + WORD));
	assembler.cmp(ecx, SHIFT_LIMIT);
	assembler.jcc("ae", away);
	assembler.shrd(eax, edx, "cl");
	assembler.shr(edx, "cl");
	assembler.jcc("nz", away);
	assembler.cmp(eax, NANOSECONDS_LIMIT);
	assembler.jcc("a", away);
	emitSeconds(emission, base, read);
	assembler.mov(ecx, hostField(emission, fine.sequence));
	assembler.cmp(ecx, SCRATCH);
	assembler.jcc("nz", again);
	if (hasOffset) assembler.add(eax, ebp);
};

/**
 * edi:esi := seconds, eax := nanoseconds of a clock of the host, read inline; below 2^32 with those of the offset. ebx, ecx and edx are
 * lost, and the scratch word.
 */
export const emitReadInline = (emission: Emission, anchor: Anchor, read: HostRead): void => {
	const { assembler, host } = emission;
	const { clock, away, again, hasOffset } = read;
	if (host.coarse !== undefined && isCoarse(clock)) {
		const { sequence, realtime, monotonic } = host.coarse;
		const place = clock === CLOCK_REALTIME_COARSE ? realtime : monotonic;
		emitBegin(emission, anchor, sequence, away);
		assembler.mov(eax, hostField(emission, place + 8));
		emitSeconds(emission, place, read);
		assembler.cmp(ecx, hostField(emission, sequence));
		assembler.jcc("nz", again);
		if (hasOffset) assembler.add(eax, ebp);
	} else if (host.fine !== undefined && !isCoarse(clock)) {
		emitBegin(emission, anchor, host.fine.sequence, away);
		emitFine(emission, host.fine, read);
	}
};
