/**
 * A small assembler for the instruction forms that we emit, in 64-bit and 32-bit code.
 *
 *     const assembler = new Assembler(64);
 *     const done = assembler.label("done");
 *     assembler.test(rdi, rdi);
 *     assembler.jcc("z", done);           // 2 bytes when the target is near, 6 when it is not
 *     assembler.mov(memory(rdi), rax);
 *     assembler.bind(done);
 *     assembler.ret();
 *     const code = assembler.assemble();  // bytes, label offsets, CFI
 *
 * Every operand is checked when its method is called. Of two spellings the shorter is emitted, but for the one-byte-shorter
 * forms of the accumulator (05 for ADD eax, imm32), which nothing hot would gain from. Labels that are never bound are external:
 * `Code.link` fills them in when the image knows where they are. CFI notes stand next to the instruction that needs them and
 * take effect behind it, as DW_CFA_advance_loc does.
 */
import type { Code, FrameRule } from "./code.ts";
import { type Bits, encodeModRm, encodeOpcodeRegister, immediateBytes, type OperandWidth } from "./encoding.ts";
import { fail } from "./fail.ts";
import { type Item, layOut } from "./layout.ts";
import { type Immediate, Label, type Memory, type Operand } from "./operands.ts";
import type { Register, RegisterWidth } from "./registers.ts";

/** The operand of PUSH, POP, near branches and RDPID is as wide as the code, without REX.W. */
const WITHOUT_REX_W: OperandWidth = 32;

/** The condition codes in encoding order: SDM vol. 2, appendix B.1.4.7. */
const CONDITIONS = ["o", "no", "b", "ae", "z", "nz", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g"] as const;
export type Condition = (typeof CONDITIONS)[number];

/** GS as the reg field of an instruction, and as the prefix of one (SDM vol. 2, 2.1.1 and table 3-1). */
const GS = 5;
const GS_PREFIX = 0x65;

const ARITHMETIC = ["add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"] as const;
const SHIFTS = { shl: 4, shr: 5, sar: 7 } as const;
const UNARY = { not: 2, neg: 3, mul: 4, imul: 5, div: 6, idiv: 7 } as const;

const isInt8 = (value: bigint): boolean => BigInt.asIntN(8, value) === value;
const isInt32 = (value: bigint): boolean => BigInt.asIntN(32, value) === value;
const isUint32 = (value: bigint): boolean => BigInt.asUintN(32, value) === value;
const isUint64 = (value: bigint): boolean => BigInt.asUintN(64, value) === value;

const isRegister = (operand: Operand): operand is Register =>
	typeof operand === "object" && operand.kind === "register";
const isMemory = (operand: Operand): operand is Memory => typeof operand === "object" && operand.kind !== "register";

const registerOf = (operand: Register | Memory): Register =>
	isRegister(operand) ? operand : fail("two memory operands in one instruction");

/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when the number has a fraction or is beyond 2^53. */
const wholeNumber = (value: Immediate): bigint => {
	if (typeof value === "number" && !Number.isSafeInteger(value)) fail(`immediate ${value} is not an exact integer`);
	return BigInt(value);
};

const isByte = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 0xff;

interface ImmediateForm {
	readonly opcode: readonly number[];
	readonly digit: number;
	readonly width: OperandWidth;
	readonly immediate: readonly number[];
}

export class Assembler {
	readonly bits: Bits;
	readonly #items: Item[] = [];
	readonly #bound = new Set<Label>();
	#frameNoteCount = 0;

	constructor(bits: Bits) {
		this.bits = bits;
	}

	label(name: string): Label {
		return new Label(name);
	}

	/**
	 * Gives `label` the place of the next instruction.
	 *
	 * @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when it has one already.
	 */
	bind(label: Label): void {
		if (this.#bound.has(label)) fail(`label ${label.name} is bound twice`);
		this.#bound.add(label);
		this.#items.push({ kind: "label", label });
	}

	/** Fills up to a multiple of `alignment`, a power of two, counted from the first byte, by default with int3. */
	align(alignment: number, fill = 0xcc): void {
		if (!Number.isInteger(Math.log2(alignment)) || alignment < 1 || alignment > 0x4000_0000)
			fail(`alignment ${alignment} is not a power of two`);
		if (!isByte(fill)) fail(`${fill} is not a byte`);
		this.#items.push({ kind: "align", alignment, fill });
	}

	#note(rule: FrameRule): void {
		this.#frameNoteCount++;
		this.#items.push({ kind: "frame", rule });
	}

	/** How many notes of call frame information there are: what a function adds to them is its own, wherever it takes effect. */
	get frameNoteCount(): number {
		return this.#frameNoteCount;
	}

	/** From here on the canonical frame address is `offset` bytes above the stack pointer (DW_CFA_def_cfa_offset). */
	cfaOffset(offset: number): void {
		this.#note({ kind: "cfa-offset", cfaOffset: offset });
	}

	/** From here on there is no caller (DW_CFA_undefined for the return address). */
	noCaller(): void {
		this.#note({ kind: "return-address-undefined" });
	}

	/** From here on the caller's value of `register` is `distance` bytes below the canonical frame address (DW_CFA_offset). */
	cfaSaved(register: Register, distance: number): void {
		this.#note({ kind: "saved", register, distance });
	}

	/** From here on `register` has the caller's value (DW_CFA_restore). */
	cfaRestored(register: Register): void {
		this.#note({ kind: "restored", register });
	}

	/** From here on the caller is the code that a signal has interrupted; its struct sigcontext is `context` bytes above esp. */
	cfaSignalContext(context: number): void {
		this.#note({ kind: "signal-context", context });
	}

	/** Bytes as they are. */
	raw(...bytes: readonly number[]): void {
		for (const byte of bytes) if (!isByte(byte)) fail(`${byte} is not a byte`);
		this.#items.push({ kind: "bytes", bytes });
	}

	#modRm(opcode: readonly number[], reg: Register | number, rm: Register | Memory, width: OperandWidth): void {
		this.#items.push({ kind: "bytes", ...encodeModRm({ bits: this.bits, opcode, reg, rm, width }) });
	}

	#withImmediate(rm: Register | Memory, { opcode, digit, width, immediate }: ImmediateForm): void {
		const encoded = encodeModRm({ bits: this.bits, opcode, reg: digit, rm, width, immediate });
		this.#items.push({ kind: "bytes", ...encoded });
	}

	/**
	 * The width of an instruction is that of its registers, all of which agree; a memory operand has whatever the others have.
	 * Only an immediate that goes to memory needs it said.
	 */
	#widthOf(operands: readonly Operand[], said?: RegisterWidth): OperandWidth {
		const widths = operands.filter(isRegister).map((register) => register.width);
		if (said !== undefined) widths.push(said);
		const width = widths[0] ?? fail("an immediate stored to memory needs a width");
		if (widths.some((other) => other !== width)) fail(`operands of ${widths.join(" and ")} bits in one instruction`);
		if (width === 64 && this.bits === 32) fail("64-bit operands do not exist in 32-bit code");
		return width === 32 || width === 64 ? width : fail(`operands of ${width} bits are not supported`);
	}

	/** What an address, PUSH and RDPID take: a register as wide as the code. */
	#checkNative(register: Register): void {
		if (register.width !== this.bits) fail(`${register.name} is not a ${this.bits}-bit register`);
	}

	/** A sign-extended imm32 (or the unsigned form, where the operation has 32 bits). */
	#immediate32(value: Immediate, width: OperandWidth): bigint {
		const wide = wholeNumber(value);
		if (isInt32(wide)) return wide;
		if (width === 32 && isUint32(wide)) return BigInt.asIntN(32, wide);
		return fail(`immediate ${value} does not fit 32 bits`);
	}

	#arithmetic(
		operation: (typeof ARITHMETIC)[number],
		to: Register | Memory,
		from: Operand,
		said: RegisterWidth | undefined,
	): void {
		if (isMemory(to) && isMemory(from)) fail(`${operation} cannot take two memory operands`);
		const digit = ARITHMETIC.indexOf(operation);
		const width = this.#widthOf([to, from], said);
		if (isRegister(from)) return this.#modRm([(digit << 3) | 1], from, to, width);
		if (isMemory(from)) return this.#modRm([(digit << 3) | 3], registerOf(to), from, width);
		const value = this.#immediate32(from, width);
		const isShort = isInt8(value);
		const immediate = immediateBytes(value, isShort ? 1 : 4);
		return this.#withImmediate(to, { opcode: [isShort ? 0x83 : 0x81], digit, width, immediate });
	}

	add(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("add", to, from, width);
	}
	or(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("or", to, from, width);
	}
	adc(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("adc", to, from, width);
	}
	sbb(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("sbb", to, from, width);
	}
	and(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("and", to, from, width);
	}
	sub(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("sub", to, from, width);
	}
	xor(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("xor", to, from, width);
	}
	cmp(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		this.#arithmetic("cmp", to, from, width);
	}

	/** The shortest form that leaves the whole register right: B8+r for 32 unsigned bits, C7 for signed, else all 64. */
	mov(to: Register | Memory, from: Operand, width?: RegisterWidth): void {
		if (isMemory(to) && isMemory(from)) fail("mov cannot take two memory operands");
		const size = this.#widthOf([to, from], width);
		if (isRegister(from)) return this.#modRm([0x89], from, to, size);
		if (isMemory(from)) return this.#modRm([0x8b], registerOf(to), from, size);
		if (isRegister(to)) return this.#moveImmediate(to, from, size);
		const immediate = immediateBytes(this.#immediate32(from, size), 4);
		return this.#withImmediate(to, { opcode: [0xc7], digit: 0, width: size, immediate });
	}

	#moveImmediate(register: Register, from: Immediate, width: OperandWidth): void {
		const whole = wholeNumber(from);
		// The signed spelling of the same 64 bits, so that 0xffff_ffff_ffff_ffffn is as short as -1.
		const value = isUint64(whole) ? BigInt.asIntN(64, whole) : whole;
		if (width === 32 || isUint32(value)) return this.#moveLong(register, this.#immediate32(from, 32), 32);
		if (isInt32(value))
			return this.#withImmediate(register, { opcode: [0xc7], digit: 0, width, immediate: immediateBytes(value, 4) });
		if (BigInt.asIntN(64, value) !== value) fail(`immediate ${from} does not fit 64 bits`);
		return this.#moveLong(register, value, 64);
	}

	/** B8+r with all the bits of `width`; 32 clear the upper half of the register. */
	#moveLong(register: Register, value: bigint, width: OperandWidth): void {
		const immediate = immediateBytes(value, width === 64 ? 8 : 4);
		const encoded = encodeOpcodeRegister({ bits: this.bits, opcode: 0xb8, register, width, immediate });
		this.#items.push({ kind: "bytes", ...encoded });
	}

	lea(to: Register, from: Memory): void {
		this.#modRm([0x8d], to, from, this.#widthOf([to]));
	}

	test(left: Register | Memory, right: Register | Immediate, width?: RegisterWidth): void {
		const size = this.#widthOf([left, right], width);
		if (typeof right === "object") return this.#modRm([0x85], right, left, size);
		const immediate = immediateBytes(this.#immediate32(right, size), 4);
		return this.#withImmediate(left, { opcode: [0xf7], digit: 0, width: size, immediate });
	}

	#shift(operation: keyof typeof SHIFTS, to: Register, count: number | "cl"): void {
		const width = this.#widthOf([to]);
		if (count === "cl") return this.#modRm([0xd3], SHIFTS[operation], to, width);
		if (!Number.isInteger(count) || count < 1 || count >= width) fail(`cannot shift ${to.name} by ${count}`);
		if (count === 1) return this.#modRm([0xd1], SHIFTS[operation], to, width);
		return this.#withImmediate(to, { opcode: [0xc1], digit: SHIFTS[operation], width, immediate: [count] });
	}

	shl(to: Register, count: number | "cl"): void {
		this.#shift("shl", to, count);
	}
	shr(to: Register, count: number | "cl"): void {
		this.#shift("shr", to, count);
	}
	sar(to: Register, count: number | "cl"): void {
		this.#shift("sar", to, count);
	}

	#doubleShift(opcode: number, to: Register, from: Register, count: number | "cl"): void {
		const width = this.#widthOf([to, from]);
		if (count === "cl") return this.#modRm([0x0f, opcode | 1], from, to, width);
		if (!Number.isInteger(count) || count < 1 || count >= width) fail(`cannot shift ${to.name} by ${count}`);
		const form = { bits: this.bits, opcode: [0x0f, opcode], reg: from, rm: to, width, immediate: [count] };
		this.#items.push({ kind: "bytes", ...encodeModRm(form) });
	}

	/** Shifts `to` left by `count`, filling it from the high bits of `from` (SDM "SHLD"). */
	shld(to: Register, from: Register, count: number | "cl"): void {
		this.#doubleShift(0xa4, to, from, count);
	}
	/** Shifts `to` right by `count`, filling it from the low bits of `from` (SDM "SHRD"). */
	shrd(to: Register, from: Register, count: number | "cl"): void {
		this.#doubleShift(0xac, to, from, count);
	}

	/** One operand: rdx:rax are the other (SDM "MUL", "DIV"). */
	unary(operation: keyof typeof UNARY, operand: Register | Memory, width?: RegisterWidth): void {
		this.#modRm([0xf7], UNARY[operation], operand, this.#widthOf([operand], width));
	}

	/** Two operands, or three with an immediate. */
	imul(to: Register, from: Register | Memory, factor?: Immediate): void {
		const width = this.#widthOf([to, from]);
		if (factor === undefined) return this.#modRm([0x0f, 0xaf], to, from, width);
		const value = this.#immediate32(factor, width);
		const isShort = isInt8(value);
		const immediate = immediateBytes(value, isShort ? 1 : 4);
		const opcode = [isShort ? 0x6b : 0x69];
		const encoded = encodeModRm({ bits: this.bits, opcode, reg: to, rm: from, width, immediate });
		this.#items.push({ kind: "bytes", ...encoded });
	}

	/** Copies a bit of `value` to the carry flag. */
	bt(value: Register, bit: Register): void {
		this.#modRm([0x0f, 0xa3], bit, value, this.#widthOf([value, bit]));
	}

	/** Stores `from` where memory holds what is in the accumulator, which gets what it held otherwise; atomic behind `lock`. */
	cmpxchg(to: Memory, from: Register): void {
		this.#modRm([0x0f, 0xb1], from, to, this.#widthOf([from]));
	}
	/** The same of 64 bits in 32-bit code: edx:eax is compared, ecx:ebx is stored (SDM "CMPXCHG8B"). */
	cmpxchg8b(to: Memory): void {
		this.#modRm([0x0f, 0xc7], 1, to, WITHOUT_REX_W);
	}
	/** Adds `from` to memory and leaves in it what memory held before; atomic behind `lock`. */
	xadd(to: Memory, from: Register): void {
		this.#modRm([0x0f, 0xc1], from, to, this.#widthOf([from]));
	}
	/** A prefix: what the next instruction does to memory is one step to every processor (SDM "LOCK"). */
	lock(): void {
		this.raw(0xf0);
	}

	/** An immediate is sign-extended to the width of the stack. */
	push(operand: Register | Memory | number): void {
		if (typeof operand !== "number") {
			if (isMemory(operand)) return this.#modRm([0xff], 6, operand, WITHOUT_REX_W);
			return this.#stack(0x50, operand);
		}
		const value = this.#immediate32(operand, this.bits);
		this.raw(...(isInt8(value) ? [0x6a, ...immediateBytes(value, 1)] : [0x68, ...immediateBytes(value, 4)]));
	}
	pop(operand: Register | Memory): void {
		if (isMemory(operand)) return this.#modRm([0x8f], 0, operand, WITHOUT_REX_W);
		return this.#stack(0x58, operand);
	}
	#stack(opcode: number, register: Register): void {
		this.#checkNative(register);
		this.#items.push({
			kind: "bytes",
			...encodeOpcodeRegister({ bits: this.bits, opcode, register, width: WITHOUT_REX_W }),
		});
	}

	jmp(target: Label | Register | Memory): void {
		if (target.kind !== "label") return this.#indirect(4, target);
		this.#items.push({ kind: "branch", short: 0xeb, near: [0xe9], target });
	}
	call(target: Label | Register | Memory): void {
		if (target.kind !== "label") return this.#indirect(2, target);
		this.#items.push({ kind: "branch", short: undefined, near: [0xe8], target });
	}
	#indirect(digit: number, target: Register | Memory): void {
		if (isRegister(target)) this.#checkNative(target);
		this.#modRm([0xff], digit, target, WITHOUT_REX_W);
	}
	jcc(condition: Condition, target: Label): void {
		const code = CONDITIONS.indexOf(condition);
		this.#items.push({ kind: "branch", short: 0x70 | code, near: [0x0f, 0x80 | code], target });
	}
	cmov(condition: Condition, to: Register, from: Register | Memory): void {
		this.#modRm([0x0f, 0x40 | CONDITIONS.indexOf(condition)], to, from, this.#widthOf([to, from]));
	}

	ret(): void {
		this.raw(0xc3);
	}
	nop(): void {
		this.raw(0x90);
	}
	syscall(): void {
		this.raw(0x0f, 0x05);
	}
	/** The fast system call of Intel's processors in 32-bit code; the kernel says where it returns to (SDM "SYSENTER"). */
	sysenter(): void {
		this.raw(0x0f, 0x34);
	}
	int(vector: number): void {
		this.raw(0xcd, vector);
	}
	int3(): void {
		this.raw(0xcc);
	}
	/** Sets the carry flag. */
	stc(): void {
		this.raw(0xf9);
	}
	popf(): void {
		this.raw(0x9d);
	}
	/** The landing pad of an indirect branch: SDM "ENDBR64", "ENDBR32". A NOP where CET is off. */
	endbr(): void {
		this.raw(0xf3, 0x0f, 0x1e, this.bits === 64 ? 0xfa : 0xfb);
	}
	/** edx:eax := the time stamp counter, read at any moment between its neighbours (SDM "RDTSC"). */
	rdtsc(): void {
		this.raw(0x0f, 0x31);
	}
	/** As rdtsc, but not before all earlier instructions and loads are done; ecx := IA32_TSC_AUX (SDM "RDTSCP"). */
	rdtscp(): void {
		this.raw(0x0f, 0x01, 0xf9);
	}
	/** Nothing behind it begins before everything in front of it is done (SDM "LFENCE"). */
	lfence(): void {
		this.raw(0x0f, 0xae, 0xe8);
	}
	/** Reads IA32_TSC_AUX, where the kernel keeps node << 12 | cpu (SDM "RDPID"). */
	rdpid(to: Register): void {
		this.#checkNative(to);
		const form = { bits: this.bits, prefix: [0xf3], opcode: [0x0f, 0xc7], reg: 7, rm: to, width: WITHOUT_REX_W };
		this.#items.push({ kind: "bytes", ...encodeModRm(form) });
	}

	/** Reads the selector of GS, with zeros above. */
	movGs(to: Register): void {
		this.#modRm([0x8c], GS, to, this.#widthOf([to]));
	}
	/** Reads from the segment of GS. */
	movFromGs(to: Register, from: Memory): void {
		const form = {
			bits: this.bits,
			prefix: [GS_PREFIX],
			opcode: [0x8b],
			reg: to,
			rm: from,
			width: this.#widthOf([to]),
		};
		this.#items.push({ kind: "bytes", ...encodeModRm(form) });
	}
	/** to := the last offset in the segment of a selector, and the zero flag; for a selector of none that flag is clear (SDM "LSL"). */
	lsl(to: Register, selector: Register): void {
		this.#modRm([0x0f, 0x03], to, selector, this.#widthOf([to, selector]));
	}

	/** Reads the base of FS, where the kernel lets programs do that: AT_HWCAP2 has HWCAP2_FSGSBASE (SDM "RDFSBASE"). */
	rdfsbase(to: Register): void {
		if (this.bits === 32) fail("rdfsbase does not exist in 32-bit code");
		const form = { bits: this.bits, prefix: [0xf3], opcode: [0x0f, 0xae], reg: 0, rm: to, width: this.#widthOf([to]) };
		this.#items.push({ kind: "bytes", ...encodeModRm(form) });
	}

	/** @throws {VsyscallError} ERR_VSYSCALL_ASSEMBLER when a bound label is out of reach. */
	assemble(): Code {
		return layOut(this.#items);
	}
}
