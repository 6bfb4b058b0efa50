/** Where our image is in a process: what the kernel's copy of the auxiliary vector says, checked by a word that only we have. */
import { readSavedAuxv, type SavedAuxv } from "../../auxv/saved-auxv.ts";
import { AT_SYSINFO_EHDR } from "../../auxv/types.ts";
import { ByteReader } from "../../bytes.ts";
import { readProcFile } from "../../linux/proc-file.ts";
import { readMemory } from "../../linux/remote-memory.ts";
import type { Image } from "../../vdso/image.ts";

/** The kernel's copy of the auxiliary vector of a process, until the next file of /proc is read; undefined when it is gone or without /proc. */
export const savedAuxv = (tid: number): SavedAuxv | undefined => {
	const auxv = readProcFile(tid, "auxv");
	return auxv === undefined ? undefined : readSavedAuxv(auxv);
};

/** Where a process was told that its vDSO is. */
export const vdsoAddress = (tid: number): bigint | undefined => savedAuxv(tid)?.get(AT_SYSINFO_EHDR);

/** Where a process has `image`; undefined when it has it not, or not any more. */
export const imageAddress = (tid: number, image: Image): bigint | undefined => {
	const address = vdsoAddress(tid);
	if (address === undefined) return undefined;
	const word = new Uint8Array(4);
	if (readMemory(tid, address + BigInt(image.nonce.offset), word) !== word.length) return undefined;
	return new ByteReader(word).i32(0) === image.nonce.word ? address : undefined;
};
