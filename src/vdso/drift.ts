/**
 * A wall that goes faster or slower than the host's clock: v + d + (d * rate >> 40), d being the time since the anchor.
 *
 * Where the host's page can be read it is computed from the counter (drift-line.ts). Here it is computed from a time of the host's,
 * of whole nanoseconds: for clocks of the tick, for large rates, and wherever that gives up.
 *
 * The result is exact. Of d = 10^9 * s + n the seconds s are apart; R = rate << 24 makes the upper half of a
 * product of 64 by 64 bits that product >> 40, and its lower half what is left of it. A rate from half as fast to one and a half is
 * whole in R; beyond that R lacks k = 1 or -1 times the host's own rate:
 *
 *     s * R          = a * 2^64 + b           a seconds
 *     b * 10^9       = c * 2^64 + e           c nanoseconds
 *     n * R          = f * 2^64 + g           f nanoseconds
 *     d * rate >> 40 = k * d + a * 10^9 + c + f, and 1 more when e + g has a carry
 */
import { type Label, memory } from "../asm/operands.ts";
import { ecx, edx, r8, r9, r10, r11, rax, rcx, rdx, rsp } from "../asm/registers.ts";
import { RATE_SHIFT, SLOT } from "../vvar/layout.ts";
import { CLOCK_TAI, type WallClockId } from "./host.ts";
import { driftingHostClock } from "./host-clock.ts";
import { type Emission, emitReadHost } from "./wall.ts";
import { emitFindSlot, NANOSECONDS_PER_SECOND, wallWord } from "./wall-word.ts";

const WORD = 8;
/** From rate to R. */
const RATE_SCALE = 64 - RATE_SHIFT;

/**
 * rdx, rax := the wall at the host's time rdx, rax; r8 is the wall word, r9 the address of the slot. The nanoseconds come out of range
 * on either side, by some seconds at most. Every caller-saved register but rdi and rsi is lost.
 */
const emitDrift = ({ assembler, page }: Emission, { isTai, again }: { isTai: boolean; again: Label }): (() => void) => {
	const [wide, scaled] = [assembler.label("wide"), assembler.label("scaled")];
	// rax = n, r8 = s, r9 = rate, r10 = seconds of v + s, rcx = nanoseconds of v + n
	assembler.sub(rdx, memory(r9, SLOT.anchorSeconds));
	assembler.sub(rax, memory(r9, SLOT.anchorNanoseconds));
	assembler.mov(r10, memory(r9, SLOT.seconds));
	if (isTai) assembler.add(r10, memory(r9, SLOT.taiSeconds));
	assembler.mov(rcx, memory(r9, SLOT.nanoseconds));
	assembler.mov(r9, memory(r9, SLOT.rate));
	assembler.cmp(r8, wallWord(page));
	assembler.jcc("nz", again);
	assembler.add(r10, rdx);
	assembler.add(rcx, rax);
	assembler.mov(r8, rdx);
	// r11 = R
	assembler.mov(r11, r9);
	assembler.shl(r11, RATE_SCALE);
	assembler.mov(rdx, r11);
	assembler.sar(rdx, RATE_SCALE);
	assembler.cmp(rdx, r9);
	assembler.jcc("nz", wide);

	// rcx += f, r9 = g
	assembler.bind(scaled);
	assembler.unary("imul", r11);
	assembler.add(rcx, rdx);
	assembler.mov(r9, rax);
	// r10 += a, rdx = c, rax = e
	assembler.mov(rax, r8);
	assembler.unary("imul", r11);
	assembler.add(r10, rdx);
	assembler.mov(edx, NANOSECONDS_PER_SECOND);
	assembler.unary("mul", rdx);

	assembler.add(rax, r9);
	assembler.adc(rcx, rdx);
	assembler.mov(rax, rcx);
	assembler.mov(rdx, r10);
	return () => {
		// rdx = k; r10 += k * s, rcx += k * n
		assembler.bind(wide);
		assembler.sub(r9, rdx);
		assembler.sar(r9, RATE_SHIFT);
		assembler.mov(rdx, r9);
		assembler.imul(rdx, r8);
		assembler.add(r10, rdx);
		assembler.imul(r9, rax);
		assembler.add(rcx, r9);
		assembler.jmp(scaled);
	};
};

/**
 * The internal function of a drifting wall: r8 is the wall word. ecx := 0 when rdx and rax are the time (nanoseconds not yet in
 * range), 1 when rax is an error of the host's, -1 when the slot has changed. Keeps rdi and rsi.
 */
export const emitDrifting = (emission: Emission, clock: WallClockId): void => {
	const { assembler } = emission;
	const [again, leave] = [assembler.label("again"), assembler.label("leave")];
	const isTai = clock === CLOCK_TAI;
	// With our caller's and our own return address it aligns the stack for a call.
	assembler.sub(rsp, WORD);
	assembler.cfaOffset(2 * WORD);
	assembler.mov(rax, r8);
	emitFindSlot(emission);
	const hostOutOfLine = emitReadHost(emission, { clock: driftingHostClock(emission, clock), failed: leave });
	const outOfLine = emitDrift(emission, { isTai, again });
	assembler.xor(ecx, ecx);
	assembler.bind(leave);
	assembler.add(rsp, WORD);
	assembler.cfaOffset(WORD);
	assembler.ret();
	assembler.cfaOffset(2 * WORD);
	assembler.bind(again);
	assembler.mov(ecx, -1);
	assembler.jmp(leave);
	outOfLine();
	hostOutOfLine();
};
