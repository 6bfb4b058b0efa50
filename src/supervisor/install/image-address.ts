/** Where our image is in a process: what the kernel's copy of the auxiliary vector says, checked by a word that only we have. */
import { ByteReader } from "../../bytes.ts";
import { AT_SYSINFO_EHDR } from "../../linux/constants.ts";
import { readProcFile } from "../../linux/proc-file.ts";
import { readMemory } from "../../linux/remote-memory.ts";
import type { Image } from "../../vdso/image.ts";

const AUXV_ENTRY_SIZE = 16;

/** An entry of the kernel's copy of the auxiliary vector of a process; undefined when it is gone or without /proc. */
export const auxvEntry = (tid: number, type: number): bigint | undefined => {
	const auxv = readProcFile(tid, "auxv");
	if (auxv === undefined) return undefined;
	const reader = new ByteReader(auxv);
	for (let entry = 0; entry + AUXV_ENTRY_SIZE <= reader.length; entry += AUXV_ENTRY_SIZE) {
		if (reader.u64(entry) === BigInt(type)) return reader.u64(entry + 8);
	}
	return undefined;
};

/** Where a process was told that its vDSO is. */
export const vdsoAddress = (tid: number): bigint | undefined => auxvEntry(tid, AT_SYSINFO_EHDR);

/** Where a process has `image`; undefined when it has it not, or not any more. */
export const imageAddress = (tid: number, image: Image): bigint | undefined => {
	const address = vdsoAddress(tid);
	if (address === undefined) return undefined;
	const word = new Uint8Array(4);
	if (readMemory(tid, address + BigInt(image.nonce.offset), word) !== word.length) return undefined;
	return new ByteReader(word).i32(0) === image.nonce.word ? address : undefined;
};
