/**
 * The only file that knows koffi: the C library's `syscall`, and memory of ours seen as bytes.
 *
 * Binding happens at the first call, so importing this costs nothing. Arguments are not checked by koffi (1.5 becomes 1, 2n**64n
 * becomes 0), so nothing but the typed wrappers of this folder calls through here.
 */
import { createRequire } from "node:module";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { SyscallError } from "./syscall-error.ts";

/** What a system call takes: a number of at most 53 bits, a 64-bit word, or bytes that it reads or writes. */
export type SyscallArgument = number | bigint | NodeJS.TypedArray;

interface Koffi {
	load(path: string | null): {
		func(declaration: string): (...args: unknown[]) => unknown;
		symbol?(name: string): unknown;
	};
	address(value: NodeJS.TypedArray): bigint;
	view(pointer: bigint, length: number): ArrayBuffer;
	proto(declaration: string): unknown;
	decode(pointer: bigint, type: unknown): () => number;
	errno(value?: number): number;
}

interface Binding {
	readonly koffi: Koffi;
	readonly syscall: (number: number, ...args: (number | bigint)[]) => number | bigint;
	readonly clone: (
		entry: bigint,
		stack: bigint,
		flags: number,
		argument: bigint,
		parentTid: number,
		tls: number,
	) => number;
	readonly getauxval: (type: number) => number | bigint;
	readonly sigaction: (signal: number, action: bigint, old: bigint) => number;
	/** The type of machine code that takes nothing and returns an int. */
	readonly code: unknown;
}

let bound: Binding | undefined;

const bind = (): Binding => {
	if (bound !== undefined) return bound;
	const koffi = createRequire(import.meta.url)("koffi") as Koffi;
	// null is the process itself, which has a C library whatever its name is (glibc, musl).
	const libc = koffi.load(null);
	const words = Array.from({ length: 6 }, () => "uintptr_t").join(", ");
	bound = {
		koffi,
		syscall: libc.func(`int64_t syscall(int64_t, ${words})`) as Binding["syscall"],
		clone: libc.func("int clone(uintptr_t, uintptr_t, int, uintptr_t, uintptr_t, uintptr_t)") as Binding["clone"],
		getauxval: libc.func("uint64_t getauxval(uint64_t)") as Binding["getauxval"],
		sigaction: libc.func("int sigaction(int, uintptr_t, uintptr_t)") as Binding["sigaction"],
		code: koffi.proto("int VsyscallCode(void)"),
	};
	return bound;
};

const word = (argument: SyscallArgument | undefined): number | bigint => {
	if (argument === undefined) return 0;
	if (typeof argument === "object") return bind().koffi.address(argument);
	// A negative number would lose its upper half in the conversion to an unsigned word.
	return typeof argument === "number" && argument < 0 ? BigInt.asUintN(64, BigInt(argument)) : argument;
};

/** The result of a system call, or -errno. */
export const rawSyscall = (number: number, ...args: readonly SyscallArgument[]): number | bigint => {
	const { syscall, koffi } = bind();
	const result = syscall(
		number,
		word(args[0]),
		word(args[1]),
		word(args[2]),
		word(args[3]),
		word(args[4]),
		word(args[5]),
	);
	// The next line reads errno: another call would overwrite it.
	return result === -1 || result === -1n ? -koffi.errno() : result;
};

/** The result of a system call that returns a small number, or -errno. */
export const syscallResult = (number: number, ...args: readonly SyscallArgument[]): number =>
	Number(rawSyscall(number, ...args));

/**
 * The result of a system call that is expected to succeed.
 *
 * @param name as a person would write it: "ptrace(PTRACE_SEIZE)"
 * @throws {SyscallError} when the kernel refuses.
 */
export const checkedSyscall = (name: string, number: number, ...args: readonly SyscallArgument[]): number | bigint => {
	const result = rawSyscall(number, ...args);
	if (result < 0) throw new SyscallError(name, -Number(result));
	return result;
};

/** Memory of this process as bytes. It must stay mapped as long as the array is used. */
export const viewMemory = (pointer: bigint, length: number): Uint8Array =>
	new Uint8Array(bind().koffi.view(pointer, length));

/** The address of an array's first byte; the array must be kept alive while anybody uses it. */
export const addressOf = (array: NodeJS.TypedArray): bigint => bind().koffi.address(array);

/** An entry of this process's own auxiliary vector, 0 when there is none: getauxval(3). */
export const ownAuxv = (type: number): bigint => BigInt(bind().getauxval(type));

/** clone(2) into machine code at `entry` on a stack of its own, past the filter of a run around us; returns the child's pid or -errno. */
export const cloneInto = (entry: bigint, stack: bigint, flags: number, argument: bigint): number => {
	const { clone, koffi } = bind();
	const pid = clone(entry, stack, flags, argument, 0, SYSCALL_KEY);
	return pid === -1 ? -koffi.errno() : pid;
};

/** Calls machine code at `address` that keeps to the psABI, takes nothing and returns an int. */
export const callCode = (address: bigint): number => {
	const { koffi, code } = bind();
	return koffi.decode(address, code)();
};

/** sigaction(3) with the C library's structures, given by address; 0 for none. */
export const sigaction = (signal: number, action: bigint, old: bigint): number => bind().sigaction(signal, action, old);
