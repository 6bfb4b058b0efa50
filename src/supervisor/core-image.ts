/**
 * Keeps the whole image in core files, so that a debugger finds its symbols and unwinds through it.
 *
 * The kernel dumps only the first page of a private file mapping that nobody has written to (vma_dump_size, fs/coredump.c, v6.18,
 * with the default coredump_filter). A page that a tracer has written to makes the mapping count as anonymous memory, all of which
 * is dumped. So before a signal that dumps core is delivered, one word of the image is written back as it is.
 */
import { ByteReader } from "../bytes.ts";
import { AT_SYSINFO_EHDR } from "../linux/constants.ts";
import { readProcFile } from "../linux/proc-file.ts";
import { pokeMemory, readMemory } from "../linux/remote-memory.ts";

/** The signals whose default action is to dump core: signal(7). SIGTRAP of a debugger's own doing is harmless here. */
const DUMPING = new Set([3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);

export const dumpsCore = (signal: number): boolean => DUMPING.has(signal);

const AUXV_ENTRY_SIZE = 16;

/** Where the kernel's copy of the auxiliary vector says that the vDSO is: our image, once it is installed. */
const imageAddress = (tid: number): bigint | undefined => {
	const auxv = readProcFile(tid, "auxv");
	if (auxv === undefined) return undefined;
	const reader = new ByteReader(auxv);
	for (let entry = 0; entry + AUXV_ENTRY_SIZE <= reader.length; entry += AUXV_ENTRY_SIZE) {
		if (reader.u64(entry) === BigInt(AT_SYSINFO_EHDR)) return reader.u64(entry + 8);
	}
	return undefined;
};

/** Has an effect once per address space; a stopped task of it is needed. */
export const keepImageInCore = (tid: number): void => {
	const address = imageAddress(tid);
	if (address === undefined) return;
	const word = new Uint8Array(8);
	if (readMemory(tid, address, word) === word.length) pokeMemory(tid, address, word);
};
