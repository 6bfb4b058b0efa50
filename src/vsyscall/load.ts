/**
 * Reads of the page, for modes in which it can be read on hosts where it cannot.
 *
 * The page cannot be mapped, so the instruction is executed with its address moved to a copy: the register that holds the address
 * is changed for one single-step, and changed back unless the instruction has given it a value of its own. Everything that is not
 * plainly a read through a register, or a plain move from an absolute address, stays the fault that it is:
 *
 *     writes, read-modify-write     add %al, (%rbx)
 *     rip-relative, fs:, gs:, rsp   pop %rax, with rsp in the page
 *     32-bit addresses              mov (%ebx), %al
 *     registers used for a value    cmp %rax, (%rax); mulx (%rdx), %rax, %rbx; cmov (%rax), %rax
 *     registers written in part     mov (%rax), %ax; %al is possible
 *     where the bytes are unknown   gathers, bt %rcx, (%rbx), xrstor; reads across an end of the page
 */
import type * as Iced from "iced-x86";
import { loadIced } from "../asm/disassembler.ts";
import type { GeneralRegister } from "./call-site.ts";
import { VSYSCALL_PAGE_SIZE, VSYSCALL_START, vsyscallPage } from "./page.ts";

export type Read =
	/** The instruction is to be executed with these registers. */
	| Load
	/** A register gets a value, and rip is moved on. */
	| Moved;

/** What a move from an absolute address does: compilers make one of a constant pointer, and there is no register to change. */
export interface Moved {
	readonly kind: "moved";
	readonly register: GeneralRegister;
	readonly value: bigint;
	readonly length: number;
}

export interface Load {
	readonly kind: "step";
	/** The registers for one step. */
	readonly during: ReadonlyMap<GeneralRegister, bigint>;
	/** The same registers at the fault. */
	readonly before: ReadonlyMap<GeneralRegister, bigint>;
	/** Those that the instruction overwrites as a whole: they are not put back. */
	readonly overwritten: ReadonlySet<GeneralRegister>;
}

type RegisterValue = (name: GeneralRegister) => bigint;

/** Registers that hold an address in the page, each with the scale by which it counts. */
type AddressRegisters = ReadonlyMap<GeneralRegister, number>;

const NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" ") as GeneralRegister[];

const nameOf = (iced: typeof Iced, register: Iced.Register): GeneralRegister | undefined =>
	NAMES[iced.RegisterExt.fullRegister(register) - iced.Register.RAX];

const isRead = (iced: typeof Iced, access: Iced.OpAccess): boolean =>
	access === iced.OpAccess.Read || access === iced.OpAccess.CondRead;

const isInPage = (address: bigint, size: number): boolean =>
	address >= VSYSCALL_START && address + BigInt(size) <= VSYSCALL_START + BigInt(VSYSCALL_PAGE_SIZE);

const isThreadSegment = (iced: typeof Iced, segment: Iced.Register): boolean =>
	segment === iced.Register.FS || segment === iced.Register.GS;

const isHighByte = (iced: typeof Iced, register: Iced.Register): boolean =>
	register >= iced.Register.AH && register <= iced.Register.BH;

/** Takes what is wanted from objects of the WebAssembly heap, and frees them. */
const take = <Item extends { free(): void }, Result>(
	items: readonly Item[],
	pick: (item: Item) => Result,
): readonly Result[] =>
	items.map((item) => {
		try {
			return pick(item);
		} finally {
			item.free();
		}
	});

interface MemoryUse {
	/** Undefined where there is no 64-bit register. */
	readonly base: GeneralRegister | undefined;
	readonly index: GeneralRegister | undefined;
	readonly scale: number;
	readonly address: bigint;
	readonly size: number;
	readonly isRead: boolean;
}

/** Undefined for addresses that do not count from 64-bit registers alone: 32-bit ones, those of rip, and the many of a gather. */
const memoryUse = (
	iced: typeof Iced,
	memory: Iced.UsedMemory,
	register: RegisterValue,
): Omit<MemoryUse, "size"> | undefined => {
	const { base, index, scale, displacement } = memory;
	const { None, AL } = iced.Register;
	if (isThreadSegment(iced, memory.segment)) return undefined;
	const isWide = (part: Iced.Register): boolean =>
		part === None || (iced.RegisterExt.size(part) === 8 && nameOf(iced, part) !== undefined);
	// xlatb counts from al, the only index that is not 64 bits wide beside a base that is.
	if (!isWide(base) || !(isWide(index) || index === AL)) return undefined;
	const [baseName, indexName] = [nameOf(iced, base), nameOf(iced, index)];
	const start = baseName === undefined ? 0n : register(baseName);
	const steps = indexName === undefined ? 0n : BigInt.asUintN(index === AL ? 8 : 64, register(indexName));
	return {
		base: baseName,
		index: indexName,
		scale,
		address: BigInt.asUintN(64, start + steps * BigInt(scale) + displacement),
		isRead: isRead(iced, memory.access),
	};
};

/** The registers to change; undefined when something in the page is not a read that can be helped. */
const addressRegisters = (uses: readonly (MemoryUse | undefined)[]): AddressRegisters | undefined => {
	const scales = new Map<GeneralRegister, number>();
	for (const use of uses) {
		if (use === undefined || !isInPage(use.address, Math.max(1, use.size))) continue;
		const { base, index } = use;
		const name = base ?? index;
		if (!use.isRead || use.size === 0 || name === undefined || base === index || name === "rsp") return undefined;
		scales.set(name, base === undefined ? use.scale : 1);
	}
	return scales;
};

/** A bit number in a register counts from the address, however far. */
const isBitString = (iced: typeof Iced, instruction: Iced.Instruction): boolean =>
	instruction.mnemonic === iced.Mnemonic.Bt && instruction.opKind(1) === iced.OpKind.Register;

/**
 * Which of the registers the instruction overwrites; undefined when it uses the value of one.
 *
 * @param instruction loses its address: what uses a register afterwards uses its value
 */
const overwrittenRegisters = (
	iced: typeof Iced,
	instruction: Iced.Instruction,
	names: AddressRegisters,
): ReadonlySet<GeneralRegister> | undefined => {
	// Their addresses are no operands. They write none of these registers, or move it on.
	if (instruction.isStringInstruction || instruction.mnemonic === iced.Mnemonic.Xlatb) return new Set();
	instruction.memoryBase = iced.Register.None;
	instruction.memoryIndex = iced.Register.None;
	const factory = new iced.InstructionInfoFactory();
	const info = factory.info(instruction);
	try {
		const uses = take(info.usedRegisters() as Iced.UsedRegister[], (used) => ({
			register: used.register,
			isWrite: used.access === iced.OpAccess.Write,
		}));
		const overwritten = new Set<GeneralRegister>();
		for (const { register, isWrite } of uses) {
			const name = nameOf(iced, register);
			if (name === undefined || !names.has(name)) continue;
			const size = iced.RegisterExt.size(register);
			if (!isWrite || size === 2 || isHighByte(iced, register)) return undefined;
			// A low byte is the same at both addresses, pages that they are: what is written there outlives the way back.
			if (size >= 4) overwritten.add(name);
		}
		return overwritten;
	} finally {
		info.free();
		factory.free();
	}
};

const memoryUses = (
	iced: typeof Iced,
	instruction: Iced.Instruction,
	register: RegisterValue,
): readonly (MemoryUse | undefined)[] => {
	const factory = new iced.InstructionInfoFactory();
	const info = factory.info(instruction);
	try {
		return take(info.usedMemory() as Iced.UsedMemory[], (memory) => {
			const use = memoryUse(iced, memory, register);
			// With rep the memory is of no known size; a step is one element.
			const { memorySize } = instruction.isStringInstruction ? instruction : memory;
			return use && { ...use, size: iced.MemorySizeExt.size(memorySize) };
		});
	} finally {
		info.free();
		factory.free();
	}
};

/** A single-step of the instruction, which is changed. */
const planStep = (
	iced: typeof Iced,
	instruction: Iced.Instruction,
	register: RegisterValue,
	copy: bigint,
): Load | undefined => {
	const names = isBitString(iced, instruction) ? undefined : addressRegisters(memoryUses(iced, instruction, register));
	if (names === undefined || names.size === 0) return undefined;
	const overwritten = overwrittenRegisters(iced, instruction, names);
	if (overwritten === undefined) return undefined;
	const before = new Map([...names.keys()].map((name) => [name, register(name)] as const));
	const during = new Map<GeneralRegister, bigint>();
	for (const [name, scale] of names) {
		// Between two pages every scale divides the distance.
		during.set(name, BigInt.asUintN(64, register(name) + (copy - VSYSCALL_START) / BigInt(scale)));
	}
	return { kind: "step", during, before, overwritten };
};

/** @param instruction up to 15 bytes, the first of which is at rip @param copy address of the readable copy of the page */
export const planLoad = (instruction: Uint8Array, register: RegisterValue, copy: bigint): Read | undefined => {
	if (instruction.length === 0) return undefined;
	const iced = loadIced();
	const decoder = new iced.Decoder(64, instruction, iced.DecoderOptions.None);
	const decoded = decoder.decode();
	try {
		if (decoded.isInvalid) return undefined;
		return moveFromPage(iced, decoded, register) ?? planStep(iced, decoded, register, copy);
	} finally {
		decoded.free();
		decoder.free();
	}
};

const PAGE = vsyscallPage();

/** The bytes of the page at an address, as a number. */
const readPage = (address: bigint, size: number): bigint => {
	const start = Number(address - VSYSCALL_START);
	return PAGE.subarray(start, start + size).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
};

/** A move of an absolute address in the page to a general register, by which instruction ever; its address. */
const absoluteMove = (iced: typeof Iced, instruction: Iced.Instruction): bigint | undefined => {
	const { Mnemonic, Register, RegisterExt, OpKind } = iced;
	const { mnemonic, op0Register, memoryBase, memoryIndex } = instruction;
	const moves = [Mnemonic.Mov, Mnemonic.Movzx, Mnemonic.Movsx, Mnemonic.Movsxd];
	if (!moves.includes(mnemonic) || memoryBase !== Register.None || memoryIndex !== Register.None) return undefined;
	if (instruction.op1Kind !== OpKind.Memory || instruction.op0Kind !== OpKind.Register) return undefined;
	if (isThreadSegment(iced, instruction.memorySegment) || !RegisterExt.isGPR(op0Register)) return undefined;
	if (isHighByte(iced, op0Register)) return undefined;
	return BigInt.asUintN(64, instruction.memoryDisplacement);
};

/** mov, movzx, movsx or movsxd of an absolute address to a register. */
const moveFromPage = (iced: typeof Iced, instruction: Iced.Instruction, register: RegisterValue): Moved | undefined => {
	const { mnemonic, op0Register, length } = instruction;
	const address = absoluteMove(iced, instruction);
	const name = nameOf(iced, op0Register);
	const size = iced.MemorySizeExt.size(instruction.memorySize);
	if (address === undefined || name === undefined || !isInPage(address, size)) return undefined;
	const isSigned = mnemonic === iced.Mnemonic.Movsx || mnemonic === iced.Mnemonic.Movsxd;
	const read = readPage(address, size);
	const width = iced.RegisterExt.size(op0Register);
	const value = BigInt.asUintN(width * 8, isSigned ? BigInt.asIntN(size * 8, read) : read);
	// A 32-bit result clears the upper half; narrower ones leave it: SDM vol. 1, 3.4.1.1.
	const kept = width >= 4 ? 0n : (register(name) >> BigInt(width * 8)) << BigInt(width * 8);
	return { kind: "moved", register: name, value: kept | value, length };
};

/**
 * The registers that have to be changed back after the step, with their values.
 *
 * A string instruction has moved on by its own distance, which stays. A register that is as it was during the step has not been
 * written: another signal came first, and the instruction will fault again.
 */
export const finishLoad = (load: Load, register: RegisterValue): ReadonlyMap<GeneralRegister, bigint> => {
	const values = new Map<GeneralRegister, bigint>();
	for (const [name, during] of load.during) {
		const now = register(name);
		if (load.overwritten.has(name) && now !== during) continue;
		values.set(name, BigInt.asUintN(64, now - during + (load.before.get(name) ?? during)));
	}
	return values;
};
