/** The memory of another process, read without stopping it: process_vm_readv(2). */
import type { AddressSpace } from "../inspect/address-space.ts";
import { readMemory } from "./remote-memory.ts";

export const processMemory = (pid: number): AddressSpace => ({
	read: (address, length) => {
		const bytes = new Uint8Array(new ArrayBuffer(length));
		return readMemory(pid, address, bytes) === length ? bytes : undefined;
	},
});
