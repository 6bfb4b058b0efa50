/**
 * The vsyscall page as the kernel defines it: one page at a fixed address, with an entry every 1024 bytes.
 *
 *     0xffffffffff600000  +0x000  gettimeofday(timeval rdi, timezone rsi)
 *                         +0x400  time(time_t rdi)
 *                         +0x800  getcpu(cpu rdi, node rsi, unused rdx)
 *                         +0xc00  nothing
 *
 * Names and values: arch/x86/include/asm/vsyscall.h, v3.0 (the last header with all of them); the decode of an address and the
 * bytes: arch/x86/entry/vsyscall/vsyscall_64.c and vsyscall_emu_64.S, v6.18.
 */

/** The first address of the range that is set aside for vsyscalls: -10 MiB. */
export const VSYSCALL_START = 0xffff_ffff_ff60_0000n;
/** Bytes from one entry to the next. */
export const VSYSCALL_SIZE = 1024;
/** Where the range ends: -2 MiB. */
export const VSYSCALL_END = 0xffff_ffff_ffe0_0000n;
/** Pages of the range that were ever mapped. */
export const VSYSCALL_MAPPED_PAGES = 1;
/** Bytes of the page. */
export const VSYSCALL_PAGE_SIZE = 4096;

/** The entries by their numbers: `enum vsyscall_num`. */
export const VSYSCALL_NUMBERS = {
	__NR_vgettimeofday: 0,
	__NR_vtime: 1,
	__NR_vgetcpu: 2,
} as const;

export type VsyscallNumber = (typeof VSYSCALL_NUMBERS)[keyof typeof VSYSCALL_NUMBERS];

/** The entries by number, each with the system call that it stands for (syscall_64.tbl). */
export const VSYSCALLS = [
	{ name: "gettimeofday", syscall: 96 },
	{ name: "time", syscall: 201 },
	{ name: "getcpu", syscall: 309 },
] as const;

/** The address of an entry. */
export const VSYSCALL_ADDR = (number: VsyscallNumber): bigint => VSYSCALL_START + BigInt(VSYSCALL_SIZE * number);

/** Whether an address lies in the page. */
export const isInVsyscallPage = (address: bigint): boolean =>
	address >= VSYSCALL_START && address < VSYSCALL_START + BigInt(VSYSCALL_PAGE_SIZE);

/**
 * The entry that begins at an address; undefined for any other address, in the page or not (`addr_to_vsyscall_nr`).
 *
 * The fourth slot has no entry.
 */
export const vsyscallAt = (address: bigint): VsyscallNumber | undefined => {
	const distance = address - VSYSCALL_START;
	const number = Number(distance / BigInt(VSYSCALL_SIZE));
	if (distance % BigInt(VSYSCALL_SIZE) !== 0n || number < 0 || number >= VSYSCALLS.length) return undefined;
	return number as VsyscallNumber;
};

const INT3 = 0xcc;

/**
 * The bytes of the page since Linux 3.1: three stubs, int3 everywhere else.
 *
 *     48 c7 c0 nr nr nr nr    mov $nr, %rax
 *     0f 05                   syscall
 *     c3                      ret
 */
export const vsyscallPage = (): Uint8Array => {
	const page = new Uint8Array(VSYSCALL_PAGE_SIZE).fill(INT3);
	VSYSCALLS.forEach(({ syscall }, number) => {
		page.set([0x48, 0xc7, 0xc0, syscall & 0xff, syscall >> 8, 0, 0, 0x0f, 0x05, 0xc3], number * VSYSCALL_SIZE);
	});
	return page;
};
