/** What a vDSO of each class is called and has: arch/x86/entry/vdso/vdso64/vdso64.lds.S and vdso32/vdso32.lds.S, v5.3 to v7.3. */
import type { ElfClass } from "./class-layout.ts";
import { EM_386, EM_X86_64 } from "./constants.ts";

export interface VdsoClass {
	readonly machine: number;
	/** In words, for what rules require. */
	readonly named: string;
	readonly soname: string;
	/** Functions that every image of ours exports, by their names without prefix. */
	readonly functions: readonly string[];
	/** Whether each of them has its plain name too: glibc before 2.31 and Go ask for either. */
	readonly hasAliases: boolean;
	/** The function that e_entry leads to. */
	readonly entry: string | undefined;
	/** SDM volume 2, ENDBR64 and ENDBR32. */
	readonly landingPad: readonly number[];
	/** Functions that unwinders and debuggers know by their bytes, to the last; they have no landing pad. */
	readonly exactBytes: ReadonlyMap<string, readonly number[]>;
}

const ENTRY = "__kernel_vsyscall";

export const VDSO_CLASSES: Readonly<Record<ElfClass, VdsoClass>> = {
	64: {
		machine: EM_X86_64,
		named: "ELF64 for x86-64",
		soname: "linux-vdso.so.1",
		functions: ["clock_gettime", "gettimeofday", "time", "getcpu", "clock_getres"],
		hasAliases: true,
		entry: undefined,
		landingPad: [0xf3, 0x0f, 0x1e, 0xfa],
		exactBytes: new Map(),
	},
	32: {
		machine: EM_386,
		named: "ELF32 for i386",
		soname: "linux-gate.so.1",
		functions: ["clock_gettime", "clock_gettime64", "gettimeofday", "time", "getcpu"],
		hasAliases: false,
		entry: ENTRY,
		landingPad: [0xf3, 0x0f, 0x1e, 0xfb],
		exactBytes: new Map([
			// pop %eax; mov $119, %eax; int $0x80
			["__kernel_sigreturn", [0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80]],
			// mov $173, %eax; int $0x80
			["__kernel_rt_sigreturn", [0xb8, 0xad, 0, 0, 0, 0xcd, 0x80]],
		]),
	},
};
