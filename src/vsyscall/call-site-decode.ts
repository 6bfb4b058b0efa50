/**
 * Instructions around a call, as far as they matter to the question where it led.
 *
 * Forwards, x86 code is read as the processor reads it. Backwards it cannot be read: only its end is known. So the bytes in front of
 * a return address are decoded from every start, and only chains that end there with a call survive. Chains that began inside an
 * instruction fall into step with the true one after a few instructions; a boundary therefore counts when more than half of the
 * surviving chains that could have it do. That a chain is the true one is never certain: the caller compares what it finds with the
 * address that was called.
 */
import type * as Iced from "iced-x86";
import { loadIced } from "../asm/disassembler.ts";
import type { GeneralRegister } from "./call-site.ts";

/** An effective address: base + index * scale + displacement. */
export interface EffectiveAddress {
	readonly base: GeneralRegister | undefined;
	readonly index: GeneralRegister | undefined;
	readonly scale: number;
	/** The whole address where there is neither base nor index. */
	readonly displacement: bigint;
}

/** Where a value comes from. */
export type Operand =
	/** Four bytes at `address`, sign-extended, or eight. */
	| { readonly kind: "immediate"; readonly address: bigint }
	| { readonly kind: "immediate64"; readonly address: bigint }
	| ({ readonly kind: "memory" } & EffectiveAddress)
	/** The address itself: a branch, `lea`, an immediate that is not sign-extended. */
	| ({ readonly kind: "address" } & EffectiveAddress)
	| { readonly kind: "register"; readonly name: GeneralRegister };

export interface Step {
	/** `start`: endbr64, which begins a function. `edge`: nothing is executed behind it. */
	readonly flow: "next" | "branch" | "call" | "jump" | "start" | "edge";
	readonly writes: ReadonlySet<GeneralRegister>;
	/** The one register that it gives a value, where that value comes whole from one operand. */
	readonly move: Operand | undefined;
	/** Where it calls or jumps. */
	readonly target: Operand | undefined;
}

const NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" ") as GeneralRegister[];
/** What a called function may change: System V psABI, AMD64, 3.2.1. */
const CLOBBERED: ReadonlySet<GeneralRegister> = new Set(
	"rax rcx rdx rsi rdi r8 r9 r10 r11".split(" ") as GeneralRegister[],
);

/** undefined for what is no 64-bit general register. */
export const nameOf = (iced: typeof Iced, register: Iced.Register): GeneralRegister | undefined =>
	NAMES[register - iced.Register.RAX];

/** undefined where it counts from a base that is not known here, or from half a register. */
const effectiveAddress = (iced: typeof Iced, instruction: Iced.Instruction): EffectiveAddress | undefined => {
	const { memorySegment, memoryBase, memoryIndex, memoryIndexScale, memoryDisplacement } = instruction;
	const { None, FS, GS } = iced.Register;
	if (memorySegment === FS || memorySegment === GS) return undefined;
	if (instruction.isIpRelMemoryOperand) {
		return { base: undefined, index: undefined, scale: 1, displacement: instruction.ipRelMemoryAddress };
	}
	const [base, index] = [nameOf(iced, memoryBase), nameOf(iced, memoryIndex)];
	const isWhole = (memoryBase === None || base !== undefined) && (memoryIndex === None || index !== undefined);
	return isWhole ? { base, index, scale: memoryIndexScale, displacement: memoryDisplacement } : undefined;
};

const memoryOperand = (iced: typeof Iced, instruction: Iced.Instruction): Operand | undefined => {
	const address = effectiveAddress(iced, instruction);
	return address === undefined ? undefined : { kind: "memory", ...address };
};

const constant = (value: bigint): Operand => ({
	kind: "address",
	base: undefined,
	index: undefined,
	scale: 1,
	displacement: value,
});

/** A register or memory operand. */
const rm = (iced: typeof Iced, instruction: Iced.Instruction, operand: number): Operand | undefined => {
	if (instruction.opKind(operand) === iced.OpKind.Memory) return memoryOperand(iced, instruction);
	const name = nameOf(iced, instruction.opRegister(operand));
	return name === undefined ? undefined : { kind: "register", name };
};

const moveOf = (iced: typeof Iced, instruction: Iced.Instruction): Operand | undefined => {
	if (instruction.op0Kind !== iced.OpKind.Register) return undefined;
	const { Code } = iced;
	const { code, nextIP } = instruction;
	if (code === Code.Mov_rm64_imm32) return { kind: "immediate", address: nextIP - 4n };
	if (code === Code.Mov_r64_imm64) return { kind: "immediate64", address: nextIP - 8n };
	if (code === Code.Mov_r32_imm32 || code === Code.Mov_rm32_imm32) return constant(BigInt(instruction.immediate32));
	if ([Code.Mov_r64_rm64, Code.Mov_rm64_r64, Code.Mov_RAX_moffs64].includes(code)) return rm(iced, instruction, 1);
	const address = code === Code.Lea_r64_m ? effectiveAddress(iced, instruction) : undefined;
	return address === undefined ? undefined : { kind: "address", ...address };
};

const targetOf = (iced: typeof Iced, instruction: Iced.Instruction): Operand | undefined => {
	const { Code } = iced;
	const { code } = instruction;
	if (code === Code.Call_rm64 || code === Code.Jmp_rm64) return rm(iced, instruction, 0);
	const isNear = [Code.Call_rel32_64, Code.Jmp_rel32_64, Code.Jmp_rel8_64].includes(code);
	return isNear ? constant(instruction.nearBranchTarget) : undefined;
};

const flowOf = (iced: typeof Iced, instruction: Iced.Instruction): Step["flow"] => {
	const { FlowControl } = iced;
	const { flowControl } = instruction;
	if (flowControl === FlowControl.Next) return instruction.code === iced.Code.Endbr64 ? "start" : "next";
	if (flowControl === FlowControl.ConditionalBranch) return "branch";
	if (flowControl === FlowControl.Call || flowControl === FlowControl.IndirectCall) return "call";
	const isJump = flowControl === FlowControl.UnconditionalBranch || flowControl === FlowControl.IndirectBranch;
	return isJump ? "jump" : "edge";
};

/** The objects of iced that decoding takes. They live in the heap of the WebAssembly and have to be freed. */
export class Decoding {
	readonly #iced: typeof Iced;
	readonly #decoder: Iced.Decoder;
	readonly #instruction: Iced.Instruction;
	readonly #factory: Iced.InstructionInfoFactory;
	readonly #address: bigint;
	readonly length: number;

	constructor(code: Uint8Array, address: bigint) {
		this.#iced = loadIced();
		this.#decoder = new this.#iced.Decoder(64, code, this.#iced.DecoderOptions.None);
		this.#instruction = new this.#iced.Instruction();
		this.#factory = new this.#iced.InstructionInfoFactory();
		this.#address = address;
		this.length = code.length;
	}

	free(): void {
		this.#factory.free();
		this.#instruction.free();
		this.#decoder.free();
	}

	/** What was decoded last; changed by the next decode. */
	get instruction(): Iced.Instruction {
		return this.#instruction;
	}

	/** Offsets of the four or eight bytes of constants in the instruction that was decoded last, from its first byte. */
	constants(): readonly number[] {
		const offsets = this.#decoder.getConstantOffsets(this.#instruction);
		const { immediateOffset, immediateSize, displacementOffset, displacementSize } = offsets;
		offsets.free();
		const all = [
			[immediateOffset, immediateSize],
			[displacementOffset, displacementSize],
		] as const;
		return all.filter(([, size]) => size >= 4).map(([offset]) => offset);
	}

	/** Bytes of the instruction at an offset; 0 where there is none. */
	lengthAt(offset: number): number {
		this.#decoder.position = offset;
		this.#decoder.ip = BigInt.asUintN(64, this.#address + BigInt(offset));
		this.#decoder.decodeOut(this.#instruction);
		return this.#instruction.isInvalid ? 0 : this.#instruction.length;
	}

	stepAt(offset: number): Step {
		this.lengthAt(offset);
		const [iced, instruction] = [this.#iced, this.#instruction];
		const flow = flowOf(iced, instruction);
		const writes = flow === "call" ? CLOBBERED : this.#writes();
		return { flow, writes, move: moveOf(iced, instruction), target: targetOf(iced, instruction) };
	}

	/** The registers that the instruction which was decoded last uses the value of, in an address too. */
	reads(): ReadonlySet<GeneralRegister> {
		const { OpAccess } = this.#iced;
		const ways = [OpAccess.Read, OpAccess.CondRead, OpAccess.ReadWrite, OpAccess.ReadCondWrite];
		return this.#registers((access) => ways.includes(access));
	}

	#writes(): ReadonlySet<GeneralRegister> {
		const { OpAccess } = this.#iced;
		const others = [OpAccess.None, OpAccess.Read, OpAccess.CondRead, OpAccess.NoMemAccess];
		return this.#registers((access) => !others.includes(access));
	}

	#registers(isMeant: (access: Iced.OpAccess) => boolean): ReadonlySet<GeneralRegister> {
		const registers = new Set<GeneralRegister>();
		const info = this.#factory.info(this.#instruction);
		for (const used of info.usedRegisters() as readonly Iced.UsedRegister[]) {
			const name = nameOf(this.#iced, this.#iced.RegisterExt.fullRegister(used.register));
			if (name !== undefined && isMeant(used.access)) registers.add(name);
			used.free();
		}
		info.free();
		return registers;
	}
}

/** Which chains of instructions lead to the call at one offset. */
class Chains {
	readonly #lengths: readonly number[];
	/** By offset: how many starts have a chain with a boundary there. */
	readonly #votes: number[] = [];
	/** By offset: how many starts, up to this one, have a chain at all. */
	readonly #survivors: number[] = [];

	constructor(lengths: readonly number[], call: number) {
		this.#lengths = lengths;
		const leads: boolean[] = [];
		leads[call] = true;
		for (let offset = call - 1; offset >= 0; offset--) {
			const length = lengths[offset] ?? 0;
			leads[offset] = length > 0 && leads[offset + length] === true;
		}
		let survivors = 0;
		for (let offset = 0; offset <= call; offset++) {
			if (leads[offset] === true) survivors += 1;
			const votes = this.#endingAt(offset).reduce((sum, from) => sum + this.votesAt(from), 1);
			this.#votes.push(leads[offset] === true ? votes : 0);
			this.#survivors.push(survivors);
		}
	}

	votesAt(offset: number): number {
		return this.#votes[offset] ?? 0;
	}

	/** Where the instruction in front of a boundary begins, if most chains say so. */
	before(boundary: number): number | undefined {
		return this.#endingAt(boundary)
			.filter((offset) => this.votesAt(offset) * 2 > (this.#survivors[offset] ?? 0))
			.toSorted((one, other) => this.votesAt(other) - this.votesAt(one))[0];
	}

	#endingAt(boundary: number): number[] {
		const offsets: number[] = [];
		for (let offset = Math.max(0, boundary - 15); offset < boundary; offset++) {
			if ((this.#lengths[offset] ?? 0) === boundary - offset) offsets.push(offset);
		}
		return offsets;
	}
}

/**
 * The call that `code` ends with, then what was executed before it, backwards; undefined where it ends with none.
 *
 * Where it has two readings (`ff 14 25` with and without a prefix), most chains decide; the longer one where they are at odds.
 *
 * @param address of the first byte
 */
export const readBackwards = (code: Uint8Array, address: bigint): readonly Step[] | undefined => {
	const decoding = new Decoding(code, address);
	try {
		const lengths = Array.from(code, (_, offset) => decoding.lengthAt(offset));
		const best = lengths
			.map((length, offset) => ({ length, offset }))
			.filter(({ length, offset }) => length > 0 && offset + length === code.length)
			.map(({ offset }) => ({ call: decoding.stepAt(offset), offset, chains: new Chains(lengths, offset) }))
			.filter(({ call }) => call.flow === "call")
			.toSorted((one, other) => other.chains.votesAt(other.offset) - one.chains.votesAt(one.offset))[0];
		if (best === undefined) return undefined;
		const steps = [best.call];
		let at = best.chains.before(best.offset);
		while (at !== undefined) {
			const step = decoding.stepAt(at);
			// Another function, or another block that jumps elsewhere.
			if (step.flow !== "next" && step.flow !== "branch" && step.flow !== "call") break;
			steps.push(step);
			at = best.chains.before(at);
		}
		return steps;
	} finally {
		decoding.free();
	}
};

/** Enough for the arguments that a wrapper sets. */
const MOST_STEPS = 16;

/**
 * A function that only jumps on: its jump, then what it executes before, backwards; undefined for any other code.
 *
 * @param address of the first byte
 */
export const readToJump = (code: Uint8Array, address: bigint): readonly Step[] | undefined => {
	const decoding = new Decoding(code, address);
	try {
		const steps: Step[] = [];
		for (let offset = 0; offset < code.length && steps.length < MOST_STEPS; ) {
			const length = decoding.lengthAt(offset);
			if (length === 0) return undefined;
			const step = decoding.stepAt(offset);
			if (step.flow === "jump") return step.target === undefined ? undefined : [step, ...steps.toReversed()];
			if (step.flow !== "next" && !(step.flow === "start" && offset === 0)) return undefined;
			steps.push(step);
			offset += length;
		}
		return undefined;
	} finally {
		decoding.free();
	}
};
