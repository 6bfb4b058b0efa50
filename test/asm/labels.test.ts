/** Where branches go, how long they are, and what stands at which offset. */
import assert from "node:assert/strict";
import test from "node:test";
import fc, { type Arbitrary } from "fast-check";
import { Assembler, type Condition } from "../../src/asm/assembler.ts";
import type { Bits } from "../../src/asm/encoding.ts";
import { anchored, Label, memory, ripRelative } from "../../src/asm/operands.ts";
import { eax, ecx, esp, rax, rbp, rsp } from "../../src/asm/registers.ts";
import { CONDITIONS, jumpMnemonic } from "./arbitraries.ts";
import { decode, type InstructionFact } from "./oracle.ts";

const NOP = 0x90;
const LABELS: readonly Label[] = Array.from({ length: 6 }, (_, index) => new Label(`label ${index}`));

type Step =
	| { readonly kind: "filler"; readonly length: number }
	| { readonly kind: "align"; readonly alignment: number }
	| { readonly kind: "branch"; readonly operation: "jmp" | "call" | Condition; readonly target: Label };

interface Program {
	readonly steps: readonly Step[];
	/** The step in front of which each label stands. */
	readonly places: readonly number[];
}

const filler = (maxLength: number): Arbitrary<Step> =>
	fc.integer({ min: 0, max: maxLength }).map((length) => ({ kind: "filler", length }));
const alignment: Arbitrary<Step> = fc
	.constantFrom(1, 2, 4, 16, 64)
	.map((bytes) => ({ kind: "align", alignment: bytes }));
const branch: Arbitrary<Step> = fc
	.tuple(fc.constantFrom("jmp" as const, "call" as const, ...CONDITIONS), fc.constantFrom(...LABELS))
	.map(([operation, target]) => ({ kind: "branch", operation, target }));

const program = (step: Arbitrary<Step>, maxLength: number): Arbitrary<Program> =>
	fc.record({
		steps: fc.array(step, { minLength: 1, maxLength, size: "max" }),
		places: fc.array(fc.nat({ max: maxLength }), { minLength: LABELS.length, maxLength: LABELS.length }),
	});

const emit = (assembler: Assembler, step: Step): void => {
	if (step.kind === "filler") assembler.raw(...Array.from({ length: step.length }, () => NOP));
	else if (step.kind === "align") assembler.align(step.alignment, NOP);
	else if (step.operation === "jmp" || step.operation === "call") assembler[step.operation](step.target);
	else assembler.jcc(step.operation, step.target);
};

interface Assembled {
	readonly size: number;
	readonly branches: readonly { readonly fact: InstructionFact; readonly place: number }[];
}

/** Assembles, and checks that every branch decodes to its mnemonic and the place of its label. */
const assembleProgram = (bits: Bits, { steps, places }: Program): Assembled => {
	const assembler = new Assembler(bits);
	const bindLabels = (isHere: (place: number) => boolean): void => {
		for (const [index, place] of places.entries()) if (isHere(place)) assembler.bind(LABELS[index] ?? assert.fail());
	};
	for (const [index, step] of steps.entries()) {
		bindLabels((place) => place === index);
		emit(assembler, step);
	}
	bindLabels((place) => place >= steps.length);
	const code = assembler.assemble();
	const decoded = decode(code.bytes, bits).filter((fact) => fact.mnemonic !== "nop");
	const wanted = steps.filter((step) => step.kind === "branch");
	assert.equal(decoded.length, wanted.length);
	const branches = decoded.map((fact, index) => {
		const { operation, target } = wanted[index] ?? assert.fail();
		const mnemonic = operation === "jmp" || operation === "call" ? operation : jumpMnemonic(operation);
		const place = code.offsetOf(target);
		assert.equal(fact.mnemonic, mnemonic);
		assert.deepEqual(fact.operands, [{ kind: "branch", target: BigInt(place) }]);
		return { fact, place };
	});
	return { size: code.bytes.length, branches };
};

/** Whether the short form would reach, were this branch alone to shrink: what follows it moves up by what it loses. */
const wouldReach = ({ offset, length }: InstructionFact, place: number): boolean =>
	place > offset ? place - (offset + length) <= 127 : place - (offset + 2) >= -128;

const relaxed = program(fc.oneof(filler(90), branch, branch), 120);

for (const bits of [64, 32] as const) {
	test(`a branch of ${bits}-bit code is short exactly when its target is in reach`, () => {
		const sizes = { short: 0, near: 0 };
		const property = fc.property(relaxed, (random) => {
			for (const { fact, place } of assembleProgram(bits, random).branches) {
				const isShort = fact.length === 2;
				const reaches = fact.mnemonic !== "call" && wouldReach(fact, place);
				assert.equal(isShort, reaches, `${fact.form} at ${fact.offset} to ${place}`);
				sizes[isShort ? "short" : "near"]++;
			}
		});
		fc.assert(property, { numRuns: 300 });
		assert.ok(sizes.short > 500 && sizes.near > 500, `both forms are exercised: ${JSON.stringify(sizes)}`);
	});

	test(`a branch of ${bits}-bit code across alignment goes to its label`, () => {
		const step = fc.oneof(filler(60), branch, branch, alignment);
		fc.assert(
			fc.property(program(step, 80), (random) => void assembleProgram(bits, random)),
			{ numRuns: 200 },
		);
	});
}

test("code of less than 100 bytes has only short branches", () => {
	const step = fc.oneof(filler(8), branch, alignment);
	const property = fc.property(program(step, 20), (random) => {
		const { size, branches } = assembleProgram(64, random);
		fc.pre(size < 100);
		for (const { fact } of branches) assert.equal(fact.length, fact.mnemonic === "call" ? 5 : 2, fact.form);
	});
	fc.assert(property, { numRuns: 300 });
});

for (const [distance, length] of [
	[127, 2],
	[128, 5],
] as const)
	test(`a jump over ${distance} bytes takes ${length}`, () => {
		const assembler = new Assembler(64);
		const end = assembler.label("end");
		assembler.jmp(end);
		emit(assembler, { kind: "filler", length: distance });
		assembler.bind(end);
		assert.equal(assembler.assemble().bytes.length, length + distance);
	});

for (const [distance, length] of [
	[126, 2],
	[127, 5],
] as const)
	test(`a jump back over ${distance} bytes takes ${length}`, () => {
		const assembler = new Assembler(64);
		const start = assembler.label("start");
		assembler.bind(start);
		emit(assembler, { kind: "filler", length: distance });
		assembler.jmp(start);
		assert.equal(assembler.assemble().bytes.length, length + distance);
	});

test("a branch that grows pushes another one out of reach", () => {
	const assembler = new Assembler(64);
	const [end, far] = [assembler.label("end"), assembler.label("far")];
	assembler.jmp(end);
	assembler.jcc("z", far);
	emit(assembler, { kind: "filler", length: 125 });
	assembler.bind(end);
	emit(assembler, { kind: "filler", length: 3 });
	assembler.bind(far);
	const { bytes } = assembler.assemble();
	assert.deepEqual(
		decode(bytes, 64)
			.slice(0, 2)
			.map((fact) => fact.form),
		["Jmp_rel32_64", "Je_rel32_64"],
	);
});

test("assembling twice gives the same bytes, and code may be added in between", () => {
	const assembler = new Assembler(64);
	const end = assembler.label("end");
	assembler.jmp(end);
	assert.equal(assembler.assemble().bytes.length, 5, "not bound yet, so external");
	assembler.bind(end);
	assert.deepEqual([...assembler.assemble().bytes], [0xeb, 0]);
	assert.deepEqual([...assembler.assemble().bytes], [0xeb, 0]);
});

test("align fills up to the next multiple", () => {
	const padded = fc.tuple(fc.nat({ max: 70 }), fc.constantFrom(1, 2, 4, 8, 16, 32, 64));
	const property = fc.property(padded, fc.nat({ max: 255 }), ([before, bytes], fill) => {
		const assembler = new Assembler(64);
		emit(assembler, { kind: "filler", length: before });
		assembler.align(bytes, fill);
		const code = assembler.assemble();
		assert.equal(code.bytes.length, Math.ceil(before / bytes) * bytes);
		for (const byte of code.bytes.subarray(before)) assert.equal(byte, fill);
	});
	fc.assert(property);
});

test("padding is int3 unless said otherwise", () => {
	const assembler = new Assembler(64);
	assembler.ret();
	assembler.align(4);
	assert.deepEqual([...assembler.assemble().bytes], [0xc3, 0xcc, 0xcc, 0xcc]);
});

/** Code with every kind of reference to a label outside. */
const withReferences = (bits: Bits, label: Label): Assembler => {
	const assembler = new Assembler(bits);
	assembler.jmp(label);
	assembler.call(label);
	assembler.jcc("z", label);
	if (bits === 64) {
		assembler.mov(rax, ripRelative(label));
		assembler.mov(ripRelative(label, 0), 0x1234_5678, 64);
		assembler.cmp(ripRelative(label), 1, 32);
	}
	return assembler;
};

for (const bits of [64, 32] as const)
	test(`an external label of ${bits}-bit code is where \`link\` says`, () => {
		const outside = new Label("outside");
		const code = withReferences(bits, outside).assemble();
		const blank = code.bytes.slice();
		const margin = code.bytes.length;
		const distance = fc.integer({ min: -0x8000_0000 + margin, max: 0x7fff_ffff });
		const property = fc.property(distance, (place) => {
			const address = bits === 64 ? 0x7fff_f7fc_1000n : 0xf7fc_1000n;
			const target = BigInt.asUintN(bits, address + BigInt(place));
			for (const { operands } of decode(
				code.link(() => place),
				bits,
				address,
			)) {
				const [first, second] = operands;
				const reference = first?.kind === "register" ? second : first;
				if (reference?.kind === "branch") assert.equal(reference.target, target);
				else if (reference?.kind === "memory") assert.equal(reference.displacement, target);
				else assert.fail(`no reference: ${reference?.kind}`);
			}
		});
		fc.assert(property);
		assert.deepEqual(code.bytes, blank, "link works on a copy");
	});

for (const place of [-0x8000_0000 + 4, 0x7fff_ffff + 6, 2 ** 40, -(2 ** 40), Number.NaN, 0.5])
	test(`a label ${place} bytes away is out of reach`, () => {
		const assembler = new Assembler(64);
		const outside = assembler.label("outside");
		assembler.call(outside);
		const code = assembler.assemble();
		assert.throws(() => code.link(() => place), { code: "ERR_VSYSCALL_ASSEMBLER", message: /outside is out of reach/ });
	});

for (const place of [-0x8000_0000 + 5, 0x7fff_ffff + 5])
	test(`a label ${place} bytes away is just in reach`, () => {
		const assembler = new Assembler(64);
		assembler.call(assembler.label("outside"));
		const [fact] = decode(
			assembler.assemble().link(() => place),
			64,
			0x1_0000_0000n,
		);
		assert.deepEqual(fact?.operands, [{ kind: "branch", target: 0x1_0000_0000n + BigInt(place) }]);
	});

test("an anchored operand counts from its anchor, whichever of the two labels is outside", () => {
	const [outside, here] = [new Label("outside"), new Label("here")];
	const property = fc.property(fc.integer({ min: -0x4000_0000, max: 0x4000_0000 }), (place) => {
		const assembler = new Assembler(32);
		assembler.nop();
		assembler.bind(here);
		assembler.lea(eax, anchored({ register: eax, label: here }, outside, 4));
		assembler.lea(eax, anchored({ register: esp, label: outside }, here, 4));
		assembler.lea(eax, anchored({ register: ecx, label: outside }, outside, 4));
		const facts = decode(
			assembler.assemble().link(() => place),
			32,
		);
		const displacements = facts.slice(1).map(({ operands }) => {
			const [, reference] = operands;
			return reference?.kind === "memory" ? [reference.base, Number(reference.displacement)] : undefined;
		});
		const distance = place - 1;
		assert.deepEqual(displacements, [
			["eax", distance + 4],
			["esp", -distance + 4],
			["ecx", 4],
		]);
	});
	fc.assert(property);
});

test("a displacement from a bound label can be out of reach", () => {
	const assembler = new Assembler(64);
	const start = assembler.label("start");
	assembler.bind(start);
	assembler.mov(rax, ripRelative(start, -0x8000_0000));
	assert.throws(() => assembler.assemble(), { code: "ERR_VSYSCALL_ASSEMBLER" });
});

test("a label is bound once", () => {
	const assembler = new Assembler(64);
	const label = assembler.label("here");
	assembler.bind(label);
	assert.throws(() => assembler.bind(label), { code: "ERR_VSYSCALL_ASSEMBLER", message: /here is bound twice/ });
});

test("a label that was never bound has no offset", () => {
	const assembler = new Assembler(64);
	const label = assembler.label("nowhere");
	assembler.jmp(label);
	const code = assembler.assemble();
	assert.throws(() => code.offsetOf(label), { code: "ERR_VSYSCALL_ASSEMBLER", message: /nowhere is not bound/ });
});

test("frame notes take effect behind the instruction in front of them", () => {
	const assembler = new Assembler(64);
	const end = assembler.label("end");
	assembler.cfaOffset(8);
	assembler.push(rbp); // 1 byte
	assembler.cfaOffset(16);
	assembler.sub(rsp, 0x20); // 4
	assembler.cfaOffset(48);
	assembler.jcc("z", end); // 6: the filler makes it near
	assembler.add(rsp, 0x20); // 4
	assembler.cfaOffset(16);
	assembler.pop(rbp); // 1
	assembler.cfaOffset(8);
	assembler.ret(); // 1
	emit(assembler, { kind: "filler", length: 200 });
	assembler.bind(end);
	assembler.noCaller();
	assembler.mov(memory(rsp), 0, 32);
	assert.deepEqual(assembler.assemble().frameNotes, [
		{ kind: "cfa-offset", offset: 0, cfaOffset: 8 },
		{ kind: "cfa-offset", offset: 1, cfaOffset: 16 },
		{ kind: "cfa-offset", offset: 5, cfaOffset: 48 },
		{ kind: "cfa-offset", offset: 15, cfaOffset: 16 },
		{ kind: "cfa-offset", offset: 16, cfaOffset: 8 },
		{ kind: "return-address-undefined", offset: 217 },
	]);
});

test("a frame note stands at the offset of a label bound beside it, in any program", () => {
	const property = fc.property(relaxed, fc.nat({ max: 120 }), ({ steps, places }, position) => {
		const assembler = new Assembler(32);
		const here = assembler.label("here");
		for (const [index, step] of steps.entries()) {
			if (index === position % steps.length) {
				assembler.cfaOffset(4);
				assembler.bind(here);
				assembler.noCaller();
			}
			for (const [label, place] of places.entries())
				if (place === index) assembler.bind(LABELS[label] ?? assert.fail());
			emit(assembler, step);
		}
		assembler.mov(eax, 1);
		const code = assembler.assemble();
		const offset = code.offsetOf(here);
		assert.deepEqual(code.frameNotes, [
			{ kind: "cfa-offset", offset, cfaOffset: 4 },
			{ kind: "return-address-undefined", offset },
		]);
	});
	fc.assert(property);
});
