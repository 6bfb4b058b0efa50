/**
 * Counting: where the slot of a call is, and the addition.
 *
 * In the straight line that is ten instructions in front of a function. Scratch are rax, r10 and r11 alone, which hold no argument of
 * any function, and the flags.
 */
import type { Assembler } from "../../asm/assembler.ts";
import { type BasedMemory, indexed, type Label, memory, ripRelative } from "../../asm/operands.ts";
import { eax, ecx, edi, esp, r10, r11, r11d, rax, rcx, rdx, rsp } from "../../asm/registers.ts";
import { CLOCK_IDS } from "../../observation/calls.ts";
import * as observation from "../../observation/layout.ts";
import { inFile, type Observed } from "./places.ts";

const WORD = 8;

/** The counter of one call; or that of the clock id in edi, from `base` on. */
export type Counter = { readonly call: number } | { readonly base: number };

/** Looks for the slot of a counter, whose clock's part is in eax: to `found` when it is this thread's, on when others count there too. */
export const emitSeek = ({ assembler, labels }: Observed, counter: Counter, found: Label): void => {
	if ("call" in counter) assembler.mov(eax, counter.call);
	else assembler.add(eax, counter.base);
	assembler.call(labels.findSlot);
	assembler.jcc("ae", found);
};

const counterPlace = (counter: Counter): BasedMemory =>
	"call" in counter
		? memory(r11, observation.SLOT.counters + counter.call * WORD)
		: indexed({ base: r11, index: rax, scale: WORD, displacement: observation.SLOT.counters + counter.base * WORD });

/** eax := the clock id in edi, or CLOCK_IDS for those without a counter of their own. */
const emitClock = (assembler: Assembler, counter: Counter): void => {
	if ("call" in counter) return;
	assembler.mov(eax, CLOCK_IDS);
	assembler.cmp(edi, CLOCK_IDS);
	assembler.cmov("b", eax, edi);
};

/**
 * Counts a call, where the function is entered or, in an entry of the page, behind `frame` bytes from the stack pointer to the
 * caller's.
 *
 * @returns what emits the rest, out of line
 */
export const emitCount = (observed: Observed, counter: Counter, frame: number = WORD): (() => void) => {
	const { assembler, labels } = observed;
	const [elsewhere, found, counted] = [
		assembler.label("elsewhere"),
		assembler.label("found"),
		assembler.label("counted"),
	];
	const place = counterPlace(counter);
	assembler.mov(r11d, esp);
	assembler.and(r11d, (observation.HOMES - 1) * observation.SLOT.size);
	assembler.add(r11, ripRelative(labels.homePage));
	assembler.mov(r10, ripRelative(labels.keyPage));
	assembler.add(r10, rsp);
	assembler.shr(r10, observation.STACK_SHIFT);
	assembler.cmp(r10, memory(r11, observation.SLOT.tag));
	assembler.jcc("nz", elsewhere);
	assembler.bind(found);
	emitClock(assembler, counter);
	assembler.add(place, 1, 64);
	assembler.bind(counted);
	return () => {
		assembler.cfaOffset(frame);
		assembler.bind(elsewhere);
		emitClock(assembler, counter);
		emitSeek(observed, counter, found);
		// Others count there too.
		emitClock(assembler, counter);
		assembler.lock();
		assembler.add(place, 1, 64);
		assembler.jmp(counted);
	};
};

/** The mark of an armed slot in the upper half of its tag. */
export const ARMED_HIGH: number = Number(observation.ARMED >> 32n);

/** The second sample of a slot is one of its first calls, drawn by lot: by the low bits of the counter. */
export const FIRST_SKIPS_MASK = 63;

/** Where emitFindSlot keeps what it was called with, from rsp. */
const SAVED = { rdx: 0, rcx: 8, call: 16, callersStack: 32 } as const;

/** Jumps to `sample` when the slot at r11 was armed for the tag in r10, and its turn has come; to `found` when it has not yet. */
const emitIfArmed = ({ assembler }: Observed, { found, sample }: Readonly<Record<"found" | "sample", Label>>): void => {
	const notArmed = assembler.label("not armed");
	assembler.mov(rax, memory(r11, observation.SLOT.tag));
	assembler.shl(rax, 1);
	assembler.jcc("ae", notArmed);
	assembler.shr(rax, 1);
	assembler.cmp(rax, r10);
	assembler.jcc("nz", notArmed);
	assembler.sub(memory(r11, observation.SLOT.skips), 1, 32);
	assembler.jcc("ns", found);
	assembler.mov(memory(r11, observation.SLOT.tag), r10);
	assembler.jmp(sample);
	assembler.bind(notArmed);
};

/**
 * An internal function: r11 := the slot of the tag in r10, taken now when it is new; carry when none is left, and r11 is the overflow
 * slot. eax is the number of the call; rax is lost.
 *
 * The first call of a slot is sampled, and another soon behind it.
 */
export const emitFindSlot = (observed: Observed): void => {
	const { assembler, labels, layout } = observed;
	const [hasKey, look, next, sample, found, full, leave] = [
		"has key",
		"look",
		"next",
		"sample",
		"found",
		"full",
		"leave",
	].map((name) => assembler.label(name)) as [Label, Label, Label, Label, Label, Label, Label];
	[rax, rcx, rdx].forEach((register, index) => {
		assembler.push(register);
		assembler.cfaOffset((index + 2) * WORD);
	});
	assembler.mov(rax, r10);
	assembler.shr(rax, observation.SERIAL_SHIFT - observation.STACK_SHIFT);
	assembler.jcc("nz", hasKey);
	assembler.call(labels.takeKey);
	assembler.shr(rax, observation.STACK_SHIFT);
	assembler.add(r10, rax);
	assembler.bind(hasKey);
	assembler.mov(ecx, observation.PROBES);
	assembler.bind(look);
	assembler.mov(rax, memory(r11, observation.SLOT.tag));
	assembler.cmp(rax, r10);
	assembler.jcc("z", found);
	assembler.test(rax, rax);
	assembler.jcc("nz", next);
	assembler.lock();
	assembler.cmpxchg(memory(r11, observation.SLOT.tag), r10);
	assembler.jcc("nz", look);
	assembler.lock();
	assembler.add(inFile(observed, observation.HEADER.taken), 1, 64);
	assembler.rdtsc();
	assembler.and(eax, FIRST_SKIPS_MASK);
	assembler.mov(memory(r11, observation.SLOT.skips), eax);
	assembler.lock();
	assembler.or(memory(r11, observation.SLOT.tag + 4), ARMED_HIGH, 32);
	assembler.bind(sample);
	assembler.lea(rdx, memory(rsp, SAVED.callersStack));
	assembler.mov(eax, memory(rsp, SAVED.call));
	assembler.call(labels.sample);
	assembler.bind(found);
	assembler.test(r11, r11);
	assembler.jmp(leave);

	assembler.bind(next);
	emitIfArmed(observed, { found, sample });
	assembler.sub(ecx, 1);
	assembler.jcc("z", full);
	assembler.add(r11, observation.SLOT.size);
	assembler.jmp(look);
	assembler.bind(full);
	assembler.lea(r11, inFile(observed, layout.overflowOffset));
	assembler.cmp(ecx, 1);
	assembler.bind(leave);
	assembler.pop(rdx);
	assembler.cfaOffset(3 * WORD);
	assembler.pop(rcx);
	assembler.cfaOffset(2 * WORD);
	assembler.pop(rax);
	assembler.cfaOffset(WORD);
	assembler.ret();
};

/** An internal function: rax := the key of the process, taken now where it has none. Keeps every other register. */
export const emitTakeKey = (observed: Observed): void => {
	const { assembler, labels } = observed;
	const done = assembler.label("done");
	assembler.mov(rax, ripRelative(labels.keyPage));
	assembler.test(rax, rax);
	assembler.jcc("nz", done);
	assembler.push(rcx);
	assembler.cfaOffset(2 * WORD);
	assembler.mov(eax, 1);
	assembler.lock();
	assembler.xadd(inFile(observed, observation.HEADER.selfSerials), rax);
	assembler.and(eax, observation.FIRST_SELF_SERIAL - 1);
	assembler.add(eax, observation.FIRST_SELF_SERIAL);
	assembler.shl(rax, observation.SERIAL_SHIFT);
	assembler.mov(rcx, rax);
	assembler.xor(eax, eax);
	// A handler of a signal, or the supervisor, can have been faster.
	assembler.lock();
	assembler.cmpxchg(ripRelative(labels.keyPage), rcx);
	assembler.mov(rax, ripRelative(labels.keyPage));
	assembler.pop(rcx);
	assembler.cfaOffset(WORD);
	assembler.bind(done);
	assembler.ret();
};
