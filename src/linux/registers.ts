/**
 * The registers of a stopped tracee: struct user_regs_struct, arch/x86/include/uapi/asm/ptrace.h, 27 words. A 64-bit tracer sees those of
 * a 32-bit tracee in the same way: the upper halves are 0.
 */
import type { Architecture } from "../syscalls/time-calls.ts";

const FIELDS = [
	"r15",
	"r14",
	"r13",
	"r12",
	"rbp",
	"rbx",
	"r11",
	"r10",
	"r9",
	"r8",
	"rax",
	"rcx",
	"rdx",
	"rsi",
	"rdi",
	"orig_rax",
	"rip",
	"cs",
	"eflags",
	"rsp",
	"ss",
	"fs_base",
	"gs_base",
	"ds",
	"es",
	"fs",
	"gs",
] as const;
export type RegisterName = (typeof FIELDS)[number];

const INDEX = Object.fromEntries(FIELDS.map((name, index) => [name, index])) as Record<RegisterName, number>;

/** CS of 32-bit and of 64-bit code on a 64-bit kernel: __USER32_CS and __USER_CS, arch/x86/include/asm/segment.h. */
export const USER32_CS = 0x23n;
export const USER64_CS = 0x33n;

/** Where a system call has its arguments: syscall(2), "Architecture calling conventions". */
export const ARGUMENT_REGISTERS: Readonly<Record<Architecture, readonly RegisterName[]>> = {
	"x86-64": ["rdi", "rsi", "rdx", "r10", "r8", "r9"],
	i386: ["rbx", "rcx", "rdx", "rsi", "rdi", "rbp"],
};

export class Registers {
	readonly words: BigUint64Array;

	constructor(words: BigUint64Array = new BigUint64Array(FIELDS.length)) {
		this.words = words;
	}

	get(name: RegisterName): bigint {
		return this.words[INDEX[name]] ?? 0n;
	}

	/** @param value signed or unsigned; the low 64 bits count */
	set(name: RegisterName, value: bigint): void {
		this.words[INDEX[name]] = BigInt.asUintN(64, value);
	}

	copy(): Registers {
		return new Registers(this.words.slice());
	}
}
