/** The vDSO image that the running kernel has mapped into this process. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

/** @returns a copy of the whole mapping, or undefined when the kernel gives none (`vdso=0`). */
export const readHostImage = (): Uint8Array | undefined => {
	const line = readFileSync("/proc/self/maps", "latin1")
		.split("\n")
		.find((mapping) => mapping.endsWith("[vdso]"));
	const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line ?? "");
	if (range === null) return undefined;
	const [start, end] = [BigInt(`0x${range[1]}`), BigInt(`0x${range[2]}`)];
	const bytes = new Uint8Array(Number(end - start));
	const memory = openSync("/proc/self/mem", "r");
	try {
		let done = 0;
		while (done < bytes.length) done += readSync(memory, bytes, done, bytes.length - done, start + BigInt(done));
	} finally {
		closeSync(memory);
	}
	return bytes;
};

/** @throws {Error} when the kernel gives none: for tests that are about nothing else. */
export const hostImage = (): Uint8Array => {
	const bytes = readHostImage();
	if (bytes === undefined) throw new Error("No [vdso] in /proc/self/maps");
	return bytes;
};
