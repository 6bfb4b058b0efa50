/** What iced-x86 sees in our bytes, as plain values that can be compared with what was asked for. */
import { createRequire } from "node:module";
import type * as Iced from "iced-x86";
import type { Bits } from "../../src/asm/encoding.ts";

const iced = createRequire(import.meta.url)("iced-x86") as typeof Iced;

export type OperandFact =
	| { readonly kind: "register"; readonly name: string }
	| {
			readonly kind: "memory";
			/** "rip" for a rip-relative operand, whose displacement is then the address itself. */
			readonly base: string;
			readonly index: string;
			readonly scale: number;
			readonly displacement: bigint;
			/** Bytes that the instruction reads or writes there; 0 for LEA. */
			readonly size: number;
			/** Of a segment that is not the usual one. */
			readonly segment?: string;
	  }
	/** Sign-extended from the width that the instruction computes with. */
	| { readonly kind: "immediate"; readonly value: bigint }
	| { readonly kind: "branch"; readonly target: bigint };

export interface InstructionFact {
	readonly offset: number;
	readonly length: number;
	readonly mnemonic: string;
	/** iced's name of the opcode, such as `Add_rm64_imm8`. */
	readonly form: string;
	readonly bits: number;
	readonly operands: readonly OperandFact[];
	/** Bytes of the same form from iced's own encoder, told to use the shortest displacement. */
	readonly reencoded: Uint8Array;
	/** The same with a displacement as long as it was. */
	readonly reencodedAsLong: Uint8Array;
}

const registerName = (register: Iced.Register): string => iced.Register[register].toLowerCase();

const CODE_SIZES = new Map([
	[iced.CodeSize.Code32, 32],
	[iced.CodeSize.Code64, 64],
]);

const IMMEDIATES: ReadonlyMap<Iced.OpKind, (value: bigint) => bigint> = new Map([
	[iced.OpKind.Immediate8, (value: bigint) => BigInt.asUintN(8, value)],
	[iced.OpKind.Immediate8to32, (value: bigint) => BigInt.asIntN(32, value)],
	[iced.OpKind.Immediate32, (value: bigint) => BigInt.asIntN(32, value)],
	[iced.OpKind.Immediate8to64, (value: bigint) => BigInt.asIntN(64, value)],
	[iced.OpKind.Immediate32to64, (value: bigint) => BigInt.asIntN(64, value)],
	[iced.OpKind.Immediate64, (value: bigint) => BigInt.asIntN(64, value)],
]);

const memoryFact = (instruction: Iced.Instruction, bits: Bits): OperandFact => ({
	kind: "memory",
	base: registerName(instruction.memoryBase),
	index: registerName(instruction.memoryIndex),
	scale: instruction.memoryIndexScale,
	displacement: instruction.isIpRelMemoryOperand
		? instruction.ipRelMemoryAddress
		: BigInt.asIntN(bits, instruction.memoryDisplacement),
	size: iced.MemorySizeExt.size(instruction.memorySize),
	...(instruction.hasSegmentPrefix ? { segment: registerName(instruction.segmentPrefix) } : {}),
});

const operandFact = (instruction: Iced.Instruction, operand: number, bits: Bits): OperandFact => {
	const kind = instruction.opKind(operand);
	if (kind === iced.OpKind.Register) return { kind: "register", name: registerName(instruction.opRegister(operand)) };
	if (kind === iced.OpKind.Memory) return memoryFact(instruction, bits);
	if (kind === iced.OpKind.NearBranch32 || kind === iced.OpKind.NearBranch64)
		return { kind: "branch", target: instruction.nearBranchTarget };
	const extend = IMMEDIATES.get(kind);
	if (extend === undefined) throw new Error(`Unexpected operand kind ${iced.OpKind[kind]}`);
	return { kind: "immediate", value: extend(instruction.immediate(operand)) };
};

const encode = (encoder: Iced.Encoder, instruction: Iced.Instruction, offset: bigint): Uint8Array => {
	encoder.encode(instruction, offset);
	return encoder.takeBuffer();
};

const reencode = (encoder: Iced.Encoder, instruction: Iced.Instruction, offset: bigint): Uint8Array => {
	// 1: "use a byte, or 32 bits if it does not fit"; without a base there are always 32 bits.
	if (instruction.memoryBase !== iced.Register.None && !instruction.isIpRelMemoryOperand)
		instruction.memoryDisplSize = instruction.memoryDisplacement === 0n ? 0 : 1;
	return encode(encoder, instruction, offset);
};

/** @throws {Error} when iced takes the bytes for anything but valid instructions. */
export const decode = (bytes: Uint8Array, bits: Bits, address = 0n): readonly InstructionFact[] => {
	const decoder = new iced.Decoder(bits, bytes, iced.DecoderOptions.None);
	const encoder = new iced.Encoder(bits);
	const instruction = new iced.Instruction();
	try {
		decoder.ip = address;
		const facts: InstructionFact[] = [];
		while (decoder.canDecode) {
			const offset = decoder.position;
			const ip = decoder.ip;
			decoder.decodeOut(instruction);
			if (decoder.lastError !== iced.DecoderError.None) throw new Error(`Not an instruction at offset ${offset}`);
			facts.push({
				offset,
				length: instruction.length,
				mnemonic: iced.Mnemonic[instruction.mnemonic].toLowerCase(),
				form: iced.Code[instruction.code],
				bits: CODE_SIZES.get(instruction.codeSize) ?? 0,
				operands: Array.from({ length: instruction.opCount }, (_, operand) => operandFact(instruction, operand, bits)),
				reencodedAsLong: encode(encoder, instruction, ip),
				reencoded: reencode(encoder, instruction, ip),
			});
		}
		return facts;
	} finally {
		instruction.free();
		encoder.free();
		decoder.free();
	}
};
