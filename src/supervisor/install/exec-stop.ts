/** What execve has left in a process at its exec stop: class, registers, and the initial stack with its auxiliary vector. */
import { type InitialStack, insertEntries, parseInitialStack } from "../../auxv/initial-stack.ts";
import { AT_SYSINFO, AT_SYSINFO_EHDR } from "../../auxv/types.ts";
import { bytesOf, wordsOf } from "../../auxv/words.ts";
import type { WordSize } from "../../bytes.ts";
import { VsyscallError } from "../../errors.ts";
import { type Registers, USER32_CS } from "../../linux/registers.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { errnoName } from "../../linux/syscall-error.ts";

/** Why a process cannot be covered, or that it is gone. */
export type Obstacle = { readonly kind: "dead" } | { readonly kind: "failed"; readonly reason: string };

export interface NewProgram {
	readonly wordSize: WordSize;
	/** The registers as execve left them, the stack pointer moved if an entry was inserted. */
	readonly initial: Registers;
	/** The kernel's vDSO; 0 when there is none. */
	readonly hostImage: bigint;
	/** Where the auxiliary vector has AT_SYSINFO_EHDR. */
	readonly ehdrSlot: bigint;
	/** Where it has AT_SYSINFO; 0 in a 64-bit program. */
	readonly sysinfoSlot: bigint;
	readonly auxv: { readonly address: bigint; readonly size: number };
}

const ESRCH = 3;
const EIO = 5;
const EPERM = 1;
const EFAULT = 14;
const FIRST_READ = 4096;
const MAX_STACK = 64 * 1024 * 1024;

export const failed = (reason: string): Obstacle => ({ kind: "failed", reason });

export const memoryFailure = (what: string, errno: number): Obstacle => {
	if (errno === ESRCH) return { kind: "dead" };
	if (errno === EPERM || errno === EIO || errno === EFAULT) {
		return failed(`its memory cannot be ${what} (${errnoName(errno)}): the program file is not readable by this user`);
	}
	return failed(`its memory cannot be ${what} (${errnoName(errno)})`);
};

/** Whether a process runs 32-bit code. At an exec stop that is its class. */
export const is32Bit = (registers: Registers): boolean => registers.get("cs") === USER32_CS;

/** Most stacks are understood from one page: read into memory that is used again. */
const firstBytes = new Uint8Array(new ArrayBuffer(FIRST_READ));

interface StackRead {
	readonly words: BigUint64Array;
	readonly stack: InitialStack;
}

/** The stack as words, read until the auxiliary vector is complete. The words are valid until the next call. */
const readStack = (tid: number, stackPointer: bigint, wordSize: WordSize): StackRead | Obstacle => {
	for (let length = FIRST_READ; length <= MAX_STACK; length *= 4) {
		const bytes = length === FIRST_READ ? firstBytes : new Uint8Array(new ArrayBuffer(length));
		const count = readMemory(tid, stackPointer, bytes);
		if (count < 0) return memoryFailure("read", -count);
		const words = wordsOf(bytes.subarray(0, count), wordSize);
		try {
			const stack = parseInitialStack(words);
			if (stack !== "more") return { words, stack };
		} catch (error) {
			if (error instanceof VsyscallError) return failed(error.message);
			throw error;
		}
		if (count < length) break;
	}
	return failed("its auxiliary vector was not found on the initial stack");
};

/** What the image needs in the auxiliary vector. Two words more of 8 bytes, or four of 4, keep the stack aligned. */
const ENTRIES: Readonly<Record<WordSize, readonly bigint[]>> = {
	8: [AT_SYSINFO_EHDR],
	4: [AT_SYSINFO, AT_SYSINFO_EHDR],
};

/**
 * Where things are on the initial stack. Entries are inserted where AT_SYSINFO_EHDR is missing.
 *
 * @param initial the registers at the exec stop; changed when the stack is moved
 */
export const readNewProgram = (tid: number, initial: Registers): NewProgram | Obstacle => {
	const wordSize = is32Bit(initial) ? 4 : 8;
	const read = readStack(tid, initial.get("rsp"), wordSize);
	if ("kind" in read) return read;
	const { words } = read;
	let { stack } = read;
	const hostImage = stack.ehdrIndex === undefined ? 0n : (words[stack.ehdrIndex] ?? 0n);
	if (stack.ehdrIndex === undefined) {
		const types = ENTRIES[wordSize];
		const longer = bytesOf(insertEntries(words, stack, types), wordSize);
		initial.set("rsp", initial.get("rsp") - BigInt(2 * types.length * wordSize));
		const written = writeMemory(tid, initial.get("rsp"), longer);
		if (written < 0) return memoryFailure("written", -written);
		const valueOf = (type: bigint): number => stack.auxvIndex + 2 * types.indexOf(type) + 1;
		stack = {
			...stack,
			auxvCount: stack.auxvCount + types.length,
			ehdrIndex: valueOf(AT_SYSINFO_EHDR),
			sysinfoIndex: wordSize === 4 ? valueOf(AT_SYSINFO) : undefined,
		};
	}
	const addressOf = (index: number): bigint => initial.get("rsp") + BigInt(index * wordSize);
	return {
		wordSize,
		initial,
		hostImage,
		ehdrSlot: addressOf(stack.ehdrIndex ?? 0),
		sysinfoSlot: wordSize === 8 || stack.sysinfoIndex === undefined ? 0n : addressOf(stack.sysinfoIndex),
		auxv: { address: addressOf(stack.auxvIndex), size: 2 * stack.auxvCount * wordSize },
	};
};
