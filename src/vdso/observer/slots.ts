/**
 * Counting: where the slot of a call is, and the addition.
 *
 * In the straight line that is ten instructions in front of a function, none of which the processor waits for. Scratch are rax, r10
 * and r11 alone, which hold no argument of any function, and the flags.
 */
import type { Assembler } from "../../asm/assembler.ts";
import { type BasedMemory, indexed, type Label, memory, ripRelative } from "../../asm/operands.ts";
import { eax, ecx, edi, r10, r10d, r11, r11d, rax, rcx, rdx, rsp } from "../../asm/registers.ts";
import { CLOCK_IDS } from "../../observation/calls.ts";
import * as observation from "../../observation/layout.ts";
import { inFile, type Observed } from "./places.ts";

const WORD = 8;

/** The counter of one call; or that of the clock id in edi, from `base` on. */
export type Counter = { readonly call: number } | { readonly base: number };

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

/** r11 := where the slot of the tag in r10 is looked for first. rax is lost. */
const emitHome = (observed: Observed): void => {
	const { assembler, layout } = observed;
	assembler.mov(r11d, r10d);
	assembler.and(r11d, observation.SLOTS - 1);
	assembler.shl(r11, Math.log2(observation.SLOT.size));
	assembler.lea(rax, inFile(observed, layout.slotsOffset));
	assembler.add(r11, rax);
};

/**
 * Counts a call, where the function is entered or, in an entry of the page, behind `frame` bytes from the stack pointer to the
 * caller's.
 *
 * @returns what emits the rest, out of line
 */
export const emitCount = (observed: Observed, counter: Counter, frame: number = WORD): (() => void) => {
	const { assembler, labels } = observed;
	const label = (name: string): Label => assembler.label(name);
	const [elsewhere, found, sample, add, counted] = [
		label("elsewhere"),
		label("found"),
		label("sample"),
		label("add"),
		label("counted"),
	];
	const place = counterPlace(counter);
	assembler.mov(r10, rsp);
	assembler.shr(r10, observation.STACK_SHIFT);
	assembler.add(r10, ripRelative(labels.keyPage));
	emitHome(observed);
	assembler.cmp(r10, memory(r11, observation.SLOT.tag));
	assembler.jcc("nz", elsewhere);
	assembler.bind(found);
	emitClock(assembler, counter);
	assembler.test(place, observation.SAMPLE_PERIOD - 1, 32);
	assembler.jcc("z", sample);
	assembler.bind(add);
	assembler.add(place, 1, 64);
	assembler.bind(counted);
	return () => {
		assembler.cfaOffset(frame);
		assembler.bind(elsewhere);
		assembler.call(labels.findSlot);
		assembler.jcc("ae", found);
		// Others count there too.
		emitClock(assembler, counter);
		assembler.lock();
		assembler.add(place, 1, 64);
		assembler.jmp(counted);

		assembler.bind(sample);
		if ("call" in counter) assembler.mov(eax, counter.call);
		else assembler.add(eax, counter.base);
		assembler.call(labels.sample);
		if ("base" in counter) assembler.sub(eax, counter.base);
		assembler.jmp(add);
	};
};

/**
 * An internal function: r11 := the slot of the tag in r10, taken now when it is new; carry when none is left, and r11 is the overflow
 * slot. rax is lost.
 */
export const emitFindSlot = (observed: Observed): void => {
	const { assembler, labels, layout } = observed;
	const [hasKey, look, next, found, full, leave] = ["has key", "look", "next", "found", "full", "leave"].map((name) =>
		assembler.label(name),
	) as [Label, Label, Label, Label, Label, Label];
	const last = layout.slotsOffset + (observation.SLOTS - 1) * observation.SLOT.size;
	assembler.push(rcx);
	assembler.cfaOffset(2 * WORD);
	assembler.push(rdx);
	assembler.cfaOffset(3 * WORD);
	assembler.mov(rax, r10);
	assembler.shr(rax, observation.SERIAL_SHIFT);
	assembler.jcc("nz", hasKey);
	assembler.call(labels.takeKey);
	assembler.add(r10, rax);
	emitHome(observed);
	assembler.bind(hasKey);
	assembler.mov(ecx, observation.PROBES);
	assembler.lea(rdx, inFile(observed, last));
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
	assembler.bind(found);
	assembler.test(r11, r11);
	assembler.jmp(leave);

	assembler.bind(next);
	assembler.sub(ecx, 1);
	assembler.jcc("z", full);
	assembler.add(r11, observation.SLOT.size);
	assembler.cmp(r11, rdx);
	assembler.jcc("be", look);
	assembler.sub(r11, observation.SLOTS * observation.SLOT.size);
	assembler.jmp(look);
	assembler.bind(full);
	assembler.lea(r11, inFile(observed, layout.overflowOffset));
	assembler.cmp(ecx, 1);
	assembler.bind(leave);
	assembler.pop(rdx);
	assembler.cfaOffset(2 * WORD);
	assembler.pop(rcx);
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
	assembler.imul(rcx, rax, observation.KEY_SPREAD);
	assembler.shl(rax, observation.SERIAL_SHIFT);
	assembler.add(rcx, rax);
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
