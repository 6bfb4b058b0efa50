/**
 * Machine code as text, for `inspect` and for golden tests: Intel order, NASM spelling, lower case.
 *
 *     disassemble(code.bytes, 64, 0n, (address) => symbols.get(address));
 *     // [{ offset: 0, bytes: [0x74, 0x05], text: "je done" }, …]
 *
 * iced-x86 is 0.9 MB of WebAssembly, so it is loaded by the first call, and by `createRequire`: `import()` reads all of it once more
 * to guess its export names. Its objects live in the WebAssembly heap, outside the reach of the garbage
 * collector; each is freed here. Its formatter takes no symbols in JavaScript, so operands that are an address are named here.
 */
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import type * as Iced from "iced-x86";
import type { Bits } from "./encoding.ts";

export interface DisassembledInstruction {
	/** From the first byte of the code. */
	readonly offset: number;
	readonly bytes: Uint8Array;
	/** `(bad)` where the bytes are no instruction, or end inside one. */
	readonly text: string;
}

/** The name of an address, or `undefined` to leave it in hexadecimal. */
export type SymbolOf = (address: bigint) => string | undefined;

let loaded: typeof Iced | undefined;

/**
 * iced-x86, loaded by the first call.
 *
 * Its code stays with V8's baseline compiler. When a hot function was about to be optimized (Runtime_WasmTriggerTierUp), Node 20.20
 * ended with "Check failed: maybe_code.has_value()" while it walked the stack, seen after some hundred decodes on a slow machine
 * (QEMU); a supervisor must not end like that.
 */
export const loadIced = (): typeof Iced => {
	if (loaded === undefined) {
		setFlagsFromString("--no-wasm-tier-up");
		setFlagsFromString("--no-wasm-dynamic-tiering");
		loaded = createRequire(import.meta.url)("iced-x86") as typeof Iced;
	}
	return loaded;
};

const createFormatter = (iced: typeof Iced): Iced.Formatter => {
	const formatter = new iced.Formatter(iced.FormatterSyntax.Nasm);
	formatter.hexPrefix = "0x";
	formatter.hexSuffix = "";
	formatter.uppercaseHex = false;
	formatter.addLeadingZeroToHexNumbers = false;
	formatter.branchLeadingZeros = false;
	formatter.showBranchSize = false;
	formatter.spaceAfterOperandSeparator = true;
	return formatter;
};

/** How the formatter writes an address; below 10 in decimal. */
const ADDRESS = /\b(?:0x[0-9a-f]+|[0-9])\b/;

/** The address that an operand states: a branch target, `[rip + displacement]` or `[displacement]`. */
const addressOf = (iced: typeof Iced, instruction: Iced.Instruction, operand: number): bigint | undefined => {
	const kind = instruction.opKind(operand);
	const { NearBranch16, NearBranch32, NearBranch64, Memory } = iced.OpKind;
	if (kind === NearBranch16 || kind === NearBranch32 || kind === NearBranch64) return instruction.nearBranchTarget;
	// fs:[…] and gs:[…] count from a base that the code does not state.
	if (kind !== Memory || instruction.hasSegmentPrefix || instruction.memoryIndex !== iced.Register.None)
		return undefined;
	const isAbsolute = instruction.memoryBase === iced.Register.None || instruction.isIpRelMemoryOperand;
	return isAbsolute ? instruction.memoryDisplacement : undefined;
};

/**
 * Decodes all of `bytes`; a byte that starts no instruction is one entry of its own, so the entries cover the input without a gap.
 *
 * @param address of the first byte, from which branches and rip-relative operands count
 */
export const disassemble = (
	bytes: Uint8Array,
	bits: Bits,
	address: bigint,
	symbolOf: SymbolOf = () => undefined,
): readonly DisassembledInstruction[] => {
	const iced = loadIced();
	const formatter = createFormatter(iced);
	const decoder = new iced.Decoder(bits, bytes, iced.DecoderOptions.None);
	const instruction = new iced.Instruction();
	const format = (): string => {
		const operands: string[] = [];
		for (let index = 0; index < formatter.operandCount(instruction); index++) {
			const operand = formatter.getInstructionOperand(instruction, index);
			// -38 is an error number, but INT 0x80 takes no negative one.
			formatter.signedImmediateOperands =
				operand !== undefined && instruction.opKind(operand) !== iced.OpKind.Immediate8;
			const text = formatter.formatOperand(instruction, index);
			const target = operand === undefined ? undefined : addressOf(iced, instruction, operand);
			const symbol = target === undefined ? undefined : symbolOf(target);
			operands.push(symbol === undefined ? text : text.replace(ADDRESS, () => symbol));
		}
		return `${formatter.formatMnemonic(instruction)} ${operands.join(", ")}`.trimEnd();
	};
	try {
		decoder.ip = BigInt.asUintN(bits, address);
		const instructions: DisassembledInstruction[] = [];
		while (decoder.canDecode) {
			const offset = decoder.position;
			decoder.decodeOut(instruction);
			instructions.push({ offset, bytes: bytes.subarray(offset, decoder.position), text: format() });
		}
		return instructions;
	} finally {
		instruction.free();
		decoder.free();
		formatter.free();
	}
};
