/** Random instructions: how to ask the assembler for one, and what a decoder must then see. */
import fc, { type Arbitrary } from "fast-check";
import type { Assembler, Condition } from "../../src/asm/assembler.ts";
import type { Bits, OperandWidth } from "../../src/asm/encoding.ts";
import { anchored, type Immediate, indexed, Label, type Memory, memory, ripRelative } from "../../src/asm/operands.ts";
import { type Register, REGISTERS_32, REGISTERS_64 } from "../../src/asm/registers.ts";
import type { OperandFact } from "./oracle.ts";

export type PlaceOf = (label: Label) => number;

export interface Wanted {
	readonly emit: (assembler: Assembler) => void;
	readonly mnemonic: string;
	/** @param placeOf the address of a label, for operands that refer to one */
	readonly operands: (placeOf: PlaceOf) => readonly OperandFact[];
	/** Bytes of the immediate, where the manual has a choice. */
	readonly immediateBytes?: number;
}

/** What operands refer to; the last one stays external. */
export const START: Label = new Label("start");
export const MIDDLE: Label = new Label("middle");
export const END: Label = new Label("end");
export const EXTERNAL: Label = new Label("external");

interface Shape<Value> {
	readonly value: Value;
	readonly fact: (placeOf: PlaceOf, size: number) => OperandFact;
}

type Operands = readonly Shape<unknown>[];

export const DISPLACEMENTS: readonly number[] = [0, 1, -1, 127, 128, -128, -129, 0x7fff_ffff, -0x8000_0000];
export const SCALES: readonly (1 | 2 | 4 | 8)[] = [1, 2, 4, 8];

export const registersOf = (bits: Bits, width: OperandWidth): readonly Register[] =>
	(width === 64 ? REGISTERS_64 : REGISTERS_32).slice(0, bits === 64 ? 16 : 8);

export const memoryFact = (operand: Memory, placeOf: PlaceOf, size: number): OperandFact => {
	const plain = { kind: "memory", index: "none", scale: 1, size } as const;
	const { displacement } = operand;
	switch (operand.kind) {
		case "memory": {
			const { base, index, scale } = operand;
			const [baseName, indexName] = [base?.name ?? "none", index?.name ?? "none"];
			return { kind: "memory", base: baseName, index: indexName, scale, displacement: BigInt(displacement), size };
		}
		case "rip-relative":
			return { ...plain, base: "rip", displacement: BigInt(placeOf(operand.label) + displacement) };
		case "anchored": {
			const distance = placeOf(operand.label) - placeOf(operand.anchor.label);
			return { ...plain, base: operand.anchor.register.name, displacement: BigInt(distance + displacement) };
		}
	}
};

const registerFact = (register: Register): OperandFact => ({ kind: "register", name: register.name });

const displacement = fc.oneof(fc.constantFrom(...DISPLACEMENTS), fc.integer());

const registerShape = (bits: Bits, width: OperandWidth): Arbitrary<Shape<Register>> =>
	fc.constantFrom(...registersOf(bits, width)).map((value) => ({ value, fact: () => registerFact(value) }));

const memoryShape = (bits: Bits): Arbitrary<Shape<Memory>> => {
	const base = fc.constantFrom(...registersOf(bits, bits));
	const index = fc.constantFrom(...registersOf(bits, bits).filter((register) => register.number !== 4));
	const scale = fc.constantFrom(...SCALES);
	const shapes: Arbitrary<Memory>[] = [
		fc.tuple(base, displacement).map(([register, bytes]) => memory(register, bytes)),
		fc.record({ base, index, scale, displacement }).map(indexed),
		fc.record({ index, scale, displacement }).map(indexed),
	];
	const label = fc.constantFrom(START, MIDDLE, END, EXTERNAL);
	const reach = fc.integer({ min: -0x4000_0000, max: 0x4000_0000 });
	const anchor = fc.record({ register: base, label });
	shapes.push(fc.tuple(anchor, label, reach).map(([from, target, bytes]) => anchored(from, target, bytes)));
	if (bits === 64) shapes.push(fc.tuple(label, reach).map(([target, bytes]) => ripRelative(target, bytes)));
	return fc.oneof(...shapes).map((value) => ({ value, fact: (placeOf, size) => memoryFact(value, placeOf, size) }));
};

const EDGES = [0, 1, -1, 127, 128, -128, -129, 0x7fff_ffff, -0x8000_0000];

const immediateOf = (width: OperandWidth): Arbitrary<Immediate> => {
	const signed = fc.oneof(fc.constantFrom(...EDGES), fc.integer(), fc.integer({ min: -200, max: 200 }));
	const unsigned = fc.integer({ min: 0, max: 0xffff_ffff });
	const value = width === 32 ? fc.oneof(signed, unsigned) : signed;
	return fc.oneof(value, value.map(BigInt));
};

const immediateShape = (width: OperandWidth): Arbitrary<Shape<Immediate>> =>
	immediateOf(width).map((value) => ({
		value,
		fact: () => ({ kind: "immediate", value: BigInt.asIntN(width, BigInt(value)) }),
	}));

const isShort = (value: Immediate, width: OperandWidth): boolean =>
	BigInt.asIntN(8, BigInt(value)) === BigInt.asIntN(width, BigInt(value));

const facts =
	(operands: Operands, size: number) =>
	(placeOf: PlaceOf): readonly OperandFact[] =>
		operands.map((operand) => operand.fact(placeOf, size));

const withoutOperands = (mnemonic: string, emit: (assembler: Assembler) => void): Arbitrary<Wanted> =>
	fc.constant({ emit, mnemonic, operands: () => [] });

/** A builder of instructions for code of `bits` and operands of `width`. */
const shapesOf = (bits: Bits, width: OperandWidth) => {
	const size = width / 8;
	const register = registerShape(bits, width);
	const place = memoryShape(bits);
	const either = fc.oneof(register, place) as Arbitrary<Shape<Register | Memory>>;
	const immediate = immediateShape(width);
	return { size, register, place, either, immediate };
};

type Arithmetic = "add" | "or" | "adc" | "sbb" | "and" | "sub" | "xor" | "cmp";

const arithmetic =
	(operation: Arithmetic) =>
	(bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
		const { size, register, place, either, immediate } = shapesOf(bits, width);
		return fc.oneof(
			fc.tuple(either, register).map(([to, from]) => ({
				emit: (assembler: Assembler) => assembler[operation](to.value, from.value),
				mnemonic: operation,
				operands: facts([to, from], size),
			})),
			fc.tuple(register, place).map(([to, from]) => ({
				emit: (assembler: Assembler) => assembler[operation](to.value, from.value),
				mnemonic: operation,
				operands: facts([to, from], size),
			})),
			fc.tuple(either, immediate).map(([to, from]) => ({
				emit: (assembler: Assembler) => assembler[operation](to.value, from.value, width),
				mnemonic: operation,
				operands: facts([to, from], size),
				immediateBytes: isShort(from.value, width) ? 1 : 4,
			})),
		);
	};

/** MOV of an immediate to a register has three forms, one of which names the lower half of the register. */
const moveImmediate = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
	const wide = fc.oneof(
		immediateOf(width),
		fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
		fc.integer({ min: 0, max: 0xffff_ffff }),
		fc.constantFrom(2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 2n ** 31n, 2n ** 32n, 0xffff_ffffn, -(2n ** 63n)),
	);
	return fc
		.tuple(fc.constantFrom(...registersOf(bits, width)), width === 64 ? wide : immediateOf(32))
		.map(([to, from]) => {
			const value = BigInt.asIntN(width, BigInt(from));
			const isLower = width === 32 || BigInt.asUintN(32, value) === value;
			const named = isLower ? (REGISTERS_32[to.number] ?? to) : to;
			return {
				emit: (assembler: Assembler) => assembler.mov(to, from),
				mnemonic: "mov",
				operands: () => [registerFact(named), { kind: "immediate", value: isLower ? BigInt.asIntN(32, value) : value }],
				immediateBytes: isLower || BigInt.asIntN(32, value) === value ? 4 : 8,
			};
		});
};

const mov = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
	const { size, register, place, either, immediate } = shapesOf(bits, width);
	const wanted = (to: Shape<Register | Memory>, from: Shape<Register | Memory | Immediate>): Wanted => ({
		emit: (assembler) => assembler.mov(to.value, from.value, width),
		mnemonic: "mov",
		operands: facts([to, from], size),
	});
	return fc.oneof(
		fc.tuple(either, register).map(([to, from]) => wanted(to, from)),
		fc.tuple(register, place).map(([to, from]) => wanted(to, from)),
		fc.tuple(place, immediate).map(([to, from]) => ({ ...wanted(to, from), immediateBytes: 4 })),
		moveImmediate(bits, width),
	);
};

const lea = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> =>
	fc.tuple(registerShape(bits, width), memoryShape(bits)).map(([to, from]) => ({
		emit: (assembler) => assembler.lea(to.value, from.value),
		mnemonic: "lea",
		operands: facts([to, from], 0),
	}));

const test = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
	const { size, register, either, immediate } = shapesOf(bits, width);
	const right = fc.oneof(register, immediate) as Arbitrary<Shape<Register | Immediate>>;
	return fc.tuple(either, right).map(([left, by]) => ({
		emit: (assembler) => assembler.test(left.value, by.value, width),
		mnemonic: "test",
		operands: facts([left, by], size),
	}));
};

const shiftCount = (width: OperandWidth): Arbitrary<number | "cl"> =>
	fc.oneof(fc.constant("cl" as const), fc.integer({ min: 1, max: width - 1 }));

const countFact = (count: number | "cl"): OperandFact =>
	count === "cl" ? { kind: "register", name: "cl" } : { kind: "immediate", value: BigInt(count) };

const shift =
	(operation: "shl" | "shr" | "sar") =>
	(bits: Bits, width: OperandWidth): Arbitrary<Wanted> =>
		fc.tuple(registerShape(bits, width), shiftCount(width)).map(([to, count]) => ({
			emit: (assembler) => assembler[operation](to.value, count),
			mnemonic: operation,
			operands: (placeOf) => [to.fact(placeOf, 0), countFact(count)],
		}));

const doubleShift =
	(operation: "shld" | "shrd") =>
	(bits: Bits, width: OperandWidth): Arbitrary<Wanted> =>
		fc.tuple(registerShape(bits, width), registerShape(bits, width), shiftCount(width)).map(([to, from, count]) => ({
			emit: (assembler) => assembler[operation](to.value, from.value, count),
			mnemonic: operation,
			operands: (placeOf) => [to.fact(placeOf, 0), from.fact(placeOf, 0), countFact(count)],
		}));

const unary = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> =>
	fc
		.tuple(fc.constantFrom("not", "neg", "mul", "imul", "div", "idiv"), shapesOf(bits, width).either)
		.map(([operation, operand]) => ({
			emit: (assembler) => assembler.unary(operation, operand.value, width),
			mnemonic: operation,
			operands: facts([operand], width / 8),
		}));

const imul = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
	const { size, register, either, immediate } = shapesOf(bits, width);
	return fc.oneof(
		fc.tuple(register, either).map(([to, from]) => ({
			emit: (assembler: Assembler) => assembler.imul(to.value, from.value),
			mnemonic: "imul",
			operands: facts([to, from], size),
		})),
		fc.tuple(register, either, immediate).map(([to, from, factor]) => ({
			emit: (assembler: Assembler) => assembler.imul(to.value, from.value, factor.value),
			mnemonic: "imul",
			operands: facts([to, from, factor], size),
			immediateBytes: isShort(factor.value, width) ? 1 : 4,
		})),
	);
};

const bt = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> =>
	fc.tuple(registerShape(bits, width), registerShape(bits, width)).map(([value, bit]) => ({
		emit: (assembler) => assembler.bt(value.value, bit.value),
		mnemonic: "bt",
		operands: facts([value, bit], 0),
	}));

const exchange =
	(operation: "cmpxchg" | "xadd") =>
	(bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
		const { size, register, place } = shapesOf(bits, width);
		return fc.tuple(place, register, fc.boolean()).map(([to, from, isLocked]) => ({
			emit: (assembler) => {
				if (isLocked) assembler.lock();
				assembler[operation](to.value, from.value);
			},
			mnemonic: operation,
			operands: facts([to, from], size),
		}));
	};

const cmpxchg8b = (bits: Bits): Arbitrary<Wanted> => {
	const { place } = shapesOf(bits, 32);
	return fc.tuple(place, fc.boolean()).map(([to, isLocked]) => ({
		emit: (assembler) => {
			if (isLocked) assembler.lock();
			assembler.cmpxchg8b(to.value);
		},
		mnemonic: "cmpxchg8b",
		operands: facts([to], 8),
	}));
};

const movGs = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> =>
	registerShape(bits, width).map((to) => ({
		emit: (assembler) => assembler.movGs(to.value),
		mnemonic: "mov",
		operands: (placeOf) => [to.fact(placeOf, 0), { kind: "register", name: "gs" }],
	}));

const movFromGs = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
	const { size, register, place } = shapesOf(bits, width);
	return fc.tuple(register, place).map(([to, from]) => ({
		emit: (assembler) => assembler.movFromGs(to.value, from.value),
		mnemonic: "mov",
		operands: (placeOf) => [to.fact(placeOf, size), { ...from.fact(placeOf, size), segment: "gs" }] as const,
	}));
};

const lsl = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> =>
	fc.tuple(registerShape(bits, width), registerShape(bits, width)).map(([to, selector]) => ({
		emit: (assembler) => assembler.lsl(to.value, selector.value),
		mnemonic: "lsl",
		operands: facts([to, selector], 0),
	}));

const rdfsbase = (_: Bits, width: OperandWidth): Arbitrary<Wanted> =>
	registerShape(64, width).map((operand) => ({
		emit: (assembler) => assembler.rdfsbase(operand.value),
		mnemonic: "rdfsbase",
		operands: facts([operand], 0),
	}));

const MNEMONIC_OF_CONDITION = {
	o: "o",
	no: "no",
	b: "b",
	ae: "ae",
	z: "e",
	nz: "ne",
	be: "be",
	a: "a",
	s: "s",
	ns: "ns",
	p: "p",
	np: "np",
	l: "l",
	ge: "ge",
	le: "le",
	g: "g",
} as const satisfies Record<Condition, string>;

export const CONDITIONS: readonly Condition[] = Object.keys(MNEMONIC_OF_CONDITION) as Condition[];
export const jumpMnemonic = (condition: Condition): string => `j${MNEMONIC_OF_CONDITION[condition]}`;

const cmov = (bits: Bits, width: OperandWidth): Arbitrary<Wanted> => {
	const { size, register, either } = shapesOf(bits, width);
	return fc.tuple(fc.constantFrom(...CONDITIONS), register, either).map(([condition, to, from]) => ({
		emit: (assembler) => assembler.cmov(condition, to.value, from.value),
		mnemonic: `cmov${MNEMONIC_OF_CONDITION[condition]}`,
		operands: facts([to, from], size),
	}));
};

const stackOperand = (bits: Bits): Arbitrary<Shape<Register | Memory>> => shapesOf(bits, bits).either;

const push = (bits: Bits): Arbitrary<Wanted> =>
	fc.oneof(
		stackOperand(bits).map((operand) => ({
			emit: (assembler: Assembler) => assembler.push(operand.value),
			mnemonic: "push",
			operands: facts([operand], bits / 8),
		})),
		immediateOf(bits).map((value) => ({
			emit: (assembler: Assembler) => assembler.push(Number(value)),
			mnemonic: "push",
			operands: (): readonly OperandFact[] => [{ kind: "immediate", value: BigInt.asIntN(bits, BigInt(value)) }],
			immediateBytes: isShort(value, bits) ? 1 : 4,
		})),
	);

const pop = (bits: Bits): Arbitrary<Wanted> =>
	stackOperand(bits).map((operand) => ({
		emit: (assembler) => assembler.pop(operand.value),
		mnemonic: "pop",
		operands: facts([operand], bits / 8),
	}));

const int = (): Arbitrary<Wanted> =>
	fc.integer({ min: 0, max: 255 }).map((vector) => ({
		emit: (assembler) => assembler.int(vector),
		mnemonic: "int",
		operands: () => [{ kind: "immediate", value: BigInt(vector) }],
	}));

const indirect =
	(operation: "jmp" | "call") =>
	(bits: Bits): Arbitrary<Wanted> =>
		shapesOf(bits, bits).either.map((target) => ({
			emit: (assembler) => assembler[operation](target.value),
			mnemonic: operation,
			operands: facts([target], bits / 8),
		}));

const rdpid = (bits: Bits): Arbitrary<Wanted> =>
	registerShape(bits, bits).map((operand) => ({
		emit: (assembler) => assembler.rdpid(operand.value),
		mnemonic: "rdpid",
		operands: facts([operand], 0),
	}));

/** The methods that emit no instruction of their own, and `jcc`, which labels.test.ts covers. */
type Directive =
	| "bits"
	| "frameNoteCount"
	| "label"
	| "bind"
	| "align"
	| "cfaOffset"
	| "cfaSaved"
	| "cfaRestored"
	| "cfaSignalContext"
	| "noCaller"
	| "raw"
	| "lock"
	| "jcc"
	| "assemble";

/** One arbitrary per method: a new method of the assembler does not compile without one here. */
const BY_METHOD: Record<Exclude<keyof Assembler, Directive>, (bits: Bits, width: OperandWidth) => Arbitrary<Wanted>> = {
	add: arithmetic("add"),
	or: arithmetic("or"),
	adc: arithmetic("adc"),
	sbb: arithmetic("sbb"),
	and: arithmetic("and"),
	sub: arithmetic("sub"),
	xor: arithmetic("xor"),
	cmp: arithmetic("cmp"),
	mov,
	lea,
	test,
	shl: shift("shl"),
	shr: shift("shr"),
	sar: shift("sar"),
	shld: doubleShift("shld"),
	shrd: doubleShift("shrd"),
	unary,
	imul,
	bt,
	cmpxchg: exchange("cmpxchg"),
	cmpxchg8b,
	xadd: exchange("xadd"),
	push,
	pop,
	jmp: indirect("jmp"),
	call: indirect("call"),
	cmov,
	ret: () => withoutOperands("ret", (assembler) => assembler.ret()),
	nop: () => withoutOperands("nop", (assembler) => assembler.nop()),
	stc: () => withoutOperands("stc", (assembler) => assembler.stc()),
	syscall: () => withoutOperands("syscall", (assembler) => assembler.syscall()),
	sysenter: () => withoutOperands("sysenter", (assembler) => assembler.sysenter()),
	int,
	int3: () => withoutOperands("int3", (assembler) => assembler.int3()),
	popf: (bits) => withoutOperands(bits === 64 ? "popfq" : "popfd", (assembler) => assembler.popf()),
	endbr: (bits) => withoutOperands(`endbr${bits}`, (assembler) => assembler.endbr()),
	rdtsc: () => withoutOperands("rdtsc", (assembler) => assembler.rdtsc()),
	rdtscp: () => withoutOperands("rdtscp", (assembler) => assembler.rdtscp()),
	lfence: () => withoutOperands("lfence", (assembler) => assembler.lfence()),
	rdpid,
	movGs,
	movFromGs,
	lsl,
	rdfsbase,
};

/** Any instruction of code of `bits`, with operands of every width that exists there. */
export const instruction = (bits: Bits): Arbitrary<Wanted> => {
	const widths: readonly OperandWidth[] = bits === 64 ? [32, 64] : [32];
	const methods = Object.entries(BY_METHOD).filter(([name]) => bits === 64 || name !== "rdfsbase");
	return fc.oneof(...methods.flatMap(([, ofMethod]) => widths.map((width) => ofMethod(bits, width))));
};
