/**
 * One instruction's bytes: prefix, opcode, ModRM, SIB, displacement (SDM vol. 2, chapter 2).
 *
 *      7   6 5     3 2   0        7     6 5     3 2    0
 *     | mod | reg   | r/m |      | scale | index | base |
 *         ModRM                        SIB
 *
 * Two holes of the table shape the code: r/m 100b means "a SIB follows", so rsp and r12 as a base need a SIB; mod 00b with
 * r/m 101b means "disp32 without base" (rip-relative in 64-bit code), so rbp and r13 as a base need at least a disp8 of 0.
 */
import { fail } from "./fail.ts";
import type { AnchoredMemory, BasedMemory, Label, Memory, RipRelativeMemory } from "./operands.ts";
import type { Register } from "./registers.ts";

/** The size of the code segment: CS.L in 64-bit code, CS.D in 32-bit code. */
export type Bits = 32 | 64;

/** The operand widths that we encode: 8 and 16 bits need other opcodes and a 66 prefix. */
export type OperandWidth = 32 | 64;

/** A 32-bit field that holds `label + addend - origin` once the labels have a place. */
export interface Fixup {
	/** Offset of the field from the start of the instruction. */
	readonly field: number;
	readonly label: Label;
	readonly addend: number;
	/** What the distance is counted from: the next instruction, as the processor does, or the label of an anchor. */
	readonly origin: "next" | Label;
}

export interface Encoded {
	readonly bytes: readonly number[];
	readonly fixup?: Fixup;
}

/** An instruction with a ModRM byte. */
export interface ModRmForm {
	readonly bits: Bits;
	/** Bytes in front of REX: 66, F2, F3. */
	readonly prefix?: readonly number[];
	readonly opcode: readonly number[];
	/** The `reg` field: a register, or the opcode extension that the manual writes as `/digit`. */
	readonly reg: Register | number;
	readonly rm: Register | Memory;
	/** Operand width; 64 sets REX.W. */
	readonly width: OperandWidth;
	/** Bytes behind the displacement. */
	readonly immediate?: readonly number[];
}

/** Little-endian bytes of `value` in `width` bytes; the caller has checked the range. */
export const immediateBytes = (value: bigint | number, width: 1 | 2 | 4 | 8): number[] => {
	let rest = BigInt.asUintN(width * 8, BigInt(value));
	const bytes: number[] = [];
	for (let index = 0; index < width; index++) {
		bytes.push(Number(rest & 0xffn));
		rest >>= 8n;
	}
	return bytes;
};

const isInt8 = (value: number): boolean => value >= -128 && value <= 127;

const checkRegister = (bits: Bits, register: Register): void => {
	if (bits === 32 && (register.number > 7 || register.width === 64))
		fail(`${register.name} does not exist in 32-bit code`);
};

interface Address {
	/** mod and r/m, SIB and displacement; the reg field of the first byte is zero. */
	readonly bytes: readonly number[];
	readonly rexX: number;
	readonly rexB: number;
	/** Counted from the ModRM byte. */
	readonly fixup?: Fixup;
}

const ripRelativeAddress = (bits: Bits, { label, displacement }: RipRelativeMemory): Address => {
	if (bits === 32) fail("rip-relative operands do not exist in 32-bit code");
	return {
		bytes: [0x05, 0, 0, 0, 0],
		rexX: 0,
		rexB: 0,
		fixup: { field: 1, label, addend: displacement, origin: "next" },
	};
};

const checkAddressRegister = (bits: Bits, register: Register | undefined): void => {
	if (register === undefined) return;
	checkRegister(bits, register);
	if (register.width !== bits) fail(`${register.name} cannot address memory in ${bits}-bit code`);
};

/** mod and the displacement: none, a signed byte or 32 bits, the shortest that `base` allows. */
const displacementOf = (base: Register, displacement: number): { mod: number; tail: readonly number[] } => {
	if (displacement === 0 && (base.number & 7) !== 5) return { mod: 0, tail: [] };
	if (isInt8(displacement)) return { mod: 0x40, tail: immediateBytes(displacement, 1) };
	return { mod: 0x80, tail: immediateBytes(displacement, 4) };
};

/** `[base]` and `[base + displacement]`: r/m holds the base itself. */
const baseAddress = (base: Register, displacement: number): Address => {
	const { mod, tail } = displacementOf(base, displacement);
	const place = { rexX: 0, rexB: base.number >> 3 };
	// SIB 24: no index (100b), base rsp or r12.
	if ((base.number & 7) === 4) return { ...place, bytes: [mod | 4, 0x24, ...tail] };
	return { ...place, bytes: [mod | (base.number & 7), ...tail] };
};

/** Always 32 bits of displacement: the distance is not known before the labels have their places. */
const anchoredAddress = (bits: Bits, { anchor, label, displacement }: AnchoredMemory): Address => {
	const { register } = anchor;
	checkAddressRegister(bits, register);
	const sib = (register.number & 7) === 4 ? [0x24] : [];
	return {
		bytes: [0x80 | (register.number & 7), ...sib, 0, 0, 0, 0],
		rexX: 0,
		rexB: register.number >> 3,
		fixup: { field: 1 + sib.length, label, addend: displacement, origin: anchor.label },
	};
};

/** `[displacement]`: plain in 32-bit code; in 64-bit code those bytes are rip-relative, and a SIB without base and index is needed. */
const absoluteAddress = (bits: Bits, displacement: number): Address => ({
	bytes: [...(bits === 64 ? [0x04, 0x25] : [0x05]), ...immediateBytes(displacement, 4)],
	rexX: 0,
	rexB: 0,
});

const basedAddress = (bits: Bits, { base, index, scale, displacement }: BasedMemory): Address => {
	checkAddressRegister(bits, base);
	checkAddressRegister(bits, index);
	if (index === undefined)
		return base === undefined ? absoluteAddress(bits, displacement) : baseAddress(base, displacement);
	if (index.number === 4) fail(`${index.name} cannot be an index`);
	const rexX = index.number >> 3;
	const scaledIndex = { 1: 0, 2: 0x40, 4: 0x80, 8: 0xc0 }[scale] | ((index.number & 7) << 3);
	// mod 00 with base 101b: no base, and always 32 bits of displacement.
	if (base === undefined) return { bytes: [0x04, scaledIndex | 5, ...immediateBytes(displacement, 4)], rexX, rexB: 0 };
	const { mod, tail } = displacementOf(base, displacement);
	return { bytes: [mod | 4, scaledIndex | (base.number & 7), ...tail], rexX, rexB: base.number >> 3 };
};

const addressOf = (bits: Bits, operand: Register | Memory): Address => {
	switch (operand.kind) {
		case "register":
			checkRegister(bits, operand);
			return { bytes: [0xc0 | (operand.number & 7)], rexX: 0, rexB: operand.number >> 3 };
		case "rip-relative":
			return ripRelativeAddress(bits, operand);
		case "anchored":
			return anchoredAddress(bits, operand);
		case "memory":
			return basedAddress(bits, operand);
		default:
			return operand satisfies never;
	}
};

/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when an operand does not exist in code of this size. */
export const encodeModRm = (form: ModRmForm): Encoded => {
	const { bits, reg, rm, width, prefix = [], opcode, immediate = [] } = form;
	if (typeof reg !== "number") checkRegister(bits, reg);
	if (bits === 32 && width === 64) fail("64-bit operands do not exist in 32-bit code");
	const regNumber = typeof reg === "number" ? reg : reg.number;
	const place = addressOf(bits, rm);
	const rex = (width === 64 ? 8 : 0) | ((regNumber >> 3) << 2) | (place.rexX << 1) | place.rexB;
	const head = [...prefix, ...(rex === 0 ? [] : [0x40 | rex]), ...opcode];
	const [modRm = 0, ...rest] = place.bytes;
	const bytes = [...head, modRm | ((regNumber & 7) << 3), ...rest, ...immediate];
	if (place.fixup === undefined) return { bytes };
	return { bytes, fixup: { ...place.fixup, field: head.length + place.fixup.field } };
};

/** An instruction that carries its register in the low three bits of the opcode (PUSH, POP, MOV r, imm). */
export interface OpcodeRegisterForm {
	readonly bits: Bits;
	readonly opcode: number;
	readonly register: Register;
	/** 64 sets REX.W; PUSH and POP are 64 bits wide without it. */
	readonly width: OperandWidth;
	readonly immediate?: readonly number[];
}

/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when the register does not exist in code of this size. */
export const encodeOpcodeRegister = (form: OpcodeRegisterForm): Encoded => {
	const { bits, opcode, register, width, immediate = [] } = form;
	checkRegister(bits, register);
	const rex = (width === 64 ? 8 : 0) | (register.number >> 3);
	return { bytes: [...(rex === 0 ? [] : [0x40 | rex]), opcode | (register.number & 7), ...immediate] };
};
