/**
 * What execve leaves at the stack pointer (psABI x86-64, figure 3.9; i386, figure 2.5):
 *
 *     argc | argv[0] ... NULL | envp[0] ... NULL | a_type a_val ... AT_NULL 0 |
 *
 * All of it is words, of 8 bytes or of 4. Pure: the supervisor reads them from the process and hands them in.
 */
import { VsyscallError } from "../errors.ts";
import { AT_NULL, AT_SYSINFO, AT_SYSINFO_EHDR } from "./types.ts";

export interface InitialStack {
	readonly argc: number;
	/** Index of the first word of the auxiliary vector, in words from the stack pointer. */
	readonly auxvIndex: number;
	/** Entries, the closing AT_NULL included. */
	readonly auxvCount: number;
	/** Index of the value of AT_SYSINFO_EHDR; undefined when the host gives no vDSO (booted with vdso=0 or vdso32=0). */
	readonly ehdrIndex: number | undefined;
	/** The same of AT_SYSINFO, which 32-bit programs have. */
	readonly sysinfoIndex: number | undefined;
}

/** More words are needed: the stack was read up to here only. */
export type StackParse = InitialStack | "more";

/**
 * @param words from the stack pointer up, as many as were read
 * @throws {VsyscallError} ERR_VSYSCALL_AUXV when these are not the words of a program's stack.
 */
export const parseInitialStack = (words: BigUint64Array): StackParse => {
	const [argc = 0n] = words;
	if (argc > 0x7fff_ffffn) {
		throw new VsyscallError("ERR_VSYSCALL_AUXV", `argc ${argc} at the stack pointer is not that of a program`);
	}
	let index = Number(argc) + 2;
	while (index < words.length && words[index] !== 0n) index++;
	const auxvIndex = index + 1;
	let ehdrIndex: number | undefined;
	let sysinfoIndex: number | undefined;
	for (let entry = auxvIndex; entry + 1 < words.length; entry += 2) {
		if (words[entry] === AT_SYSINFO_EHDR) ehdrIndex = entry + 1;
		if (words[entry] === AT_SYSINFO) sysinfoIndex = entry + 1;
		if (words[entry] === AT_NULL) {
			return { argc: Number(argc), auxvIndex, auxvCount: (entry - auxvIndex) / 2 + 1, ehdrIndex, sysinfoIndex };
		}
	}
	return "more";
};

/** The same stack with entries of value 0 in front of the auxiliary vector: two words longer for each. */
export const insertEntries = (words: BigUint64Array, stack: InitialStack, types: readonly bigint[]): BigUint64Array => {
	const end = stack.auxvIndex + 2 * stack.auxvCount;
	const longer = new BigUint64Array(end + 2 * types.length);
	longer.set(words.subarray(0, stack.auxvIndex));
	longer.set(
		types.flatMap((type) => [type, 0n]),
		stack.auxvIndex,
	);
	longer.set(words.subarray(stack.auxvIndex, end), stack.auxvIndex + 2 * types.length);
	return longer;
};
