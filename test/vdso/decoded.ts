/** Functions of an image as iced-x86 decodes them, with what each instruction does to registers and to the stack pointer. */
import { createRequire } from "node:module";
import type * as Iced from "iced-x86";
import { type FrameDescription, readCallFrames } from "../../src/elf/call-frame.ts";
import { STT_FUNC } from "../../src/elf/constants.ts";
import { readElf } from "../../src/elf/reader.ts";
import type { Image } from "../../src/vdso/image.ts";

const iced = createRequire(import.meta.url)("iced-x86") as typeof Iced;

/** Where the processor goes on behind an instruction. */
export type Flow =
	| { readonly kind: "next" | "call" | "return" | "leave" | "trap" }
	/** To another function of the image. */
	| { readonly kind: "internal-call"; readonly target: number }
	| { readonly kind: "jump" | "branch"; readonly target: number };

export interface DecodedInstruction {
	/** In the image. */
	readonly offset: number;
	readonly length: number;
	readonly mnemonic: string;
	readonly flow: Flow;
	/** Bytes that it adds to the stack pointer; undefined when that cannot be told. */
	readonly stackChange: number | undefined;
	/** Full names ("rax") of the general-purpose registers that it may change, the stack pointer left out. */
	readonly written: readonly string[];
}

const { Mnemonic, OpAccess, OpKind, Register, FlowControl } = iced;

const fullName = (register: Iced.Register): string => Register[iced.RegisterExt.fullRegister(register)].toLowerCase();

const WRITES: ReadonlySet<Iced.OpAccess> = new Set([
	OpAccess.Write,
	OpAccess.CondWrite,
	OpAccess.ReadWrite,
	OpAccess.ReadCondWrite,
]);

const stackChange = (instruction: Iced.Instruction, written: readonly string[]): number | undefined => {
	const { mnemonic } = instruction;
	if (mnemonic === Mnemonic.Call) return 0;
	if (instruction.isStackInstruction) return instruction.stackPointerIncrement;
	if (!written.includes("rsp")) return 0;
	const isConstant = instruction.op1Kind === OpKind.Immediate8to64 || instruction.op1Kind === OpKind.Immediate32to64;
	if (instruction.op0Register !== Register.RSP || !isConstant) return undefined;
	const constant = Number(BigInt.asIntN(64, instruction.immediate(1)));
	if (mnemonic === Mnemonic.Add) return constant;
	return mnemonic === Mnemonic.Sub ? -constant : undefined;
};

const flowOf = (instruction: Iced.Instruction): Flow => {
	switch (instruction.flowControl) {
		case FlowControl.Call:
			if (instruction.mnemonic === Mnemonic.Call)
				return { kind: "internal-call", target: Number(instruction.nearBranchTarget) };
			return { kind: "next" };
		case FlowControl.IndirectCall:
			// iced counts SYSCALL among the calls.
			return { kind: instruction.mnemonic === Mnemonic.Call ? "call" : "next" };
		case FlowControl.Return:
			return { kind: "return" };
		case FlowControl.IndirectBranch:
			return { kind: "leave" };
		case FlowControl.UnconditionalBranch:
			return { kind: "jump", target: Number(instruction.nearBranchTarget) };
		case FlowControl.ConditionalBranch:
			return { kind: "branch", target: Number(instruction.nearBranchTarget) };
		case FlowControl.Interrupt:
		case FlowControl.Exception:
		case FlowControl.XbeginXabortXend:
			return { kind: "trap" };
		case FlowControl.Next:
		default:
			return { kind: "next" };
	}
};

/**
 * Decodes the bytes of `image` from `start` to `end`, one instruction behind the other.
 *
 * @throws {Error} when they are not all valid instructions.
 */
export const decodeRange = (image: Uint8Array, start: number, end: number): readonly DecodedInstruction[] => {
	const decoder = new iced.Decoder(64, image.subarray(start, end), iced.DecoderOptions.None);
	const factory = new iced.InstructionInfoFactory();
	const instruction = new iced.Instruction();
	const decoded: DecodedInstruction[] = [];
	try {
		decoder.ip = BigInt(start);
		while (decoder.canDecode) {
			const offset = Number(decoder.ip);
			decoder.decodeOut(instruction);
			if (decoder.lastError !== iced.DecoderError.None) throw new Error(`No instruction at ${offset.toString(16)}`);
			const info = factory.info(instruction);
			const used = info.usedRegisters() as readonly Iced.UsedRegister[];
			const written = used.filter(({ access }) => WRITES.has(access)).map(({ register }) => fullName(register));
			for (const register of used) register.free();
			info.free();
			decoded.push({
				offset,
				length: instruction.length,
				mnemonic: Mnemonic[instruction.mnemonic].toLowerCase(),
				flow: flowOf(instruction),
				stackChange: stackChange(instruction, written),
				written: [...new Set(written)].filter((name) => name !== "rsp"),
			});
		}
	} finally {
		instruction.free();
		factory.free();
		decoder.free();
	}
	return decoded;
};

export interface CodeBlock {
	/** Of the first exported name, "installer", or "stub at …". */
	readonly name: string;
	readonly isExported: boolean;
	readonly start: number;
	readonly end: number;
	readonly frame: FrameDescription;
}

/** Every stretch of code that has a frame description: the functions, the stubs of system calls, the installer. */
export const codeBlocks = (image: Image): readonly CodeBlock[] => {
	const elf = readElf(image.bytes);
	const frames = readCallFrames(elf);
	if (frames === undefined) throw new Error("No PT_GNU_EH_FRAME");
	return frames.descriptions.map((frame) => {
		const start = Number(frame.start);
		// The frame of a signal begins a byte in front of the function.
		const first = frame.start + (frame.isSignalFrame ? 1n : 0n);
		const symbol = elf.symbols.find(({ type, value }) => type === STT_FUNC && value === first);
		const other = start === image.installerOffset ? "installer" : `stub at ${start.toString(16)}`;
		return {
			name: symbol?.name.replace("__vdso_", "") ?? other,
			isExported: symbol !== undefined,
			start,
			end: start + Number(frame.length),
			frame,
		};
	});
};
