/**
 * Counting in 32-bit code: ../../observer/slots.ts in halves. The tag's lower half is of the stack pointer alone, its upper half of the
 * key, whose own lower half is 0.
 *
 * A counter is added to in its lower half. A carry goes to the upper half by an instruction of its own: the flags belong to the thread, so
 * a signal handler that counts in between loses nothing. The reader sees a carry under way once in 2^32 calls, and only while they are made.
 */
import type { Assembler } from "../../../asm/assembler.ts";
import {
	type Anchor,
	anchored,
	type AnchoredMemory,
	type BasedMemory,
	indexed,
	type Label,
	memory,
} from "../../../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi, esp } from "../../../asm/registers.ts";
import { CLOCK_IDS } from "../../../observation/calls.ts";
import * as observation from "../../../observation/layout.ts";
import type { Observed } from "../../observer/places.ts";
import { ARMED_HIGH, type Counter, emitSeek, FIRST_SKIPS_MASK } from "../../observer/slots.ts";
import { argumentAtEntry, emitAnchor, emitOutsideFrame, emitPopAll, emitPushAll, labelsOf, WORD } from "../emission.ts";

const { SLOT, STACK_SHIFT } = observation;
const TAG_HIGH = SLOT.tag + WORD;
/** The bits of the key that are in its upper half. */
const SERIAL_SHIFT = observation.SERIAL_SHIFT - 8 * WORD;

/** The counter in the slot at edx: of one call, or, with that in eax, of a clock id. */
const counterPlace = (counter: Counter, half: "low" | "high" = "low"): BasedMemory => {
	const start = SLOT.counters + (half === "high" ? WORD : 0);
	if ("call" in counter) return memory(edx, start + counter.call * 8);
	return indexed({ base: edx, index: eax, scale: 8, displacement: start + counter.base * 8 });
};

/** eax := the clock id that is the first argument, or CLOCK_IDS for those without a counter of their own. ecx is lost. */
const emitClock = (assembler: Assembler, counter: Counter): void => {
	if ("call" in counter) return;
	assembler.mov(ecx, argumentAtEntry(0));
	assembler.mov(eax, CLOCK_IDS);
	assembler.cmp(ecx, CLOCK_IDS);
	assembler.cmov("b", eax, ecx);
};

/** The upper half of the process's key. */
export const keyField = ({ labels }: Observed, anchor: Anchor): AnchoredMemory =>
	anchored(anchor, labels.keyPage, WORD);

/**
 * Counts a call, where the function is entered. eax, ecx and edx are lost.
 *
 * @returns what emits the rest, out of line and outside of the frame
 */
export const emitCount = (observed: Observed, counter: Counter): (() => void) => {
	const { assembler, labels } = observed;
	const [elsewhere, found, carry, counted] = labelsOf(assembler, "elsewhere", "found", "carry", "counted");
	const [low, high] = [counterPlace(counter), counterPlace(counter, "high")];
	const anchor = emitAnchor(assembler, ecx, WORD);
	assembler.mov(edx, esp);
	assembler.mov(eax, esp);
	assembler.and(edx, (observation.HOMES - 1) * SLOT.size);
	assembler.add(edx, anchored(anchor, labels.homePage));
	assembler.shr(eax, STACK_SHIFT);
	assembler.cmp(eax, memory(edx, SLOT.tag));
	assembler.jcc("nz", elsewhere);
	assembler.mov(eax, keyField(observed, anchor));
	assembler.shr(eax, STACK_SHIFT);
	assembler.cmp(eax, memory(edx, TAG_HIGH));
	assembler.jcc("nz", elsewhere);
	assembler.bind(found);
	emitClock(assembler, counter);
	assembler.add(low, 1, 32);
	assembler.jcc("b", carry);
	assembler.bind(counted);
	return () => {
		emitOutsideFrame(assembler);
		assembler.bind(carry);
		assembler.add(high, 1, 32);
		assembler.jmp(counted);
		assembler.bind(elsewhere);
		emitClock(assembler, counter);
		emitSeek(observed, counter, found);
		// Others count there too.
		emitClock(assembler, counter);
		assembler.lock();
		assembler.add(low, 1, 32);
		assembler.jcc("ae", counted);
		assembler.lock();
		assembler.add(high, 1, 32);
		assembler.jmp(counted);
	};
};

/** What emitFindSlot keeps, in the order in which it is pushed. */
const SAVED = [eax, ebx, esi, edi, ebp] as const;
/** From esp: the number of the call, and the stack of the function that was called. */
const CALL_NUMBER = (SAVED.length - 1) * WORD;
const CALLERS_STACK = (SAVED.length + 1) * WORD;

/** Where the caller's registers are while a slot is looked for, from that stack pointer. */
export const CALLERS_REGISTERS: Readonly<Record<"ebx" | "ebp", number>> = {
	ebx: -(SAVED.indexOf(ebx) + 2) * WORD,
	ebp: -(SAVED.indexOf(ebp) + 2) * WORD,
};

/** Jumps to `sample` when the slot at edi, whose tag is in edx:eax, was armed for that in ecx:ebx and its turn has come; else to `found`. */
const emitIfArmed = ({ assembler }: Observed, { found, sample }: Readonly<Record<"found" | "sample", Label>>): void => {
	const notArmed = assembler.label("not armed");
	assembler.cmp(eax, ebx);
	assembler.jcc("nz", notArmed);
	assembler.xor(edx, ARMED_HIGH);
	assembler.cmp(edx, ecx);
	assembler.jcc("nz", notArmed);
	assembler.sub(memory(edi, SLOT.skips), 1, 32);
	assembler.jcc("ns", found);
	assembler.mov(memory(edi, TAG_HIGH), ecx);
	assembler.jmp(sample);
	assembler.bind(notArmed);
};

/** Takes the empty slot at edi for the tag in ecx:ebx, and arms it; jumps to `look` when it is not empty any more. */
const emitTakeSlot = ({ assembler, labels }: Observed, anchor: Anchor, look: Label): void => {
	const taken = (half: number) => anchored(anchor, labels.file, observation.HEADER.taken + half);
	assembler.lock();
	assembler.cmpxchg8b(memory(edi, SLOT.tag));
	assembler.jcc("nz", look);
	assembler.lock();
	assembler.add(taken(0), 1, 32);
	assembler.lock();
	assembler.adc(taken(WORD), 0, 32);
	assembler.rdtsc();
	assembler.and(eax, FIRST_SKIPS_MASK);
	assembler.mov(memory(edi, SLOT.skips), eax);
	assembler.lock();
	assembler.or(memory(edi, TAG_HIGH), ARMED_HIGH, 32);
};

/**
 * An internal function: edx, where to begin, := the slot of the function that was called, taken now when it is new; carry when none is
 * left, and edx is the overflow slot. eax is the number of the call; ecx is lost.
 */
export const emitFindSlot = (observed: Observed): void => {
	const { assembler, labels, layout } = observed;
	const [hasKey, look, next, found, full, leave] = labelsOf(
		assembler,
		"has key",
		"look",
		"next",
		"found",
		"full",
		"leave",
	);
	const sample = assembler.label("sample");
	emitPushAll(assembler, SAVED);
	const anchor = emitAnchor(assembler, ebp, CALLERS_STACK);
	assembler.mov(edi, edx);
	assembler.lea(ebx, memory(esp, CALLERS_STACK));
	assembler.shr(ebx, STACK_SHIFT);
	assembler.mov(eax, keyField(observed, anchor));
	assembler.test(eax, eax);
	assembler.jcc("nz", hasKey);
	assembler.call(labels.takeKey);
	assembler.bind(hasKey);
	assembler.shr(eax, STACK_SHIFT);
	assembler.mov(ecx, eax);
	assembler.mov(esi, observation.PROBES);
	assembler.bind(look);
	assembler.mov(eax, memory(edi, SLOT.tag));
	assembler.mov(edx, memory(edi, TAG_HIGH));
	assembler.test(eax, eax);
	assembler.jcc("nz", next);
	assembler.test(edx, edx);
	assembler.jcc("nz", next);
	emitTakeSlot(observed, anchor, look);
	assembler.bind(sample);
	assembler.lea(edx, memory(esp, CALLERS_STACK));
	assembler.mov(eax, memory(esp, CALL_NUMBER));
	assembler.call(labels.sample);
	assembler.bind(found);
	assembler.test(edi, edi);
	assembler.jmp(leave);

	assembler.bind(next);
	const other = assembler.label("other");
	assembler.cmp(eax, ebx);
	assembler.jcc("nz", other);
	assembler.cmp(edx, ecx);
	assembler.jcc("z", found);
	assembler.bind(other);
	emitIfArmed(observed, { found, sample });
	assembler.sub(esi, 1);
	assembler.jcc("z", full);
	assembler.add(edi, SLOT.size);
	assembler.jmp(look);
	assembler.bind(full);
	assembler.lea(edi, anchored(anchor, labels.file, layout.overflowOffset));
	assembler.cmp(esi, 1);
	assembler.bind(leave);
	assembler.mov(edx, edi);
	emitPopAll(assembler, SAVED);
	assembler.ret();
};

/** An internal function: eax := the upper half of the process's key, taken now where it has none. Keeps every other register. */
export const emitTakeKey = (observed: Observed): void => {
	const { assembler, labels } = observed;
	const done = assembler.label("done");
	const saved = [ecx, edx];
	emitPushAll(assembler, saved);
	const anchor = emitAnchor(assembler, ecx, (saved.length + 1) * WORD);
	const key = keyField(observed, anchor);
	assembler.mov(eax, key);
	assembler.test(eax, eax);
	assembler.jcc("nz", done);
	assembler.mov(eax, 1);
	assembler.lock();
	assembler.xadd(anchored(anchor, labels.file, observation.HEADER.selfSerials), eax);
	assembler.and(eax, observation.FIRST_SELF_SERIAL - 1);
	assembler.add(eax, observation.FIRST_SELF_SERIAL);
	assembler.shl(eax, SERIAL_SHIFT);
	assembler.mov(edx, eax);
	assembler.xor(eax, eax);
	// A handler of a signal, or the supervisor, can have been faster.
	assembler.lock();
	assembler.cmpxchg(key, edx);
	assembler.mov(eax, key);
	assembler.bind(done);
	emitPopAll(assembler, saved);
	assembler.ret();
};
