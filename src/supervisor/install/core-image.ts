/**
 * Keeps the whole image in core files, so that a debugger finds its symbols and unwinds through it.
 *
 * The kernel dumps only the first page of a private file mapping that nobody has written to (vma_dump_size, fs/coredump.c, v6.18,
 * with the default coredump_filter). A page that a tracer has written to makes the mapping count as anonymous memory, all of which
 * is dumped. So before a signal that dumps core is delivered, one word of the image is written back as it is.
 */
import { pokeMemory, readMemory } from "../../linux/remote-memory.ts";
import { vdsoAddress } from "./image-address.ts";

/** The signals whose default action is to dump core: signal(7). SIGTRAP of a debugger's own doing is harmless here. */
const DUMPING = new Set([3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);

export const dumpsCore = (signal: number): boolean => DUMPING.has(signal);

/** Has an effect once per address space; a stopped task of it is needed. */
export const keepImageInCore = (tid: number): void => {
	const address = vdsoAddress(tid);
	if (address === undefined) return;
	const word = new Uint8Array(8);
	if (readMemory(tid, address, word) === word.length) pokeMemory(tid, address, word);
};
