/**
 * A wall that goes faster or slower than the host's clock: v + d + (d * rate >> 40), d being the time since the anchor.
 *
 * 32-bit code computes it as it stands, in nanoseconds of 96 bits: d by two products, d * rate by six, and the seconds and nanoseconds of
 * the sum by two divisions. Everything is two's complement; the shift is one by a word and by a byte.
 */
import { type Label, memory } from "../../asm/operands.ts";
import { eax, ebx, ecx, edi, edx, esi, esp } from "../../asm/registers.ts";
import * as layout from "../../vvar/layout.ts";
import { CLOCK_TAI, type WallClockId } from "../host.ts";
import { driftingHostClock } from "../host-clock.ts";
import { type Emission, emitAnchor, labelsOf, pageField, slotField, WORD } from "./emission.ts";
import { emitReadHost } from "./host-clock.ts";
import { NANOSECONDS_PER_SECOND } from "../wall-word.ts";

/** The scratch word of a read of the host; then d and v (three words each), the rate (two), d * rate without its lowest word; the pushes. */
const FRAME = { elapsed: 4, wall: 16, rate: 28, product: 36, pushes: 52, size: 56 } as const;

const local = (place: number, word = 0) => memory(esp, place + word * WORD);

/** Seconds that make every sum positive, so that it can be divided without a sign: 2^62. Their nanoseconds, in the highest of three words. */
const BIAS_SECONDS_HIGH = 2 ** 30;
const BIAS_HIGH = NANOSECONDS_PER_SECOND / 4;

/** The three words at `place` := edi:esi seconds and ecx:eax nanoseconds, of which ecx is 0 or -1. eax, ecx, edx, edi and esi are lost. */
const emitNanoseconds = ({ assembler }: Emission, place: number): void => {
	assembler.mov(local(place), eax);
	assembler.mov(local(place, 1), ecx);
	assembler.mov(ecx, NANOSECONDS_PER_SECOND);
	assembler.mov(eax, esi);
	assembler.unary("mul", ecx);
	assembler.mov(local(place, 2), eax);
	assembler.mov(esi, edx);
	assembler.mov(eax, edi);
	assembler.unary("imul", ecx);
	assembler.add(esi, eax);
	assembler.adc(edx, 0);
	assembler.mov(eax, local(place, 2));
	assembler.mov(ecx, local(place, 1));
	assembler.add(local(place), eax);
	assembler.adc(esi, ecx);
	assembler.adc(edx, ecx);
	assembler.mov(local(place, 1), esi);
	assembler.mov(local(place, 2), edx);
};

/** Words of d * rate. The lowest is never needed: only what it hands on. */
const PRODUCT_WORDS = 5;
const product = (word: number) => local(FRAME.product, word - 1);

const emitProduct = ({ assembler }: Emission): void => {
	const addPartial = (left: number, right: number): void => {
		const word = left + right;
		assembler.mov(eax, local(FRAME.elapsed, left));
		assembler.unary("mul", local(FRAME.rate, right), 32);
		assembler.add(product(word), eax);
		for (let carried = word + 1; carried < PRODUCT_WORDS; carried++)
			assembler.adc(product(carried), carried === word + 1 ? edx : 0, 32);
	};
	assembler.mov(eax, local(FRAME.elapsed));
	assembler.unary("mul", local(FRAME.rate), 32);
	assembler.mov(product(1), edx);
	for (let word = 2; word < PRODUCT_WORDS; word++) assembler.mov(product(word), 0, 32);
	for (const [left, right] of [
		[1, 0],
		[0, 1],
		[2, 0],
		[1, 1],
		[2, 1],
	] as const)
		addPartial(left, right);
	emitSign(assembler, local(FRAME.elapsed, 2), [local(FRAME.rate), local(FRAME.rate, 1)]);
	const elapsed = [0, 1, 2].map((word) => local(FRAME.elapsed, word));
	emitSign(assembler, local(FRAME.rate, 1), elapsed);
};

/** A factor whose highest word is `high` was taken for unsigned: when it is negative, the other one is too much in the highest words. */
const emitSign = (
	assembler: Emission["assembler"],
	high: ReturnType<typeof local>,
	other: readonly ReturnType<typeof local>[],
): void => {
	const positive = assembler.label("positive");
	assembler.cmp(high, 0, 32);
	assembler.jcc("ns", positive);
	other.forEach((word, index) => {
		assembler.mov(eax, word);
		const place = product(PRODUCT_WORDS - other.length + index);
		if (index === 0) assembler.sub(place, eax);
		else assembler.sbb(place, eax);
	});
	assembler.bind(positive);
};

/** edx:ecx:eax := d * rate >> 40. */
const emitGain = ({ assembler }: Emission): void => {
	const rest = layout.RATE_SHIFT - 8 * WORD;
	assembler.mov(eax, product(1));
	assembler.mov(ecx, product(2));
	assembler.mov(edx, product(3));
	assembler.mov(esi, product(4));
	assembler.shrd(eax, ecx, rest);
	assembler.shrd(ecx, edx, rest);
	assembler.shrd(edx, esi, rest);
};

/** edi:esi, eax := the seconds and nanoseconds of the sum edx:ecx:eax. */
const emitDivide = ({ assembler }: Emission): void => {
	const inRange = assembler.label("in range");
	assembler.mov(esi, eax);
	assembler.mov(eax, ecx);
	assembler.mov(ecx, NANOSECONDS_PER_SECOND);
	assembler.add(edx, BIAS_HIGH);
	// Only the slot of a damaged page leads beyond it, where a division would end the program.
	assembler.cmp(edx, ecx);
	assembler.jcc("b", inRange);
	assembler.xor(edx, edx);
	assembler.bind(inRange);
	assembler.unary("div", ecx);
	assembler.mov(edi, eax);
	assembler.mov(eax, esi);
	assembler.unary("div", ecx);
	assembler.mov(esi, eax);
	assembler.mov(eax, edx);
	assembler.sub(edi, BIAS_SECONDS_HIGH);
};

/** Copies what is needed of the slot in ebp; jumps to `again` when it may have changed. */
const emitCopySlot = (
	emission: Emission,
	{ isTai, again }: { readonly isTai: boolean; readonly again: Label },
): void => {
	const { assembler } = emission;
	assembler.mov(esi, slotField("seconds"));
	assembler.mov(edi, slotField("seconds", "high"));
	if (isTai) {
		assembler.add(esi, slotField("taiSeconds"));
		assembler.adc(edi, slotField("taiSeconds", "high"));
	}
	assembler.mov(eax, slotField("nanoseconds"));
	assembler.xor(ecx, ecx);
	emitNanoseconds(emission, FRAME.wall);
	for (const [word, half] of (["low", "high"] as const).entries()) {
		assembler.mov(eax, slotField("rate", half));
		assembler.mov(local(FRAME.rate, word), eax);
	}
	const anchor = emitAnchor(assembler, ebx, FRAME.size + WORD);
	assembler.mov(eax, local(FRAME.pushes));
	assembler.cmp(eax, pageField(emission, anchor, layout.PAGE.pushes));
	assembler.jcc("nz", again);
};

/**
 * The internal function of a drifting wall: ebp is the address of the slot, ecx the pushes. ecx := 0 when edi:esi and eax are the time,
 * 1 when eax is an error of the host's, -1 when the slot has changed. Every other register is lost.
 */
export const emitDrifting = (emission: Emission, clock: WallClockId): void => {
	const { assembler } = emission;
	const [begin, again, failed, leave] = labelsOf(assembler, "begin", "again", "failed", "leave");
	const isTai = clock === CLOCK_TAI;
	assembler.sub(esp, FRAME.size);
	assembler.cfaOffset(FRAME.size + WORD);
	assembler.mov(local(FRAME.pushes), ecx);
	assembler.bind(begin);
	const anchor = emitAnchor(assembler, ebx, FRAME.size + WORD);
	const hostClock = driftingHostClock(emission, clock);
	const hostOutOfLine = emitReadHost(emission, anchor, { clock: hostClock, hasOffset: false, failed, again: begin });
	assembler.sub(esi, slotField("anchorSeconds"));
	assembler.sbb(edi, slotField("anchorSeconds", "high"));
	assembler.xor(ecx, ecx);
	assembler.sub(eax, slotField("anchorNanoseconds"));
	assembler.sbb(ecx, 0);
	emitNanoseconds(emission, FRAME.elapsed);
	emitCopySlot(emission, { isTai, again });
	emitProduct(emission);
	emitGain(emission);
	for (const place of [FRAME.elapsed, FRAME.wall]) {
		assembler.add(eax, local(place));
		assembler.adc(ecx, local(place, 1));
		assembler.adc(edx, local(place, 2));
	}
	emitDivide(emission);
	assembler.xor(ecx, ecx);
	assembler.bind(leave);
	assembler.add(esp, FRAME.size);
	assembler.cfaOffset(WORD);
	assembler.ret();

	assembler.cfaOffset(FRAME.size + WORD);
	assembler.bind(failed);
	assembler.mov(ecx, 1);
	assembler.jmp(leave);
	assembler.bind(again);
	assembler.mov(ecx, -1);
	assembler.jmp(leave);
	hostOutOfLine();
};
