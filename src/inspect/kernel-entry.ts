/**
 * `__kernel_vsyscall`, by which 32-bit programs make system calls: which instruction it enters the kernel with.
 *
 * The kernel writes one of three into its image when it starts, by the processor; an `int 0x80` stands behind the fast ones, for calls
 * that are made again (arch/x86/entry/vdso/vdso32/system_call.S, v6.12). So the first of them is the one that is used.
 */
import { disassemble } from "../asm/disassembler.ts";
import type { AddressSpace } from "./address-space.ts";
import { followJumps } from "./destination.ts";

export interface KernelEntry {
	readonly address: bigint;
	/** undefined where the code is not there, or has none of them. */
	readonly instruction: EntryInstruction | undefined;
}

const INSTRUCTIONS = ["sysenter", "syscall", "int 0x80"] as const;
export type EntryInstruction = (typeof INSTRUCTIONS)[number];

/** More than the function has. */
const CODE_SIZES = [64, 32, 16] as const;

export const readKernelEntry = (memory: AddressSpace, address: bigint): KernelEntry => {
	const code = followJumps(memory, address, 32);
	const bytes = CODE_SIZES.map((size) => memory.read(code, size)).find((read) => read !== undefined);
	const decoded = disassemble(bytes ?? new Uint8Array(0), 32, code);
	const found = decoded.find(({ text }) => INSTRUCTIONS.some((instruction) => instruction === text));
	return { address, instruction: INSTRUCTIONS.find((instruction) => instruction === found?.text) };
};
