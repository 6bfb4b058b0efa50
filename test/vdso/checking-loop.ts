/**
 * A loop in machine code that calls a function of the image and looks each result up among those that may be seen. Nothing of
 * JavaScript runs between two reads, so it meets pushes that come at any instruction.
 */
import { Assembler } from "../../src/asm/assembler.ts";
import { memory } from "../../src/asm/operands.ts";
import { r8, r9, r10, r12, r13, rax, rbx, rcx, rdi, rsi } from "../../src/asm/registers.ts";
import { mapAssembled } from "./machine.ts";

/** What the loop is given, in words: its argument. */
export const LOOP = {
	function: 0,
	/** The loop ends when `stop` is not 0, or after `iterations`. */
	iterations: 1,
	argument0: 2,
	argument1: 3,
	/** Address of the two words that the function stores. */
	result: 4,
	/** Address and number of entries: two words of the result and how often it was seen. */
	table: 5,
	tableCount: 6,
	/** How many results were not in the table, and the last of them. */
	unknown: 7,
	unknownSeconds: 8,
	unknownNanoseconds: 9,
	stop: 10,
	reads: 11,
} as const;
export const TABLE_ENTRY_WORDS = 3;

/** Stands in the result's words before each call. */
export const UNTOUCHED = -1n;

const field = (index: number) => memory(rbx, index * 8);

/** Maps the loop. @returns its address: a function of one argument that returns 0 */
export const mapCheckingLoop = (): bigint => {
	const assembler = new Assembler(64);
	const again = assembler.label("again");
	const search = assembler.label("search");
	const next = assembler.label("next");
	const found = assembler.label("found");
	const counted = assembler.label("counted");
	const done = assembler.label("done");
	for (const register of [rbx, r12, r13]) assembler.push(register);
	assembler.mov(rbx, rdi);
	assembler.mov(r12, field(LOOP.function));
	assembler.mov(r13, field(LOOP.iterations));
	assembler.bind(again);
	assembler.mov(r8, field(LOOP.result));
	assembler.mov(memory(r8), UNTOUCHED, 64);
	assembler.mov(memory(r8, 8), UNTOUCHED, 64);
	assembler.mov(rdi, field(LOOP.argument0));
	assembler.mov(rsi, field(LOOP.argument1));
	assembler.call(r12);
	assembler.mov(r8, field(LOOP.result));
	assembler.mov(rax, memory(r8));
	assembler.mov(rcx, memory(r8, 8));
	assembler.mov(r9, field(LOOP.table));
	assembler.mov(r10, field(LOOP.tableCount));
	assembler.bind(search);
	assembler.cmp(rax, memory(r9));
	assembler.jcc("nz", next);
	assembler.cmp(rcx, memory(r9, 8));
	assembler.jcc("z", found);
	assembler.bind(next);
	assembler.add(r9, TABLE_ENTRY_WORDS * 8);
	assembler.sub(r10, 1);
	assembler.jcc("nz", search);
	assembler.add(field(LOOP.unknown), 1, 64);
	assembler.mov(field(LOOP.unknownSeconds), rax);
	assembler.mov(field(LOOP.unknownNanoseconds), rcx);
	assembler.jmp(counted);
	assembler.bind(found);
	assembler.add(memory(r9, 16), 1, 64);
	assembler.bind(counted);
	assembler.add(field(LOOP.reads), 1, 64);
	assembler.cmp(field(LOOP.stop), 0, 64);
	assembler.jcc("nz", done);
	assembler.sub(r13, 1);
	assembler.jcc("nz", again);
	assembler.bind(done);
	for (const register of [r13, r12, rbx]) assembler.pop(register);
	assembler.mov(rax, 0);
	assembler.ret();
	return mapAssembled(assembler.assemble());
};
