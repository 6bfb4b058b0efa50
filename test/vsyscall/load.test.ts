/** Reads of the page: which instructions are executed on a copy, with which registers, and which stay the fault that they are. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { GeneralRegister } from "../../src/vsyscall/call-site.ts";
import { finishLoad, type Load, planLoad } from "../../src/vsyscall/load.ts";
import { VSYSCALL_PAGE_SIZE, VSYSCALL_START as PAGE, vsyscallPage } from "../../src/vsyscall/page.ts";

const COPY = 0x7fff_1234_5000n;
const END = PAGE + BigInt(VSYSCALL_PAGE_SIZE);

type Registers = Partial<Record<GeneralRegister, bigint>>;

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

const plan = (hex: string, registers: Registers, copy = COPY): ReturnType<typeof planLoad> =>
	planLoad(bytesOf(hex), (name) => registers[name] ?? 0n, copy);

const step = (hex: string, registers: Registers, copy = COPY): Load => {
	const load = plan(hex, registers, copy);
	assert.ok(load?.kind === "step", `${hex} is a step`);
	return load;
};

/** The registers that are put back, where the step has left those that it changed with `after`. */
const finish = (load: Load, after: Registers): Registers =>
	Object.fromEntries(finishLoad(load, (name) => after[name] ?? load.during.get(name) ?? 0n));

const STEPS: readonly (readonly [text: string, hex: string, registers: Registers, during: Registers])[] = [
	["movzx 5(%rbx), %ecx", "0fb64b05", { rbx: PAGE }, { rbx: COPY }],
	["mov -8(%r13), %rcx", "498b4df8", { r13: PAGE + 8n }, { r13: COPY + 8n }],
	["mov (%rbx,%rcx,4), %eax", "8b048b", { rbx: PAGE, rcx: 5n }, { rbx: COPY }],
	["mov (%rbx,%rcx), %al, where the index is the pointer", "8a040b", { rbx: 7n, rcx: PAGE }, { rbx: 7n + COPY - PAGE }],
	["mov (%rbx,%rcx,8), %rcx", "488b0ccb", { rbx: PAGE + 16n, rcx: -1n }, { rbx: COPY + 16n }],
	["mov 8(,%rax,1), %rcx", "488b0c0508000000", { rax: PAGE }, { rax: COPY }],
	["mov page(,%rax,8), %rcx", "488b0cc5000060ff", { rax: 2n }, { rax: 2n + (COPY - PAGE) / 8n }],
	["cmpb $0, (%rsi)", "803e00", { rsi: PAGE }, { rsi: COPY }],
	["btl $5, (%rbx)", "0fba2305", { rbx: PAGE }, { rbx: COPY }],
	["push (%rbx)", "ff33", { rbx: PAGE, rsp: 0x7000n }, { rbx: COPY }],
	["movdqu (%rbx), %xmm0", "f30f6f03", { rbx: PAGE }, { rbx: COPY }],
	["vmovdqu (%rbx), %ymm0", "c5fe6f03", { rbx: END - 32n }, { rbx: COPY + 0xfe0n }],
	["mov %cs:(%rbx), %rax", "2e488b03", { rbx: PAGE }, { rbx: COPY }],
	["lodsb", "ac", { rsi: PAGE }, { rsi: COPY }],
	["scasb", "ae", { rdi: PAGE }, { rdi: COPY }],
	["movsb to elsewhere", "a4", { rsi: PAGE, rdi: 0x5000n }, { rsi: COPY }],
	["rep movsq", "f348a5", { rsi: END - 8n, rdi: 0x5000n, rcx: 9n }, { rsi: COPY + 0xff8n }],
	["cmpsb of two places in the page", "a6", { rsi: PAGE, rdi: PAGE + 9n }, { rsi: COPY, rdi: COPY + 9n }],
	["cmpsb with one", "a6", { rsi: 0x5000n, rdi: PAGE + 9n }, { rdi: COPY + 9n }],
	["xlatb, which counts from al alone", "d7", { rbx: PAGE, rax: 0x1234_00ffn }, { rbx: COPY }],
	["the last byte", "8a03", { rbx: END - 1n }, { rbx: COPY + 0xfffn }],
];

const FAULTS: readonly (readonly [text: string, hex: string, registers: Registers])[] = [
	["a write", "8803", { rbx: PAGE }],
	["read-modify-write", "fe03", { rbx: PAGE }],
	["xchg", "488703", { rbx: PAGE }],
	["lock cmpxchg", "f0480fb10b", { rbx: PAGE }],
	["movsb within the page", "a4", { rsi: PAGE, rdi: PAGE + 9n }],
	["movsb into the page", "a4", { rsi: 0x5000n, rdi: PAGE }],
	["pop (%rbx)", "8f03", { rbx: PAGE, rsp: 0x7000n }],
	["lea", "488d03", { rbx: PAGE }],
	["prefetcht0", "0f180b", { rbx: PAGE }],
	["an address in front of the page", "8a03", { rbx: PAGE - 1n }],
	["an address behind the page", "8a03", { rbx: END }],
	["a read across the start", "488b03", { rbx: PAGE - 4n }],
	["a read across the end", "488b03", { rbx: END - 4n }],
	["rep movsq across the end", "f348a5", { rsi: END - 4n, rdi: 0x5000n, rcx: 9n }],
	["pop", "58", { rsp: PAGE }],
	["ret", "c3", { rsp: PAGE }],
	["leave", "c9", { rbp: PAGE }],
	["a load from the stack pointer", "488b0424", { rsp: PAGE }],
	["%fs:", "64488b03", { rbx: PAGE }],
	["%gs:", "65488b03", { rbx: PAGE }],
	["%fs: with an absolute address", "64488b0425000060ff", {}],
	["a 32-bit address", "67488b03", { rbx: PAGE }],
	["rip-relative", "488b0500000000", {}],
	["an absolute 32-bit address", "678b0425000060ff", {}],
	["compare with an absolute address", "803c25000060ff00", {}],
	["mov of an absolute address to %ah", "8a2425000060ff", {}],
	["mov of an absolute address across the end", "488b0425fc0f60ff", {}],
	["the same register as base and index", "488b0c00", { rax: PAGE / 2n }],
	["cmp %rax, (%rax)", "483900", { rax: PAGE }],
	["add (%rcx), %rcx", "480309", { rcx: PAGE }],
	["mulq (%rax)", "48f720", { rax: PAGE }],
	["divl (%rdx), whose dividend is in %edx", "f732", { rdx: PAGE }],
	["mulx (%rdx), which multiplies by %rdx", "c4e2e3f60a", { rdx: PAGE }],
	["pcmpestri (%rax), which takes a length from %eax", "660f3a610000", { rax: PAGE }],
	["cmovz (%rax), %rax", "480f4400", { rax: PAGE }],
	["bsf (%rax), %rax", "480fbc00", { rax: PAGE }],
	["mov (%rax), %ax", "668b00", { rax: PAGE }],
	["mov (%rax), %ah", "8a20", { rax: PAGE }],
	["bt %rcx, (%rbx), which reads where %rcx says", "480fa30b", { rbx: PAGE, rcx: 1n << 40n }],
	["vpgatherdd", "c4e26990048b", { rbx: PAGE }],
	["xrstor, as long as %eax says", "0fae2b", { rbx: PAGE, rax: 3n }],
	["no bytes", "", { rax: PAGE }],
	["bytes that end inside the instruction", "480fb6", { rax: PAGE }],
	["no instruction", "06", { rax: PAGE }],
];

suite("reads of the page", () => {
	for (const [text, hex, registers, during] of STEPS) {
		test(`${text} is executed on the copy`, () => {
			const unsigned = Object.entries(during).map(([name, value]) => [name, BigInt.asUintN(64, value)]);
			assert.deepEqual(Object.fromEntries(step(hex, registers).during), Object.fromEntries(unsigned));
		});

		test(`${text} leaves the registers of its address as they were`, () => {
			const load = step(hex, registers);
			const before = Object.keys(during).map((name) => [name, registers[name as GeneralRegister]]);
			assert.deepEqual(finish(load, {}), Object.fromEntries(before));
		});
	}

	for (const [text, hex, registers] of FAULTS) {
		test(`${text} stays a fault`, () => assert.equal(plan(hex, registers), undefined));
	}

	test("an absolute address with a segment that counts from 0 is one like any other", () => {
		assert.deepEqual(plan("2e8b0425000060ff", {}), { kind: "moved", register: "rax", value: 0x60c0_c748n, length: 8 });
	});

	test("movabs reads eight bytes", () => {
		assert.deepEqual(plan("48a1 000060ffffffffff", {}), {
			kind: "moved",
			register: "rax",
			value: 0x0f00_0000_60c0_c748n,
			length: 10,
		});
	});

	test("a copy below 2 GiB is a copy", () => {
		assert.deepEqual([...step("8a03", { rbx: PAGE + 3n }, 0x4160_1000n).during], [["rbx", 0x4160_1003n]]);
	});
});

suite("registers after a read", () => {
	for (const [text, hex] of [
		["64 bits", "488b00"],
		["32 bits, which clear the upper half", "8b00"],
		["movzx to 32 bits", "0fb600"],
	] as const) {
		test(`a register that is overwritten by ${text} keeps its value`, () => {
			assert.deepEqual(finish(step(hex, { rax: PAGE + 8n }), { rax: 0xccn }), {});
		});
	}

	test("a low byte that is overwritten stays, in front of it the address comes back", () => {
		const load = step("8a00", { rax: PAGE + 0x410n });
		assert.deepEqual(finish(load, { rax: (COPY + 0x410n) ^ 0xffn }), { rax: (PAGE + 0x410n) ^ 0xffn });
	});

	test("sil and r9b are low bytes as al is", () => {
		assert.deepEqual(finish(step("408a36", { rsi: PAGE }), { rsi: COPY + 0xccn }), { rsi: PAGE + 0xccn });
		assert.deepEqual(finish(step("458a09", { r9: PAGE }), { r9: COPY + 0xccn }), { r9: PAGE + 0xccn });
	});

	test("a register that would be overwritten comes back when the step was not made", () => {
		const load = step("488b00", { rax: PAGE + 8n });
		assert.deepEqual(finish(load, { rax: COPY + 8n }), { rax: PAGE + 8n });
	});

	test("a string instruction keeps how far it went, forwards and backwards", () => {
		assert.deepEqual(finish(step("f3a4", { rsi: PAGE + 4n }), { rsi: COPY + 5n }), { rsi: PAGE + 5n });
		assert.deepEqual(finish(step("48ad", { rsi: PAGE }), { rsi: COPY - 8n }), { rsi: PAGE - 8n });
		assert.deepEqual(finish(step("ac", { rsi: END - 1n }), { rsi: COPY + 0x1000n }), { rsi: END });
		assert.deepEqual(finish(step("a6", { rsi: PAGE, rdi: PAGE + 9n }), { rsi: COPY + 1n, rdi: COPY + 10n }), {
			rsi: PAGE + 1n,
			rdi: PAGE + 10n,
		});
	});
});

/** In the order of their numbers. */
const NUMBERED: readonly GeneralRegister[] = [
	"rax",
	"rcx",
	"rdx",
	"rbx",
	"rsp",
	"rbp",
	"rsi",
	"rdi",
	"r8",
	"r9",
	"r10",
	"r11",
	"r12",
	"r13",
	"r14",
	"r15",
];

/** All but rsp, which is no index, and no base of a read that is helped. */
const registerNumber = fc.constantFrom(...NUMBERED.keys()).filter((number) => number !== 4);

const bytes64 = (offset: number): bigint => new DataView(vsyscallPage().buffer).getBigUint64(offset, true);

suite("any read", () => {
	test("mov disp32(base,index,scale), destination: the step reads the same offset of the copy", () => {
		const operands = fc.record({
			base: registerNumber,
			index: registerNumber,
			destination: registerNumber,
			shift: fc.integer({ min: 0, max: 3 }),
			displacement: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
			indexValue: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
			offset: fc.integer({ min: 0, max: VSYSCALL_PAGE_SIZE - 8 }),
			copyPage: fc.bigInt({ min: 0x10n, max: 0x7_ffff_fffen }),
		});
		const check = (value: typeof operands extends fc.Arbitrary<infer Value> ? Value : never): void => {
			const { base, index, destination, shift, displacement, indexValue, offset, copyPage } = value;
			fc.pre(base !== index);
			const copy = copyPage * 4096n;
			const code = new Uint8Array(8);
			const rex = 0x48 | ((destination >> 3) << 2) | ((index >> 3) << 1) | (base >> 3);
			code.set([rex, 0x8b, 0x84 | ((destination & 7) << 3), (shift << 6) | ((index & 7) << 3) | (base & 7)]);
			new DataView(code.buffer).setInt32(4, displacement, true);
			const [baseName, indexName] = [NUMBERED[base] ?? "rax", NUMBERED[index] ?? "rax"];
			const addressOf = (registers: Registers): bigint =>
				BigInt.asUintN(
					64,
					(registers[baseName] ?? 0n) + ((registers[indexName] ?? 0n) << BigInt(shift)) + BigInt(displacement),
				);
			const rest = addressOf({ [indexName]: indexValue });
			const registers: Registers = {
				[indexName]: indexValue,
				[baseName]: BigInt.asUintN(64, PAGE + BigInt(offset) - rest),
			};
			assert.equal(addressOf(registers), PAGE + BigInt(offset));
			const load = step(Buffer.from(code).toString("hex"), registers, copy);
			assert.equal(addressOf({ ...registers, ...Object.fromEntries(load.during) }), copy + BigInt(offset));

			const written: Registers = { [NUMBERED[destination] ?? "rax"]: bytes64(offset) };
			const after = { ...registers, ...Object.fromEntries(load.during), ...written };
			const end = { ...after, ...Object.fromEntries(finishLoad(load, (name) => after[name] ?? 0n)) };
			assert.deepEqual(end, { ...registers, ...written });
		};
		fc.assert(fc.property(operands, check), { numRuns: 500 });
	});

	test("any bytes with any registers have an answer", () => {
		const values = fc.array(
			fc.oneof(
				fc.bigInt({ min: PAGE - 64n, max: END + 64n }),
				fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
				fc.constant(0n),
			),
			{ minLength: 16, maxLength: 16 },
		);
		let steps = 0;
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 15 }), values, (bytes, registers) => {
				const register = (name: GeneralRegister): bigint => registers[NUMBERED.indexOf(name)] ?? 0n;
				const load = planLoad(bytes, register, COPY);
				if (load?.kind !== "step") return;
				steps += 1;
				// As if the step had not been made.
				for (const [name, value] of finishLoad(load, (wanted) => load.during.get(wanted) ?? 0n)) {
					assert.equal(value, register(name));
				}
			}),
			{ numRuns: 3000 },
		);
		assert.notEqual(steps, 0);
	});
});
