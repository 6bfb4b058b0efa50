/** The registers of a stopped tracee: struct user_regs_struct, arch/x86/include/uapi/asm/ptrace.h, 27 words. */
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

/** CS of a 32-bit process on a 64-bit kernel: __USER32_CS. */
export const USER32_CS = 0x23n;

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
