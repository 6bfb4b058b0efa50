/** Which boot of the machine this is: /proc/sys/kernel/random/boot_id, 16 random bytes. */
import { readFileSync } from "node:fs";

const SIZE = 16;

/** All zero where /proc does not tell. */
export const bootId = (): Uint8Array => {
	try {
		const digits = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").replaceAll("-", "").trim();
		const bytes = Buffer.from(digits, "hex");
		return bytes.length === SIZE ? new Uint8Array(bytes) : new Uint8Array(SIZE);
	} catch {
		return new Uint8Array(SIZE);
	}
};
