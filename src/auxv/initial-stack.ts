/**
 * What execve leaves at the stack pointer (psABI x86-64, figure 3.9):
 *
 *     argc | argv[0] ... NULL | envp[0] ... NULL | a_type a_val ... AT_NULL 0 |
 *
 * Pure: the supervisor reads the words from the process and hands them in.
 */
import { VsyscallError } from "../errors.ts";

export const AT_NULL = 0n;
export const AT_ENTRY = 9n;
export const AT_SYSINFO_EHDR = 33n;

export interface InitialStack {
	readonly argc: number;
	/** Index of the first word of the auxiliary vector, in words from the stack pointer. */
	readonly auxvIndex: number;
	/** Entries, the closing AT_NULL included. */
	readonly auxvCount: number;
	/** Index of the value of AT_SYSINFO_EHDR; undefined when the host gives no vDSO (booted with vdso=0). */
	readonly ehdrIndex: number | undefined;
}

/** More words are needed: the stack was read up to here only. */
export type StackParse = InitialStack | "more";

/**
 * @param words from the stack pointer up, as many as were read
 * @throws {VsyscallError} ERR_VSYSCALL_AUXV when this is not the stack of a 64-bit program.
 */
export const parseInitialStack = (words: BigUint64Array): StackParse => {
	const [argc = 0n] = words;
	if (argc > 0x7fff_ffffn) {
		throw new VsyscallError("ERR_VSYSCALL_AUXV", `argc ${argc} at the stack pointer is not that of a 64-bit program`);
	}
	let index = Number(argc) + 2;
	while (index < words.length && words[index] !== 0n) index++;
	const auxvIndex = index + 1;
	let ehdrIndex: number | undefined;
	for (let entry = auxvIndex; entry + 1 < words.length; entry += 2) {
		if (words[entry] === AT_SYSINFO_EHDR) ehdrIndex = entry + 1;
		if (words[entry] === AT_NULL)
			return { argc: Number(argc), auxvIndex, auxvCount: (entry - auxvIndex) / 2 + 1, ehdrIndex };
	}
	return "more";
};

/** The same stack with an AT_SYSINFO_EHDR entry in front of the auxiliary vector: two words longer. */
export const insertEhdr = (words: BigUint64Array, stack: InitialStack, ehdr: bigint): BigUint64Array => {
	const end = stack.auxvIndex + 2 * stack.auxvCount;
	const longer = new BigUint64Array(end + 2);
	longer.set(words.subarray(0, stack.auxvIndex));
	longer.set([AT_SYSINFO_EHDR, ehdr], stack.auxvIndex);
	longer.set(words.subarray(stack.auxvIndex, end), stack.auxvIndex + 2);
	return longer;
};
