/**
 * System calls in our machine code, in the same words for both classes.
 *
 *     bits   number   arguments                      instruction   result
 *     64     rax      rdi rsi rdx r10 r8  r9         syscall       rax; rcx and r11 are lost
 *     32     eax      ebx ecx edx esi edi ebp        int 0x80      eax
 *
 * (syscall(2), "Architecture calling conventions".) `int 0x80` needs nothing of the process: no stack of a certain shape, no vDSO.
 */
import type { Assembler } from "../asm/assembler.ts";
import type { Bits } from "../asm/encoding.ts";
import {
	eax,
	ebx,
	ecx,
	edx,
	esp,
	rax,
	rbx,
	rcx,
	rdx,
	type Register,
	REGISTERS_32,
	REGISTERS_64,
	rsp,
} from "../asm/registers.ts";
import { NUMBERS, type OwnCall } from "../syscalls/numbers.ts";
import type { Architecture } from "../syscalls/time-calls.ts";

/** Of the interrupt that makes a system call of i386, also in 64-bit code. */
export const SYSCALL_VECTOR = 0x80;
/** Bytes of `syscall`, and of `int 0x80`. */
export const CALL_SIZE = 2;

export const architectureOf = (bits: Bits): Architecture => (bits === 64 ? "x86-64" : "i386");

/** By their numbers: rdi rsi rdx r10 r8 r9, and ebx ecx edx esi edi ebp. */
const ARGUMENTS: Readonly<Record<Bits, readonly number[]>> = { 64: [7, 6, 2, 10, 8, 9], 32: [3, 1, 2, 6, 7, 5] };

/** Registers that both classes have, by the name of the part that every processor had: `ax` is rax or eax. */
export interface WordRegisters {
	readonly ax: Register;
	readonly cx: Register;
	readonly dx: Register;
	readonly bx: Register;
	readonly sp: Register;
}

const WORD_REGISTERS: Readonly<Record<Bits, WordRegisters>> = {
	64: { ax: rax, cx: rcx, dx: rdx, bx: rbx, sp: rsp },
	32: { ax: eax, cx: ecx, dx: edx, bx: ebx, sp: esp },
};

/** As wide as an address. */
export const wordRegisters = ({ bits }: Pick<Assembler, "bits">): WordRegisters => WORD_REGISTERS[bits];

/** The register of an argument, counted from 0: as wide as an address, and its lower 32 bits. */
export const argumentRegister = (
	{ bits }: Pick<Assembler, "bits">,
	index: number,
): { readonly word: Register; readonly half: Register } => {
	const number = ARGUMENTS[bits][index] ?? -1;
	const [word, half] = [(bits === 64 ? REGISTERS_64 : REGISTERS_32)[number], REGISTERS_32[number]];
	if (word === undefined || half === undefined)
		throw new RangeError(`A system call has six arguments: there is no ${index}`);
	return { word, half };
};

export const callNumber = ({ bits }: Assembler, call: OwnCall): number => NUMBERS[architectureOf(bits)][call];

/** The instruction alone. */
export const emitCallInstruction = (assembler: Assembler): void => {
	if (assembler.bits === 64) assembler.syscall();
	else assembler.int(SYSCALL_VECTOR);
};

/** Sets a register to a small number in three or four bytes. Writes to the word below the stack pointer. */
export const setShort = (assembler: Assembler, register: Register, value: number): void => {
	assembler.push(value);
	assembler.pop(register);
};
