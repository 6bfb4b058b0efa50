/**
 * A drifting wall from the counter: the rate is folded into the host's multiplier, so that little waits for the counter.
 *
 * The kernel's shift is 23 or 24, whatever the frequency of the counter (clocks_calc_mult_shift of kernel/time/clocksource.c, v6.12, for
 * 600 seconds), so its time is a whole number of 2^-24 ns, and on the line of the slot (vvar/drift-line.ts) all is exact in nanoseconds
 * of 64 bits and a fraction of 64 bits. With s seconds and n * 2^-24 ns in the host's base:
 *
 *     multiplier * factor                = M                  2^-64 ns in a cycle
 *     cycles * M                         = p nanoseconds and a fraction
 *     n * factor + rest              = f nanoseconds and a fraction
 *     s * scaledRate + fraction      = a * 2^64 + b       a seconds, b 2^-64 s
 *     b * 10^9                           = c nanoseconds and a fraction
 *     the wall                           = seconds + s + a seconds + (p + f + c) nanoseconds, and what the fractions carry
 *
 * It is the exact wall at the host's time with its fraction, rounded down once. So it never goes back while the host's clock does
 * not, and never lies before the wall at the whole nanosecond, which is what other readers compute.
 *
 * RDTSCP lets in no more than some fifty instructions behind it while it is under way, so it is their number that costs: no register
 * is saved, and a shift that is not the one for which the code was generated is left to others.
 */
import { type Label, memory } from "../asm/operands.ts";
import { eax, edx, r8, r9, rax, rcx, rdx, rsp } from "../asm/registers.ts";
import { LINE, PAGE, RATE_SHIFT, SLOT } from "../vvar/layout.ts";
import { CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI, type HostFineClocks, type WallClockId } from "./host.ts";
import { emitBeginFine, emitEnd, fineBase, hostField } from "./host-page.ts";
import type { Emission } from "./wall.ts";
import { emitFindSlot, NANOSECONDS_PER_SECOND, wallWord } from "./wall-word.ts";

/** The wall is computed in units of 2^-24 ns, times the factor. */
const FRACTION_BITS = 64 - RATE_SHIFT;
/** In the red zone: signal handlers leave 128 bytes below the stack pointer alone (psABI 3.2.2), and nothing is called here. */
const SAVED_WORD = memory(rsp, -8);

/** Of the slot, when r9 has the address of its line. */
const TAI_SECONDS = memory(r9, PAGE.slots - PAGE.lines + SLOT.taiSeconds);

/** The host's fine clocks, where the line of a wall clock is computed from them. */
export const fineOfLine = (
	{ host, reads }: Pick<Emission, "host" | "reads">,
	clock: WallClockId,
): HostFineClocks | undefined =>
	reads !== "coarse" &&
	clock !== CLOCK_REALTIME_COARSE &&
	host.fine !== undefined &&
	host.fine.knownShift <= FRACTION_BITS
		? host.fine
		: undefined;

export interface LineRead {
	readonly fine: HostFineClocks;
	readonly clock: WallClockId;
	/** The slot has changed. */
	readonly again: Label;
}

/**
 * rdx, rax := the wall on the line of the slot that the wall word in rax names, nanoseconds not yet below 10^9. Keeps rdi and rsi.
 *
 * @returns what emits, out of line, the case that the host's page cannot be read now or that its numbers do not fit: it continues
 * behind that, with the wall word in r8.
 */
export const emitReadLine = (emission: Emission, { fine, clock, again }: LineRead): (() => void) => {
	const { assembler, page, links } = emission;
	const away = assembler.label("away");
	const base = fineBase(fine, CLOCK_REALTIME);
	const align = (): void => {
		if (fine.knownShift < FRACTION_BITS) assembler.shl(rax, FRACTION_BITS - fine.knownShift);
	};
	assembler.mov(SAVED_WORD, rax);
	emitFindSlot(emission, PAGE.lines);
	emitBeginFine(emission, fine, away);
	assembler.cmp(hostField(links, fine.shift), fine.knownShift, 32);
	assembler.jcc("nz", away);
	// M is below 2^64 unless the wall gains a nanosecond or more in a cycle.
	assembler.mov(rcx, rax);
	assembler.mov(eax, hostField(links, fine.multiplier));
	align();
	assembler.unary("mul", memory(r9, LINE.factor), 64);
	assembler.test(rdx, rdx);
	assembler.jcc("nz", away);
	// r8 = p, rcx = the fraction
	assembler.unary("mul", rcx);
	assembler.mov(rcx, rax);
	assembler.mov(r8, rdx);
	// r8 = p + f
	assembler.mov(rax, hostField(links, base.nanoseconds));
	align();
	assembler.unary("imul", memory(r9, LINE.factor), 64);
	assembler.add(rax, memory(r9, LINE.rest));
	assembler.adc(rdx, 0);
	assembler.add(rcx, rax);
	assembler.adc(r8, rdx);
	// r9 = seconds, rax = b
	assembler.mov(rax, hostField(links, base.seconds));
	assembler.unary("imul", memory(r9, LINE.scaledRate), 64);
	assembler.add(rax, memory(r9, LINE.fraction));
	assembler.adc(rdx, memory(r9, LINE.seconds));
	if (clock === CLOCK_TAI) assembler.add(rdx, TAI_SECONDS);
	assembler.add(rdx, hostField(links, base.seconds));
	assembler.mov(r9, rdx);
	assembler.mov(rdx, wallWord(page));
	assembler.cmp(rdx, SAVED_WORD);
	assembler.jcc("nz", again);
	assembler.mov(edx, NANOSECONDS_PER_SECOND);
	assembler.unary("mul", rdx);
	assembler.add(rcx, rax);
	assembler.adc(r8, rdx);
	emitEnd(emission, fine.sequence, away);
	assembler.mov(rax, r8);
	assembler.mov(rdx, r9);
	return () => {
		assembler.bind(away);
		assembler.mov(r8, SAVED_WORD);
	};
};
