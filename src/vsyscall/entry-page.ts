/**
 * The entry page: where patched call sites lead, at a random address of the form 0xXX600000 in each process.
 *
 *     0xXX600000  +0x000 +0x400 +0x800   jmp *word       r-x, from the file
 *     0xXX601000  three words: the entries of the image  r--, written once at install
 *
 * The page that a call site names differs from the vsyscall page in the top byte of a 32-bit immediate, so one byte changes such a
 * site. XX keeps below 2 GiB (a sign-extended immediate stays positive) and above 512 MiB, which an old program's heap may want
 * (brk(2) grows upwards from a low address). There is nothing here that is worth jumping to: three jumps, int3 everywhere else.
 */
import { VSYSCALL_PAGE_SIZE, VSYSCALL_SIZE, VSYSCALLS } from "./page.ts";

const FIRST = 0x20;
/** The last is 0x7e. */
const LIMIT = 0x7f;
const LOW_PART = 0x60_0000n;
const TOP_SHIFT = 24n;
const INT3 = 0xcc;
const JMP_SIZE = 6;

/** How many addresses the page can have. */
export const ENTRY_PAGE_PLACES: number = LIMIT - FIRST;

/** The `index`-th address that the page can have. */
export const entryPagePlace = (index: number): bigint => (BigInt(FIRST + index) << TOP_SHIFT) | LOW_PART;

/** From one place to the next. */
export const ENTRY_PAGE_STEP: number = 1 << Number(TOP_SHIFT);

/** The bytes of the page. */
export const entryPage = (): Uint8Array => {
	const page = new Uint8Array(VSYSCALL_PAGE_SIZE).fill(INT3);
	VSYSCALLS.forEach((_, number) => {
		const start = number * VSYSCALL_SIZE;
		const displacement = VSYSCALL_PAGE_SIZE + number * 8 - (start + JMP_SIZE);
		// jmp *displacement(%rip)
		page.set([0xff, 0x25], start);
		new DataView(page.buffer).setInt32(start + 2, displacement, true);
	});
	return page;
};
