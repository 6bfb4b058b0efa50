/** The oracle is iced-x86: what it decodes must be what was asked for, and its encoder must agree on the bytes. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { Assembler } from "../../src/asm/assembler.ts";
import type { Bits } from "../../src/asm/encoding.ts";
import { anchored, type BasedMemory, indexed, type Label, memory, ripRelative } from "../../src/asm/operands.ts";
import { eax, ecx, esp, r8, r8d, r12, rax, rbp, rcx, type Register, rsp } from "../../src/asm/registers.ts";
import {
	DISPLACEMENTS,
	END,
	EXTERNAL,
	instruction,
	memoryFact,
	MIDDLE,
	registersOf,
	SCALES,
	START,
	type Wanted,
} from "./arbitraries.ts";
import { decode, type InstructionFact } from "./oracle.ts";

const ADDRESS = 0x7fff_0000_0000;
const LENGTH_OF_PROGRAM = 64;
const PROGRAMS = 1000;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const immediateBytesOf = ({ form, operands }: InstructionFact): number | undefined => {
	if (operands.at(-1)?.kind !== "immediate") return undefined;
	const bits = /_imm(\d+)$/.exec(form)?.[1] ?? /^Push[dq]_imm(\d+)$/.exec(form)?.[1];
	return bits === undefined ? undefined : Number(bits) / 8;
};

/** Emits the program, with labels at its start, middle and end; `EXTERNAL` is linked at `external` bytes from the start. */
const checkProgram = (bits: Bits, wanted: readonly Wanted[], external: number): void => {
	const assembler = new Assembler(bits);
	assembler.bind(START);
	for (const [index, { emit }] of wanted.entries()) {
		if (index === wanted.length >> 1) assembler.bind(MIDDLE);
		emit(assembler);
	}
	assembler.bind(END);
	const code = assembler.assemble();
	const linked = code.link((label) => {
		assert.equal(label, EXTERNAL);
		return external;
	});
	const origin = bits === 64 ? ADDRESS : 0;
	const placeOf = (label: Label): number => origin + (label === EXTERNAL ? external : code.offsetOf(label));
	const decoded = decode(linked, bits, BigInt(origin));
	assert.equal(decoded.length, wanted.length);
	for (const [index, fact] of decoded.entries()) {
		const { mnemonic, operands, immediateBytes } = wanted[index] ?? assert.fail();
		const labels: Label[] = [];
		const wantedOperands = operands((label) => {
			labels.push(label);
			return placeOf(label);
		});
		const seen = { mnemonic: fact.mnemonic, operands: fact.operands, bits: fact.bits };
		const bytes = linked.subarray(fact.offset, fact.offset + fact.length);
		assert.deepEqual(seen, { mnemonic, operands: wantedOperands, bits }, hex(bytes));
		if (immediateBytes !== undefined) assert.equal(immediateBytesOf(fact), immediateBytes, fact.form);
		// Same opcode, so the same bytes: iced prefers no other form of it than we do. The distance of a label has 32 bits.
		assert.equal(hex(bytes), hex(labels.length > 0 ? fact.reencodedAsLong : fact.reencoded));
	}
};

for (const bits of [64, 32] as const) {
	test(`${LENGTH_OF_PROGRAM * PROGRAMS} random instructions of ${bits}-bit code decode to what was asked for`, () => {
		const program = fc.array(instruction(bits), { minLength: LENGTH_OF_PROGRAM, maxLength: LENGTH_OF_PROGRAM });
		const external = fc.integer({ min: -0x3fff_0000, max: 0x3fff_0000 });
		const property = fc.property(program, external, (wanted, place) => checkProgram(bits, wanted, place));
		fc.assert(property, { numRuns: PROGRAMS });
	});

	test(`every base, index, scale and displacement of ${bits}-bit code`, () => {
		const registers: readonly (Register | undefined)[] = [undefined, ...registersOf(bits, bits)];
		const operands: BasedMemory[] = [];
		for (const base of registers)
			for (const index of registers.filter((register) => register?.number !== 4))
				for (const scale of index === undefined ? ([1] as const) : SCALES)
					for (const displacement of DISPLACEMENTS) operands.push({ kind: "memory", base, index, scale, displacement });
		const assembler = new Assembler(bits);
		const to = bits === 64 ? r8 : ecx;
		for (const operand of operands) assembler.mov(to, operand);
		const decoded = decode(assembler.assemble().bytes, bits);
		assert.equal(decoded.length, operands.length);
		for (const [index, fact] of decoded.entries()) {
			const operand = operands[index] ?? assert.fail();
			const size = bits / 8;
			assert.deepEqual(
				fact.operands[1],
				memoryFact(operand, () => 0, size),
			);
			assert.equal(fact.length, fact.reencoded.length, JSON.stringify(operand));
		}
	});
}

const refused: readonly (readonly [string, Bits, (assembler: Assembler) => void])[] = [
	["r8 in 32-bit code", 32, (assembler) => assembler.mov(r8d, eax)],
	["r8 as an opcode register in 32-bit code", 32, (assembler) => assembler.mov(r8d, 1)],
	["a 64-bit register in 32-bit code", 32, (assembler) => assembler.add(rax, rcx)],
	["a 64-bit register that an immediate goes to in 32-bit code", 32, (assembler) => assembler.mov(rax, 1)],
	["a 64-bit memory operand in 32-bit code", 32, (assembler) => assembler.mov(memory(eax), 1, 64)],
	["a 64-bit push in 32-bit code", 32, (assembler) => assembler.push(rax)],
	["a 64-bit jump in 32-bit code", 32, (assembler) => assembler.jmp(rax)],
	["a rip-relative operand in 32-bit code", 32, (assembler) => assembler.mov(eax, ripRelative(START))],
	["a 64-bit base in 32-bit code", 32, (assembler) => assembler.mov(eax, memory(rax))],
	[
		"a 64-bit anchor in 32-bit code",
		32,
		(assembler) => assembler.mov(eax, anchored({ register: rax, label: START }, END)),
	],
	[
		"a 32-bit anchor in 64-bit code",
		64,
		(assembler) => assembler.mov(eax, anchored({ register: eax, label: START }, END)),
	],
	["a distance beyond 32 signed bits", 32, () => anchored({ register: eax, label: START }, END, 0x8000_0000)],
	["an interrupt above 255", 32, (assembler) => assembler.int(256)],
	["a multiplication in memory without a width", 32, (assembler) => assembler.unary("mul", memory(eax))],
	["a double shift to the left by 32", 32, (assembler) => assembler.shld(eax, ecx, 32)],
	["a 32-bit base in 64-bit code", 64, (assembler) => assembler.mov(rax, memory(eax))],
	["a 32-bit index in 64-bit code", 64, (assembler) => assembler.mov(rax, indexed({ base: rbp, index: eax }))],
	["rsp as an index", 64, () => indexed({ index: rsp })],
	["esp as an index", 32, () => indexed({ base: eax, index: esp })],
	[
		"rsp as an index that `indexed` did not see",
		64,
		(assembler) => assembler.lea(rax, { ...indexed({ base: rax, index: r12 }), index: rsp }),
	],
	["a displacement beyond 32 signed bits", 64, () => memory(rax, 0x8000_0000)],
	["a displacement that is not whole", 64, () => memory(rax, 0.5)],
	["a push of half a register", 64, (assembler) => assembler.push(eax)],
	["a pop of half a register", 64, (assembler) => assembler.pop(eax)],
	["a jump to half a register", 64, (assembler) => assembler.jmp(eax)],
	["a call of half a register", 64, (assembler) => assembler.call(eax)],
	["rdpid of half a register", 64, (assembler) => assembler.rdpid(eax)],
	["registers of two widths in add", 64, (assembler) => assembler.add(rax, ecx)],
	["registers of two widths in mov", 64, (assembler) => assembler.mov(eax, rcx)],
	["registers of two widths in test", 64, (assembler) => assembler.test(eax, rcx)],
	["registers of two widths in imul", 64, (assembler) => assembler.imul(rax, ecx)],
	["registers of two widths in bt", 64, (assembler) => assembler.bt(rax, ecx)],
	["registers of two widths in cmov", 64, (assembler) => assembler.cmov("z", rax, ecx)],
	["a width that is not the register's", 64, (assembler) => assembler.add(eax, 1, 64)],
	["a width that is not the stored register's", 64, (assembler) => assembler.mov(memory(rax), ecx, 64)],
	["an 8-bit store", 64, (assembler) => assembler.mov(memory(rax), 1, 8)],
	["a 16-bit operand", 64, (assembler) => assembler.cmp(memory(rax), 1, 16)],
	["an immediate to memory without a width", 64, (assembler) => assembler.mov(memory(rax), 1)],
	["an immediate compared with memory without a width", 64, (assembler) => assembler.cmp(memory(rax), 1)],
	["an immediate tested on memory without a width", 64, (assembler) => assembler.test(memory(rax), 1)],
	["two memory operands in add", 64, (assembler) => assembler.add(memory(rax), memory(rcx))],
	["two memory operands in mov", 64, (assembler) => assembler.mov(memory(rax), memory(rcx))],
	["an unsigned 32-bit immediate with 64 bits", 64, (assembler) => assembler.add(rax, 0x8000_0000)],
	["an immediate of 33 bits", 64, (assembler) => assembler.and(eax, 0x1_0000_0000)],
	["an immediate of 33 signed bits", 64, (assembler) => assembler.and(eax, -0x8000_0001)],
	["an immediate of 33 bits to a 32-bit register", 64, (assembler) => assembler.mov(eax, 0x1_0000_0000)],
	["an immediate of 33 bits to memory", 64, (assembler) => assembler.mov(memory(rax), 0x8000_0000, 64)],
	["an immediate of 65 bits", 64, (assembler) => assembler.mov(rax, 2n ** 64n)],
	["an immediate of 65 signed bits", 64, (assembler) => assembler.mov(rax, -(2n ** 63n) - 1n)],
	["an immediate of 65 bits whose lower half would fit", 64, (assembler) => assembler.mov(rax, 2n ** 64n + 1n)],
	["an immediate with a fraction", 64, (assembler) => assembler.add(rax, 0.5)],
	["an immediate that a double cannot hold", 64, (assembler) => assembler.mov(rax, 2 ** 53)],
	["an immediate that is no number", 64, (assembler) => assembler.mov(eax, Number.NaN)],
	["a factor beyond 32 bits", 64, (assembler) => assembler.imul(rax, rcx, 0x8000_0000)],
	["a pushed immediate beyond 32 signed bits", 64, (assembler) => assembler.push(0x8000_0000)],
	["a shift by nothing", 64, (assembler) => assembler.shl(rax, 0)],
	["a shift by 64", 64, (assembler) => assembler.shr(rax, 64)],
	["a shift of 32 bits by 32", 64, (assembler) => assembler.sar(eax, 32)],
	["a shift by a fraction", 64, (assembler) => assembler.shl(rax, 1.5)],
	["a double shift by nothing", 64, (assembler) => assembler.shrd(rax, rcx, 0)],
	["a double shift by 64", 64, (assembler) => assembler.shrd(rax, rcx, 64)],
	["registers of two widths in shrd", 64, (assembler) => assembler.shrd(rax, ecx, 1)],
	["a shift by a negative count", 64, (assembler) => assembler.shl(rax, -1)],
	["a raw byte above 255", 64, (assembler) => assembler.raw(0x90, 256)],
	["a raw byte below 0", 64, (assembler) => assembler.raw(-1)],
	["an alignment that is not a power of two", 64, (assembler) => assembler.align(12)],
	["an alignment of 0", 64, (assembler) => assembler.align(0)],
	["a fill that is not a byte", 64, (assembler) => assembler.align(8, 0x9090)],
];

for (const [name, bits, emit] of refused)
	test(`the assembler refuses ${name}`, () => {
		const assembler = new Assembler(bits);
		assert.throws(() => emit(assembler), { code: "ERR_VSYSCALL_ASSEMBLER" });
		assert.equal(assembler.assemble().bytes.length, 0, "nothing was emitted");
	});

test("immediates of -1 are as short in their unsigned spelling", () => {
	const assembler = new Assembler(64);
	assembler.mov(rax, 0xffff_ffff_ffff_ffffn);
	assembler.add(ecx, 0xffff_ffff);
	assert.equal(hex(assembler.assemble().bytes), "48c7c0ffffffff83c1ff");
});
