/** Where jumps lead, against the branch targets that iced-x86 decodes. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { loadIced } from "../../src/asm/disassembler.ts";
import { setU32, setU64 } from "../../src/bytes.ts";
import { spaceOf } from "../../src/inspect/address-space.ts";
import { followJumps } from "../../src/inspect/destination.ts";

const START = 0x1_0000n;
const RET = 0xc3;
const code = (at: number, bytes: readonly number[], size = 256): Uint8Array => {
	const memory = new Uint8Array(size).fill(RET);
	memory.set(bytes, at);
	return memory;
};

/** What iced says of the first instruction behind an endbr. */
const decoded = (memory: Uint8Array, bits: 32 | 64): bigint => {
	const iced = loadIced();
	const decoder = new iced.Decoder(bits, memory, iced.DecoderOptions.None);
	decoder.ip = START;
	let instruction = decoder.decode();
	if (instruction.mnemonic === iced.Mnemonic.Endbr64 || instruction.mnemonic === iced.Mnemonic.Endbr32) {
		instruction = decoder.decode();
	}
	return instruction.nearBranchTarget;
};

suite("the first instruction of a function", () => {
	const direct: readonly (readonly [string, 32 | 64, readonly number[]])[] = [
		["a short jump forward", 64, [0xeb, 0x10]],
		["a short jump back", 64, [0xf3, 0x0f, 0x1e, 0xfa, 0xeb, 0x80]],
		["a near jump forward", 64, [0xe9, 0x40, 0, 0, 0]],
		["a near jump behind endbr64", 64, [0xf3, 0x0f, 0x1e, 0xfa, 0xe9, 0x40, 0, 0, 0]],
		["a near jump back", 64, [0xe9, 0x00, 0xf0, 0xff, 0xff]],
		["a near jump of 32-bit code behind endbr32", 32, [0xf3, 0x0f, 0x1e, 0xfb, 0xe9, 0x40, 0, 0, 0]],
		["a near jump of 32-bit code that wraps", 32, [0xe9, 0, 0, 0xff, 0xff]],
	];
	for (const [name, bits, bytes] of direct) {
		test(name, () => {
			const memory = code(0, bytes);
			assert.equal(followJumps(spaceOf(memory, START), START, bits), decoded(memory, bits));
		});
	}

	test("a jump through a word relative to rip", () => {
		const memory = code(0, [0xff, 0x25, 0x1a, 0, 0, 0]);
		setU64(memory, 0x20, 0x7f00_1234_5678n);
		assert.equal(followJumps(spaceOf(memory, START), START, 64), 0x7f00_1234_5678n);
	});

	test("a jump through a word at an address, in 32-bit code", () => {
		const memory = code(0, [0xff, 0x25, 0x20, 0, 1, 0]);
		setU32(memory, 0x20, 0xf7fc_1000);
		assert.equal(followJumps(spaceOf(memory, START), START, 32), 0xf7fc_1000n);
	});

	test("no jump: the function is where it is", () => {
		assert.equal(followJumps(spaceOf(code(0, [0x55]), START), START, 64), START);
		assert.equal(followJumps(spaceOf(code(0, [0xff, 0x15, 0, 0, 0, 0]), START), START, 64), START);
	});

	test("a jump that the end of memory cuts off", () => {
		assert.equal(followJumps(spaceOf(Uint8Array.of(0xe9, 1), START), START, 64), START);
		assert.equal(followJumps(spaceOf(new Uint8Array(0), START), START, 64), START);
	});

	test("jumps in a circle end", () => {
		const memory = code(0, [0xeb, 0xfe]);
		assert.equal(followJumps(spaceOf(memory, START), START, 64), START);
	});

	test("jumps that lead to jumps are followed", () => {
		const memory = code(0, [0xeb, 0x0e]);
		memory.set([0xeb, 0x0e], 0x10);
		assert.equal(followJumps(spaceOf(memory, START), START, 64), START + 0x20n);
	});
});
