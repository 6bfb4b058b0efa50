/**
 * Records in the rings: a sampled caller, and a traced call.
 *
 *     place    taken, by comparing and exchanging, while fewer than all places wait for the reader; otherwise the record is lost,
 *              which is counted
 *     fill     everything but the first word
 *     commit   the first word
 *
 * A thread that is moved to another processor in the middle, or interrupted by a handler that calls, only takes another place.
 */
import { type Label, memory } from "../../asm/operands.ts";
import { eax, ecx, edx, r8, r9, r10, r11, rax, rbp, rbx, rcx, rdi, rdx, rsi, rsp } from "../../asm/registers.ts";
import { RECORD, RING, SAMPLE, TRACED } from "../../observation/layout.ts";
import { PAGE_SIZE } from "../../vvar/layout.ts";
import { inFile, type Observed } from "./places.ts";

const WORD = 8;
/** What tells threads apart where the processor has no RDPID: the kernel places their stacks wide apart. */
export const STACK_SHIFT = 16;

/** r11 := a record, r10 := what commits it; rax, rcx and rdx are lost. Jumps to `lost` when the ring is full. */
const emitPlace = (observed: Observed, lost: Label): void => {
	const { assembler, layout, hasRdpid } = observed;
	const [again, full, placed] = [assembler.label("again"), assembler.label("full"), assembler.label("placed")];
	if (hasRdpid) assembler.rdpid(rdx);
	else {
		assembler.mov(rdx, rsp);
		assembler.shr(rdx, STACK_SHIFT);
	}
	assembler.and(edx, layout.rings - 1);
	assembler.imul(rdx, rdx, layout.ringSize);
	assembler.lea(rax, inFile(observed, layout.ringsOffset));
	assembler.add(rdx, rax);
	assembler.mov(rax, memory(rdx, RING.taken));
	assembler.bind(again);
	assembler.mov(rcx, rax);
	assembler.sub(rcx, memory(rdx, RING.done));
	assembler.cmp(rcx, layout.records);
	assembler.jcc("ae", full);
	assembler.lea(r10, memory(rax, 1));
	assembler.lock();
	assembler.cmpxchg(memory(rdx, RING.taken), r10);
	assembler.jcc("nz", again);
	assembler.jmp(placed);
	assembler.bind(full);
	assembler.lock();
	assembler.add(memory(rdx, RING.lost), 1, 64);
	assembler.jmp(lost);
	assembler.bind(placed);
	assembler.and(eax, layout.records - 1);
	assembler.shl(rax, Math.log2(layout.recordSize));
	assembler.lea(r11, memory(rdx, RING.records));
	assembler.add(r11, rax);
};

/** What both kinds of records have. rax and rdx are lost. */
const emitCounterAndKey = ({ assembler, labels }: Observed): void => {
	assembler.rdtsc();
	assembler.shl(rdx, 32);
	assembler.or(rax, rdx);
	assembler.mov(memory(r11, RECORD.counter), rax);
	assembler.call(labels.takeKey);
	assembler.mov(memory(r11, RECORD.key), rax);
};

const emitCommit = ({ assembler }: Observed): void => assembler.mov(memory(r11, RECORD.commit), r10);

/**
 * An internal function: records a caller: rdx is the stack pointer of the function that was called, eax the number of the call. Keeps
 * every register.
 *
 * No word is read beyond the page that the stack pointer is in: nothing else is known to be mapped.
 */
export const emitSample = (observed: Observed): void => {
	const { assembler } = observed;
	const [lost, more] = [assembler.label("lost"), assembler.label("more")];
	const saved = [rdx, rax, rcx, rdi, rsi, r10, r11];
	saved.forEach((register, index) => {
		assembler.push(register);
		assembler.cfaOffset((index + 2) * WORD);
	});
	emitPlace(observed, lost);
	emitCounterAndKey(observed);
	assembler.mov(rax, memory(rsp, (saved.length - 2) * WORD));
	assembler.mov(memory(r11, RECORD.call), eax);
	assembler.mov(memory(r11, SAMPLE.rbp), rbp);
	assembler.mov(memory(r11, SAMPLE.rbx), rbx);
	assembler.mov(rsi, memory(rsp, (saved.length - 1) * WORD));
	assembler.mov(memory(r11, SAMPLE.stackPointer), rsi);
	assembler.mov(rcx, rsi);
	assembler.or(rcx, -PAGE_SIZE);
	assembler.unary("neg", rcx);
	assembler.shr(ecx, 3);
	assembler.mov(eax, SAMPLE.maxWords);
	assembler.cmp(ecx, eax);
	assembler.cmov("a", ecx, eax);
	assembler.mov(memory(r11, SAMPLE.words), ecx);
	assembler.lea(rdi, memory(r11, SAMPLE.stack));
	assembler.bind(more);
	assembler.mov(rax, memory(rsi));
	assembler.mov(memory(rdi), rax);
	assembler.add(rsi, WORD);
	assembler.add(rdi, WORD);
	assembler.sub(ecx, 1);
	assembler.jcc("a", more);
	emitCommit(observed);
	assembler.bind(lost);
	saved.toReversed().forEach((register, index) => {
		assembler.pop(register);
		assembler.cfaOffset((saved.length - index) * WORD);
	});
	assembler.ret();
};

/**
 * An internal function: records a call.
 *
 *     r10d   its number         rdi, rsi, r8   its arguments    rdx, rcx   what it has stored
 *     r9     return address     rax            its result, which is kept, as rdi and rsi are
 */
export const emitRecord = (observed: Observed): void => {
	const { assembler, hasFsBase } = observed;
	const lost = assembler.label("lost");
	const FRAME = { call: 0, second: 8, first: 16, result: 24 } as const;
	// One more than is needed, so that the stack is aligned as for every internal function.
	[r8, rax, rdx, rcx, r10].forEach((register, index) => {
		assembler.push(register);
		assembler.cfaOffset((index + 2) * WORD);
	});
	emitPlace(observed, lost);
	emitCounterAndKey(observed);
	if (hasFsBase) assembler.rdfsbase(rax);
	else assembler.xor(eax, eax);
	assembler.mov(memory(r11, TRACED.thread), rax);
	assembler.mov(memory(r11, TRACED.returnAddress), r9);
	assembler.mov(memory(r11, TRACED.argument0), rdi);
	assembler.mov(memory(r11, TRACED.argument1), rsi);
	assembler.mov(memory(r11, TRACED.argument2), r8);
	for (const [place, field] of [
		[FRAME.result, TRACED.result],
		[FRAME.first, TRACED.first],
		[FRAME.second, TRACED.second],
	] as const) {
		assembler.mov(rax, memory(rsp, place));
		assembler.mov(memory(r11, field), rax);
	}
	assembler.mov(rax, memory(rsp, FRAME.call));
	assembler.mov(memory(r11, RECORD.call), eax);
	emitCommit(observed);
	assembler.bind(lost);
	assembler.mov(rax, memory(rsp, FRAME.result));
	assembler.add(rsp, FRAME.result + 2 * WORD);
	assembler.cfaOffset(WORD);
	assembler.ret();
};
