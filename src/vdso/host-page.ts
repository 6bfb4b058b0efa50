/**
 * The host's own vvar page, read by our code: what the host's functions compute, without calling them.
 *
 * There is no loop. An odd sequence (the kernel writes; or a time namespace, where it is 1 for ever), two loads of the sequence that
 * differ, another clock mode, and a counter that lies before the last update or too far behind it lead `away`, to the host's
 * function, which knows what to do. All of that is checked at every read, since all of it may change while a program runs.
 *
 * Both give seconds in rdx and nanoseconds, not yet below 10^9, in rax. rcx, r10 and r11 are lost; rdi, rsi, r8 and r9 kept.
 */
import type { Assembler } from "../asm/assembler.ts";
import { type BasedMemory, type Label, memory, ripRelative } from "../asm/operands.ts";
import { ecx, edx, r10, r11d, rax, rcx, rdx } from "../asm/registers.ts";
import { CLOCK_MODE_OFFSET, CLOCK_MODE_TSC, FINE_DELTA_BITS, type HostFineClocks } from "./host.ts";
import type { Reads } from "./reads.ts";

/** Stride of the bases of two clocks, by clock id: struct vdso_timestamp. */
export const BASE_STRIDE = 16;

/** The word with an address in the host's page; displacements from there are short. */
export interface HostClocksWord {
	readonly hostClocks: { readonly label: Label };
	/** Of that address, from the start of the host's image. */
	readonly hostClocksOffset: number;
}

/** What reading the page takes of what every function is generated from. */
export interface HostPageEmission {
	readonly assembler: Assembler;
	readonly links: HostClocksWord;
	readonly reads: Reads;
}

/** A field of the page, when r10 has the address that the word holds. */
export const hostField = ({ hostClocksOffset }: HostClocksWord, field: number): BasedMemory =>
	memory(r10, field - hostClocksOffset);

/** Where the base of a clock of full resolution stands. */
export const fineBase = (
	{ bases }: Pick<HostFineClocks, "bases">,
	clock: number,
): { readonly seconds: number; readonly nanoseconds: number } => {
	const seconds = bases + clock * BASE_STRIDE;
	return { seconds, nanoseconds: seconds + 8 };
};

/** r10 := the host's page, r11d := the sequence, which is even. */
export const emitBegin = ({ assembler, links }: HostPageEmission, sequence: number, away: Label): void => {
	assembler.mov(r10, ripRelative(links.hostClocks.label));
	assembler.mov(r11d, hostField(links, sequence));
	assembler.test(r11d, 1);
	assembler.jcc("nz", away);
};

/** Jumps `away` when the kernel has written since `emitBegin`. */
export const emitEnd = ({ assembler, links }: HostPageEmission, sequence: number, away: Label): void => {
	assembler.cmp(r11d, hostField(links, sequence));
	assembler.jcc("nz", away);
};

/**
 * rax := cycles of the counter since the last update; r10 and r11d as `emitEnd` needs them. rcx and rdx are lost.
 *
 * RDTSCP waits for what stands in front of it; what stands behind it does not wait for RDTSCP. So only what decides whether the
 * counter is read at all stands in front.
 */
export const emitBeginFine = (emission: HostPageEmission, fine: HostFineClocks, away: Label): void => {
	const { assembler, links, reads } = emission;
	emitBegin(emission, fine.sequence, away);
	assembler.cmp(hostField(links, fine.sequence + CLOCK_MODE_OFFSET), CLOCK_MODE_TSC, 32);
	assembler.jcc("nz", away);
	if (reads === "relaxed") assembler.rdtsc();
	else assembler.rdtscp();
	assembler.shl(rdx, 32);
	assembler.or(rax, rdx);
	assembler.sub(rax, hostField(links, fine.cycleLast));
	// Unsigned: a counter before the last update, which another processor may show by a hair, is far beyond as well.
	if (fine.maxCycles !== undefined) {
		assembler.cmp(rax, hostField(links, fine.maxCycles));
		assembler.jcc("a", away);
	} else {
		assembler.mov(rcx, rax);
		assembler.shr(rcx, FINE_DELTA_BITS);
		assembler.jcc("nz", away);
	}
};

/**
 * A clock of the resolution of the time stamp counter: base + (counter - last) * multiplier >> shift, as vdso_calc_ns of
 * arch/x86/include/asm/vdso/gettimeofday.h and do_hres of lib/vdso/gettimeofday.c (v6.12) do.
 */
export const emitReadFine = (
	emission: HostPageEmission,
	{ fine, clock, away }: { readonly fine: HostFineClocks; readonly clock: number; readonly away: Label },
): void => {
	const { assembler, links } = emission;
	const base = fineBase(fine, clock);
	emitBeginFine(emission, fine, away);
	assembler.mov(edx, hostField(links, fine.multiplier));
	assembler.mov(ecx, hostField(links, fine.shift));
	assembler.imul(rax, rdx);
	assembler.add(rax, hostField(links, base.nanoseconds));
	assembler.shr(rax, "cl");
	assembler.mov(rdx, hostField(links, base.seconds));
	emitEnd(emission, fine.sequence, away);
};

/** A clock of the resolution of the kernel's tick, as do_coarse of lib/vdso/gettimeofday.c (v6.12) does. */
export const emitReadCoarse = (
	emission: HostPageEmission,
	{ sequence, clock, away }: { readonly sequence: number; readonly clock: number; readonly away: Label },
): void => {
	const { assembler, links } = emission;
	emitBegin(emission, sequence, away);
	assembler.mov(rdx, hostField(links, clock));
	assembler.mov(rax, hostField(links, clock + 8));
	emitEnd(emission, sequence, away);
};
