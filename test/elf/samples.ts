/** Images that tests damage. */
import { EM_386, NT_LINUX_VERSION } from "../../src/elf/constants.ts";
import { writeSharedObject } from "../../src/elf/shared-object.ts";

/** A 32-bit image as small as it can be: two functions that return at once. */
export const image32 = (): Uint8Array => {
	const functions = ["__vdso_clock_gettime", "__vdso_time"].map((name, index) => ({
		name,
		binding: "global" as const,
		version: "LINUX_2.6",
		start: 16 * index,
		size: 16,
	}));
	return writeSharedObject({
		bits: 32,
		machine: EM_386,
		soname: "linux-gate.so.1",
		versions: ["LINUX_2.6", "LINUX_2.5"],
		functions,
		notes: [{ name: "Linux", type: NT_LINUX_VERSION, description: Uint8Array.of(0, 3, 5, 0) }],
		textSize: 32,
		entry: undefined,
		frames: functions.map(({ start, size }) => ({
			start,
			length: size,
			rules: [
				{ kind: "cfa-offset", offset: 1, cfaOffset: 8 },
				{ kind: "cfa-offset", offset: 9, cfaOffset: 4 },
			],
		})),
		text: () => new Uint8Array(32).fill(0xc3),
	});
};
