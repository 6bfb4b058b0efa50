/**
 * Copies of the kernel's vvar pages, made from our own mapping: nobody can read those of another process (process_vm_readv and
 * /proc/PID/mem refuse). They are the same pages for all processes of a time namespace.
 *
 * The kernel copies, by pwrite(2) into a memory file: a page that is not there gives EFAULT where a load of ours would be killed by
 * SIGBUS.
 */
import { closeSync } from "node:fs";
import * as linux from "./constants.ts";
import { rawSyscall, syscallResult } from "./ffi.ts";
import { createMemoryFile } from "./memfd.ts";

const PAGE_SIZE = 4096;

/** Makes copies one after the other; to be closed. */
export class VvarSnapshots {
	readonly #fd = createMemoryFile();

	/** A copy of the page at `address` of this process; undefined when there is none. */
	take(address: bigint): Uint8Array | undefined {
		if (syscallResult(linux.SYS_pwrite64, this.#fd, address, PAGE_SIZE, 0) !== PAGE_SIZE) return undefined;
		const bytes = new Uint8Array(PAGE_SIZE);
		rawSyscall(linux.SYS_pread64, this.#fd, bytes, PAGE_SIZE, 0);
		return bytes;
	}

	close(): void {
		closeSync(this.#fd);
	}
}
