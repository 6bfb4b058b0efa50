/** Memory and machine code of the test process: mapped, protected, called. */
import { createRequire } from "node:module";
import type { Code } from "../../src/asm/code.ts";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, SYS_mmap } from "../../src/linux/constants.ts";
import { checkedSyscall, viewMemory } from "../../src/linux/ffi.ts";
import { NUMBERS } from "../../src/syscalls/numbers.ts";
import { PROT_EXEC } from "../../src/vdso/kernel-calls.ts";

interface Koffi {
	proto(declaration: string): unknown;
	decode(pointer: bigint, type: unknown): (...args: (number | bigint)[]) => number | bigint;
}

const koffi = createRequire(import.meta.url)("koffi") as Koffi;
let functionOfWords: unknown;

export type MachineFunction = (...args: readonly (number | bigint)[]) => bigint;

const word = (value: number | bigint | undefined): number | bigint => {
	if (value === undefined) return 0;
	return value < 0 ? BigInt.asUintN(64, BigInt(value)) : value;
};

/** Machine code at `address` as a function of five words that returns a signed word. */
export const callable = (address: bigint): MachineFunction => {
	functionOfWords ??= koffi.proto("int64_t FunctionOfWords(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)");
	const call = koffi.decode(address, functionOfWords);
	return (...args) => BigInt(call(word(args[0]), word(args[1]), word(args[2]), word(args[3]), word(args[4])));
};

/** Zeroed memory that can be read and written, whole pages, for as long as the process lives. */
export const mapMemory = (length: number): bigint =>
	BigInt(checkedSyscall("mmap", SYS_mmap, 0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

export const makeExecutable = (address: bigint, length: number): void => {
	checkedSyscall("mprotect", NUMBERS["x86-64"].mprotect, address, length, PROT_READ | PROT_EXEC);
};

export const makeReadOnly = (address: bigint, length: number): void => {
	checkedSyscall("mprotect", NUMBERS["x86-64"].mprotect, address, length, PROT_READ);
};

const PAGE_SIZE = 4096;

/** Maps code that has no external label. @returns its address */
export const mapAssembled = (code: Code): bigint => {
	const length = Math.ceil(code.bytes.length / PAGE_SIZE) * PAGE_SIZE;
	const address = mapMemory(length);
	viewMemory(address, length).set(code.bytes);
	makeExecutable(address, length);
	return address;
};
