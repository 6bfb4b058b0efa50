/** What differs between the images of 64-bit and of 32-bit processes. */
import type { Label } from "../asm/operands.ts";
import type { Blocks } from "./blocks.ts";
import type { EntryForm } from "./fast-entry.ts";
import type { Emission } from "./wall.ts";

export interface EmittedFunctions {
	/** Stubs that make the system calls which the host's vDSO lacks, by number. */
	readonly syscallStubs: ReadonlyMap<number, Label>;
	/** What AT_SYSINFO leads to; undefined in 64-bit images. */
	readonly kernelVsyscall: Label | undefined;
}

export interface ImageClass {
	/** Of the ELF header. */
	readonly machine: number;
	readonly soname: string;
	/** Versions of functions that every image of the class has. */
	readonly versions: readonly string[];
	/** Emits all functions but the installer. */
	readonly emitFunctions: (emission: Emission, blocks: Blocks, entryForm: EntryForm) => EmittedFunctions;
}
