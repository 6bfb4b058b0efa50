/**
 * What becomes of an address of the page in the code behind the instruction that has it: a register or a place on the stack holds
 * it, is copied, moved on by a constant, lost, and perhaps called.
 *
 * Branches are followed both ways, as far as the window reaches and no further than MOST_STEPS instructions.
 */
import type * as Iced from "iced-x86";
import { loadIced } from "../asm/disassembler.ts";
import { ByteReader } from "../bytes.ts";
import type { GeneralRegister } from "../vsyscall/call-site.ts";
import { type EffectiveAddress, nameOf, type Operand, type Step } from "../vsyscall/call-site-decode.ts";
import { isInVsyscallPage } from "../vsyscall/page.ts";
import type { CodeWindow } from "./code-window.ts";

export type Use =
	| {
			readonly kind: "called";
			readonly target: bigint;
			/** Offsets in the window of the instructions from the first one to the call. */
			readonly path: readonly number[];
			/** The word that the target was read from. */
			readonly pointer: bigint | undefined;
	  }
	/** Stored, passed or returned; or the end was not seen. */
	| { readonly kind: "escapes" }
	| { readonly kind: "read" }
	/** Compared, or computed with. */
	| { readonly kind: "mentioned" };

type Read = (address: bigint, length: number) => Uint8Array;

interface Held {
	readonly value: bigint;
	readonly pointer: bigint | undefined;
}

/** What holds an address of the page: registers by name, places on the stack as `rbp-8`. */
type Holders = Map<string, Held>;

interface Branch {
	readonly offset: number;
	readonly holders: Holders;
	readonly path: readonly number[];
}

const MOST_STEPS = 192;
/** In which the System V ABI passes the first arguments. */
const ARGUMENTS = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"] as const;

const stackPlace = ({ base, index, displacement }: EffectiveAddress): string | undefined =>
	index === undefined && (base === "rsp" || base === "rbp") ? `${base}${BigInt.asIntN(32, displacement)}` : undefined;

export class Flow {
	readonly #window: CodeWindow;
	readonly #iced: typeof Iced;
	/** Bytes of the program at an address; fewer where it has none. */
	readonly #read: Read;
	readonly #branches: Branch[] = [];
	readonly #visited = new Set<number>();
	#called: Extract<Use, { kind: "called" }> | undefined;
	#isEscaping = false;
	#isRead = false;
	#isMentioned = false;

	constructor(window: CodeWindow, read: Read) {
		this.#window = window;
		this.#iced = loadIced();
		this.#read = read;
	}

	/**
	 * Follows the address that the instruction at `start` has.
	 *
	 * @returns undefined where the instruction has none: its constant is half of something else
	 */
	follow(start: number): Use | undefined {
		const holders: Holders = new Map();
		const step = this.#window.decoding.stepAt(start);
		this.#visited.add(start);
		if (!this.#begin(step, holders, start)) return undefined;
		if (this.#called !== undefined) return this.#called;
		if (holders.size > 0) {
			this.#branches.push({ offset: start + this.#window.decoding.instruction.length, holders, path: [start] });
		}
		let steps = 0;
		for (let branch = this.#branches.pop(); branch !== undefined; branch = this.#branches.pop()) {
			steps = this.#walk(branch, steps);
		}
		return this.#result();
	}

	#result(): Use {
		if (this.#called !== undefined) return this.#called;
		if (this.#isRead) return { kind: "read" };
		return { kind: this.#isMentioned && !this.#isEscaping ? "mentioned" : "escapes" };
	}

	/** The first instruction: the only one whose constants count. @returns whether it has an address of the page */
	#begin(step: Step, holders: Holders, start: number): boolean {
		const { instruction } = this.#window.decoding;
		const branched = step.flow === "branch" ? this.#constant(instruction.nearBranchTarget) : this.#initial(step.target);
		if (branched !== undefined) {
			this.#called = { kind: "called", target: branched.value, path: [start], pointer: branched.pointer };
			return true;
		}
		if (step.flow !== "next") return false;
		const moved = this.#initial(step.move);
		if (moved !== undefined) {
			this.#give(step, holders, moved);
			return true;
		}
		return this.#beginOtherwise(instruction, holders);
	}

	/** An instruction that gives no register a value: it stores the address, compares with it or reads there. */
	#beginOtherwise(instruction: Iced.Instruction, holders: Holders): boolean {
		const { OpKind, Code, Mnemonic } = this.#iced;
		const kinds = Array.from({ length: instruction.opCount }, (_, index) => instruction.opKind(index));
		const index = kinds.findIndex((kind) => kind === OpKind.Immediate32to64 || kind === OpKind.Immediate64);
		const immediate = index < 0 ? undefined : this.#constant(BigInt.asUintN(64, instruction.immediate(index)));
		if (immediate !== undefined) {
			const place = instruction.code === Code.Mov_rm64_imm32 ? this.#stackPlaceOf(instruction) : undefined;
			if (place !== undefined) holders.set(place, immediate);
			else if ([Code.Mov_rm64_imm32, Code.Pushq_imm32].includes(instruction.code)) this.#isEscaping = true;
			else this.#isMentioned = true;
			// To add -10 MiB is to subtract 10 MiB, and has nothing to do with the page.
			return !this.#isMentioned || instruction.mnemonic === Mnemonic.Cmp;
		}
		const { None } = this.#iced.Register;
		const isAbsolute = instruction.memoryBase === None || instruction.isIpRelMemoryOperand;
		if (!kinds.includes(OpKind.Memory) || !isAbsolute || instruction.memoryIndex !== None) return false;
		if (instruction.hasSegmentPrefix) return false;
		this.#isRead = isInVsyscallPage(BigInt.asUintN(64, instruction.memoryDisplacement));
		return this.#isRead;
	}

	/** The address of the page that an operand of the first instruction is, or that stands where it points. */
	#initial(operand: Operand | undefined): Held | undefined {
		if (operand === undefined || operand.kind === "register") return undefined;
		if (operand.kind === "immediate" || operand.kind === "immediate64") {
			const bytes = this.#atWindow(operand.address, operand.kind === "immediate" ? 4 : 8);
			if (bytes === undefined) return undefined;
			const value = operand.kind === "immediate" ? BigInt(bytes.i32(0)) : bytes.u64(0);
			return this.#constant(BigInt.asUintN(64, value));
		}
		if (operand.base !== undefined || operand.index !== undefined) return undefined;
		const address = BigInt.asUintN(64, operand.displacement);
		if (operand.kind === "address") return this.#constant(address);
		const word = this.#read(address, 8);
		const held = word.length === 8 ? this.#constant(new ByteReader(word).u64(0)) : undefined;
		return held === undefined ? undefined : { ...held, pointer: address };
	}

	#atWindow(address: bigint, size: number): ByteReader | undefined {
		const offset = Number(address - this.#window.address);
		const bytes = this.#window.bytes.subarray(offset, offset + size);
		return bytes.length === size ? new ByteReader(bytes) : undefined;
	}

	#constant(value: bigint): Held | undefined {
		return isInVsyscallPage(value) ? { value, pointer: undefined } : undefined;
	}

	/** @returns the steps taken so far */
	#walk({ offset: start, holders, path: before }: Branch, stepsBefore: number): number {
		const path = [...before];
		let offset = start;
		let steps = stepsBefore;
		while (this.#called === undefined && holders.size > 0 && !this.#visited.has(offset)) {
			this.#visited.add(offset);
			const { decoding, bytes } = this.#window;
			const length = offset < 0 || offset >= bytes.length ? 0 : decoding.lengthAt(offset);
			steps += 1;
			if (length === 0 || steps > MOST_STEPS) {
				this.#isEscaping = true;
				return steps;
			}
			const step = decoding.stepAt(offset);
			path.push(offset);
			const next = this.#pass(step, holders, path);
			if (next === undefined) return steps;
			offset = next === "following" ? offset + length : next;
		}
		return steps;
	}

	/** One instruction. @returns where it goes on, undefined where the path ends */
	#pass(step: Step, holders: Holders, path: readonly number[]): number | "following" | undefined {
		const target = this.#held(step.target, holders);
		if (target !== undefined) {
			this.#called = { kind: "called", target: target.value, path, pointer: target.pointer };
			return undefined;
		}
		const near = Number(this.#window.decoding.instruction.nearBranchTarget - this.#window.address);
		switch (step.flow) {
			case "branch":
				this.#branches.push({ offset: near, holders: new Map(holders), path: [...path] });
				return "following";
			case "call":
				this.#escapeBy(ARGUMENTS, holders);
				for (const name of step.writes) holders.delete(name);
				return "following";
			case "jump":
				if (step.target?.kind === "address" && near >= 0 && near < this.#window.bytes.length) return near;
				this.#escapeBy(ARGUMENTS, holders);
				return undefined;
			case "edge":
			case "start":
				this.#escapeBy(["rax"], holders);
				return undefined;
			case "next":
				this.#use(step, holders);
				return "following";
		}
	}

	/** What is only compared stays in its register until something else needs it: that is no way out. */
	#escapeBy(names: readonly string[], holders: Holders): void {
		if (!this.#isMentioned && names.some((name) => holders.has(name))) this.#isEscaping = true;
	}

	/** An instruction that neither branches nor calls. */
	#use(step: Step, holders: Holders): void {
		const { instruction } = this.#window.decoding;
		const moved = this.#held(step.move, holders) ?? this.#computed(instruction, holders);
		if (moved !== undefined) return this.#give(step, holders, moved);
		const isConditional = instruction.opCount === 2 && instruction.conditionCode !== this.#iced.ConditionCode.None;
		const [read] = [...this.#window.decoding.reads()].flatMap((name) => holders.get(name) ?? []);
		// A conditional move of something else may leave what was there.
		if (isConditional) return read === undefined ? undefined : this.#give(step, holders, read);
		if (read !== undefined) this.#useValue(instruction, holders, read);
		for (const name of step.writes) holders.delete(name);
		if (step.writes.has("rsp")) for (const name of holders.keys()) if (name.startsWith("rsp")) holders.delete(name);
	}

	#useValue(instruction: Iced.Instruction, holders: Holders, held: Held): void {
		const { Mnemonic, OpKind, RegisterExt } = this.#iced;
		const { mnemonic, op0Register } = instruction;
		if (this.#addressNames(instruction).some((name) => holders.has(name))) this.#isRead = true;
		else if (mnemonic === Mnemonic.Mov && instruction.op0Kind === OpKind.Memory)
			this.#store(instruction, holders, held);
		else if (mnemonic === Mnemonic.Push || RegisterExt.isVectorRegister(op0Register)) this.#isEscaping = true;
		else this.#isMentioned = true;
	}

	#store(instruction: Iced.Instruction, holders: Holders, held: Held): void {
		const place = this.#stackPlaceOf(instruction);
		if (place === undefined) this.#isEscaping = true;
		else holders.set(place, held);
	}

	/** add, sub and lea with a constant: from one entry to another. */
	#computed(instruction: Iced.Instruction, holders: Holders): Held | undefined {
		const { Mnemonic, OpKind } = this.#iced;
		const { mnemonic } = instruction;
		if (mnemonic !== Mnemonic.Add && mnemonic !== Mnemonic.Sub) return undefined;
		const [name] = this.#window.decoding.reads();
		const held = name === undefined ? undefined : holders.get(name);
		const isConstant = [OpKind.Immediate8to64, OpKind.Immediate32to64].includes(instruction.op1Kind);
		if (held === undefined || instruction.op0Kind !== OpKind.Register || !isConstant) return undefined;
		const distance = BigInt.asIntN(64, instruction.immediate(1));
		const value = BigInt.asUintN(64, mnemonic === Mnemonic.Add ? held.value + distance : held.value - distance);
		return this.#constant(value);
	}

	#give(step: Step, holders: Holders, held: Held): void {
		for (const name of step.writes) holders.set(name, held);
	}

	/** The address of the page that an operand holds. */
	#held(operand: Operand | undefined, holders: Holders): Held | undefined {
		if (operand === undefined || operand.kind === "immediate" || operand.kind === "immediate64") return undefined;
		if (operand.kind === "register") return holders.get(operand.name);
		if (operand.kind === "memory") {
			const place = stackPlace(operand);
			return place === undefined ? undefined : holders.get(place);
		}
		const base = operand.base === undefined || operand.index !== undefined ? undefined : holders.get(operand.base);
		return base === undefined ? undefined : this.#constant(BigInt.asUintN(64, base.value + operand.displacement));
	}

	#addressNames({ memoryBase, memoryIndex }: Iced.Instruction): readonly GeneralRegister[] {
		return [nameOf(this.#iced, memoryBase), nameOf(this.#iced, memoryIndex)].filter((name) => name !== undefined);
	}

	#stackPlaceOf(instruction: Iced.Instruction): string | undefined {
		if (instruction.op0Kind !== this.#iced.OpKind.Memory) return undefined;
		const [base] = this.#addressNames(instruction);
		const { memoryIndex, memoryDisplacement: displacement } = instruction;
		if (memoryIndex !== this.#iced.Register.None || (base !== "rsp" && base !== "rbp")) return undefined;
		return stackPlace({ base, index: undefined, scale: 1, displacement });
	}
}
