/** Memory of a stopped tracee. Every function returns a count or -errno: memory can be missing or out of reach. */
import * as linux from "./constants.ts";
import { addressOf, syscallResult } from "./ffi.ts";
import { pokeWord } from "./ptrace.ts";

const local = new BigUint64Array(2);
const remote = new BigUint64Array(2);

const transfer = (call: number, tid: number, address: bigint, bytes: Uint8Array): number => {
	local[0] = addressOf(bytes);
	local[1] = BigInt(bytes.length);
	remote[0] = address;
	remote[1] = BigInt(bytes.length);
	return syscallResult(call, tid, local, 1, remote, 1, 0);
};

/** Fills `bytes` from `address`; may be short where mapped memory ends. @returns the count of bytes, or -errno */
export const readMemory = (tid: number, address: bigint, bytes: Uint8Array): number =>
	transfer(linux.SYS_process_vm_readv, tid, address, bytes);

/** Writes `bytes` to writable memory. @returns the count of bytes, or -errno */
export const writeMemory = (tid: number, address: bigint, bytes: Uint8Array): number =>
	transfer(linux.SYS_process_vm_writev, tid, address, bytes);

/** Writes `bytes`, a multiple of 8, even to read-only private memory. @returns 0 or -errno */
export const pokeMemory = (tid: number, address: bigint, bytes: Uint8Array): number => {
	const words = new BigUint64Array(bytes.buffer, bytes.byteOffset, bytes.length >> 3);
	for (let index = 0; index < words.length; index++) {
		const result = pokeWord(tid, address + BigInt(index * 8), words[index] ?? 0n);
		if (result < 0) return result;
	}
	return 0;
};

const WORD_SIZE = 8;
const words = new Uint8Array(2 * WORD_SIZE);

/**
 * Writes at most 8 bytes even to read-only private memory, by whole aligned words: what stands beside them is written back as it is.
 *
 * @returns 0 or -errno
 */
export const patchMemory = (tid: number, address: bigint, bytes: Uint8Array): number => {
	const within = Number(address % BigInt(WORD_SIZE));
	const start = address - BigInt(within);
	const around = words.subarray(0, within + bytes.length > WORD_SIZE ? 2 * WORD_SIZE : WORD_SIZE);
	const count = readMemory(tid, start, around);
	if (count < 0) return count;
	around.set(bytes, within);
	return pokeMemory(tid, start, around);
};
