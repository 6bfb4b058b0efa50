/**
 * Records in the rings, written by 32-bit code: those of ../../observer/records.ts. The stack in a sample is in words of 4 bytes; all other
 * fields are as wide as there.
 */
import { type Anchor, anchored, type Label, memory } from "../../../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi, esp } from "../../../asm/registers.ts";
import { RECORD, RING, SAMPLE, TRACED } from "../../../observation/layout.ts";
import { PAGE_SIZE } from "../../../vvar/layout.ts";
import type { Observed } from "../../observer/places.ts";
import { STACK_SHIFT } from "../../observer/records.ts";
import { emitAnchor, emitPopAll, emitPushAll, labelsOf, WORD } from "../emission.ts";
import { CALLERS_REGISTERS } from "./slots.ts";

/** As many bytes of stack as in a sample of a 64-bit program. */
const MAX_WORDS = (SAMPLE.maxWords * 8) / WORD;

/** edi := a record, ecx:ebx := what commits it; eax and edx are lost. Jumps to `lost` when the ring is full. */
const emitPlace = (observed: Observed, anchor: Anchor, lost: Label): void => {
	const { assembler, labels, layout, hasRdpid } = observed;
	const [again, full, placed] = labelsOf(assembler, "again", "full", "placed");
	if (hasRdpid) assembler.rdpid(edx);
	else {
		assembler.mov(edx, esp);
		assembler.shr(edx, STACK_SHIFT);
	}
	assembler.and(edx, layout.rings - 1);
	assembler.imul(edx, edx, layout.ringSize);
	assembler.lea(edi, anchored(anchor, labels.file, layout.ringsOffset));
	assembler.add(edi, edx);
	assembler.mov(eax, memory(edi, RING.taken));
	assembler.mov(edx, memory(edi, RING.taken + WORD));
	assembler.bind(again);
	// No more than the ring holds, so the lower halves tell.
	assembler.mov(ecx, eax);
	assembler.sub(ecx, memory(edi, RING.done));
	assembler.cmp(ecx, layout.records);
	assembler.jcc("ae", full);
	assembler.mov(ebx, eax);
	assembler.mov(ecx, edx);
	assembler.add(ebx, 1);
	assembler.adc(ecx, 0);
	assembler.lock();
	assembler.cmpxchg8b(memory(edi, RING.taken));
	assembler.jcc("nz", again);
	assembler.jmp(placed);
	assembler.bind(full);
	assembler.lock();
	assembler.add(memory(edi, RING.lost), 1, 32);
	assembler.jcc("ae", lost);
	assembler.lock();
	assembler.add(memory(edi, RING.lost + WORD), 1, 32);
	assembler.jmp(lost);
	assembler.bind(placed);
	assembler.and(eax, layout.records - 1);
	assembler.shl(eax, Math.log2(layout.recordSize));
	assembler.add(edi, eax);
	assembler.add(edi, RING.records);
};

/** What both kinds of records have. eax and edx are lost. */
const emitCounterAndKey = ({ assembler, labels }: Observed): void => {
	assembler.rdtsc();
	assembler.mov(memory(edi, RECORD.counter), eax);
	assembler.mov(memory(edi, RECORD.counter + WORD), edx);
	assembler.call(labels.takeKey);
	assembler.mov(memory(edi, RECORD.key), 0, 32);
	assembler.mov(memory(edi, RECORD.key + WORD), eax);
};

/** The reader never takes halves of two numbers for one: those of a place differ in their lower half, which is stored last. */
const emitCommit = ({ assembler }: Observed): void => {
	assembler.mov(memory(edi, RECORD.commit + WORD), ecx);
	assembler.mov(memory(edi, RECORD.commit), ebx);
};

/** In the order in which they are pushed. */
const SAVED = [edx, eax, ecx, ebx, esi, edi, ebp] as const;
const saved = (register: (typeof SAVED)[number]) => memory(esp, (SAVED.length - 1 - SAVED.indexOf(register)) * WORD);

/**
 * An internal function: records a caller, as there, while emitFindSlot looks for its slot. edx is the stack pointer, eax the number of the
 * call. Keeps every register.
 */
export const emitSample = (observed: Observed): void => {
	const { assembler } = observed;
	const [lost, more, fits] = labelsOf(assembler, "lost", "more", "fits");
	emitPushAll(assembler, SAVED);
	const anchor = emitAnchor(assembler, ebp, (SAVED.length + 1) * WORD);
	emitPlace(observed, anchor, lost);
	emitCounterAndKey(observed);
	assembler.mov(eax, saved(eax));
	assembler.mov(memory(edi, RECORD.call), eax);
	assembler.mov(esi, saved(edx));
	assembler.xor(edx, edx);
	assembler.mov(eax, memory(esi, CALLERS_REGISTERS.ebp));
	assembler.mov(memory(edi, SAMPLE.rbp), eax);
	assembler.mov(memory(edi, SAMPLE.rbp + WORD), edx);
	assembler.mov(eax, memory(esi, CALLERS_REGISTERS.ebx));
	assembler.mov(memory(edi, SAMPLE.rbx), eax);
	assembler.mov(memory(edi, SAMPLE.rbx + WORD), edx);
	assembler.mov(memory(edi, SAMPLE.stackPointer), esi);
	assembler.mov(memory(edi, SAMPLE.stackPointer + WORD), edx);
	assembler.mov(eax, esi);
	assembler.or(eax, -PAGE_SIZE);
	assembler.unary("neg", eax);
	assembler.shr(eax, Math.log2(WORD));
	assembler.mov(edx, MAX_WORDS);
	assembler.cmp(eax, edx);
	assembler.jcc("b", fits);
	assembler.mov(eax, edx);
	assembler.bind(fits);
	assembler.mov(memory(edi, SAMPLE.words), eax);
	assembler.mov(ebp, edi);
	assembler.bind(more);
	assembler.mov(edx, memory(esi));
	assembler.mov(memory(ebp, SAMPLE.stack), edx);
	assembler.add(esi, WORD);
	assembler.add(ebp, WORD);
	assembler.sub(eax, 1);
	assembler.jcc("a", more);
	emitCommit(observed);
	assembler.bind(lost);
	emitPopAll(assembler, SAVED);
	assembler.ret();
};

/** What emitRecord is called with, on the stack, from its return address on. */
export const RECORDED: Readonly<Record<"first" | "second" | "arguments" | "result" | "returnAddress", number>> = {
	/** The words that the call has stored, 64 bits each. */
	first: WORD,
	second: 3 * WORD,
	/** Three of them. */
	arguments: 5 * WORD,
	/** 64 bits. */
	result: 8 * WORD,
	returnAddress: 10 * WORD,
};

/** What is kept for the function that calls emitRecord. */
const KEPT = [ebx, esi, edi, ebp] as const;

/** Selectors of the segments in which the kernel keeps the threads of 32-bit programs apart: GDT_ENTRY_TLS_MIN, arch/x86/include/asm/segment.h. */
const TLS_SELECTORS = { first: 0x63, count: 3 } as const;
const SELECTOR_STEP = 8;

/**
 * eax := the word at GS:0, where the C libraries keep the address of the segment itself; 0 when GS is of another kind, or ends anywhere. edx
 * is lost.
 */
const emitThread = ({ assembler }: Observed): void => {
	const [none, done] = labelsOf(assembler, "no thread", "done");
	assembler.movGs(eax);
	assembler.sub(eax, TLS_SELECTORS.first);
	assembler.cmp(eax, (TLS_SELECTORS.count - 1) * SELECTOR_STEP);
	assembler.jcc("a", none);
	assembler.add(eax, TLS_SELECTORS.first);
	assembler.lsl(edx, eax);
	assembler.jcc("nz", none);
	assembler.cmp(edx, -1);
	assembler.jcc("nz", none);
	assembler.xor(edx, edx);
	assembler.movFromGs(eax, memory(edx));
	assembler.jmp(done);
	assembler.bind(none);
	assembler.xor(eax, eax);
	assembler.bind(done);
};

/** An internal function: records the call with the number in eax, and what stands on the stack as RECORDED. eax, ecx and edx are lost. */
export const emitRecord = (observed: Observed): void => {
	const { assembler } = observed;
	const lost = assembler.label("lost");
	const pushed = [...KEPT, eax];
	const given = (field: number) => memory(esp, pushed.length * WORD + field);
	const copy = (field: number, from: number, words: number): void => {
		for (let word = 0; word < words; word++) {
			assembler.mov(eax, given(from + word * WORD));
			assembler.mov(memory(edi, field + word * WORD), eax);
		}
		if (words === 1) assembler.mov(memory(edi, field + WORD), 0, 32);
	};
	emitPushAll(assembler, pushed);
	const anchor = emitAnchor(assembler, ebp, (pushed.length + 1) * WORD);
	emitPlace(observed, anchor, lost);
	emitCounterAndKey(observed);
	emitThread(observed);
	assembler.mov(memory(edi, TRACED.thread), eax);
	assembler.mov(memory(edi, TRACED.thread + WORD), 0, 32);
	copy(TRACED.returnAddress, RECORDED.returnAddress, 1);
	[TRACED.argument0, TRACED.argument1, TRACED.argument2].forEach((field, index) =>
		copy(field, RECORDED.arguments + index * WORD, 1),
	);
	copy(TRACED.result, RECORDED.result, 2);
	copy(TRACED.first, RECORDED.first, 2);
	copy(TRACED.second, RECORDED.second, 2);
	assembler.mov(eax, memory(esp));
	assembler.mov(memory(edi, RECORD.call), eax);
	emitCommit(observed);
	assembler.bind(lost);
	emitPopAll(assembler, pushed);
	assembler.ret();
};
