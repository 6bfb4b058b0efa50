/**
 * The vvar page of a run around us: this program may be a process of a run itself, and its time is that run's then.
 *
 *     AT_SYSINFO_EHDR ->  image | link page | vvar page         of a run
 *                         image of the kernel                   otherwise
 */
import { loadedSize, openElf, readProgramHeaders } from "../elf/headers.ts";
import { ByteReader } from "../bytes.ts";
import { MAGIC, PAGE, PAGE_SIZE } from "../vvar/layout.ts";
import { AT_SYSINFO_EHDR } from "./constants.ts";
import { ownAuxv, viewMemory } from "./ffi.ts";
import { ownPid } from "./own-pid.ts";
import { readMemory } from "./remote-memory.ts";

/** The program headers of a vDSO follow its ELF header. */
export const HEADERS_READ = 4096;

/** Bytes of address space of a vDSO that begins so: whole pages. @throws {ElfError} when that is none */
export const lengthOfImage = (head: Uint8Array): number => {
	const end = loadedSize(readProgramHeaders(openElf(head)));
	return Math.ceil(end / PAGE_SIZE) * PAGE_SIZE;
};

/** Bytes of address space of the image that is mapped at `address` of our own memory: whole pages. */
export const imageLength = (address: bigint): number => lengthOfImage(viewMemory(address, HEADERS_READ).slice());

/** The page that our own vDSO reads, as it is now; undefined outside of a run. */
export const outerPage = (): Uint8Array | undefined => {
	const image = ownAuxv(AT_SYSINFO_EHDR);
	if (image === 0n) return undefined;
	const page = new Uint8Array(PAGE_SIZE);
	// The kernel copies: behind its own image may be nothing, or pages that cannot be read.
	const count = readMemory(ownPid(), image + BigInt(imageLength(image) + PAGE_SIZE), page);
	return count === PAGE_SIZE && new ByteReader(page).u64(PAGE.magic) === MAGIC ? page : undefined;
};
