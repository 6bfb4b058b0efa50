/** The image that claims the host's behind it: what it says of the host's __kernel_vsyscall, by the bytes that kernels have there. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readCallFrames } from "../../src/elf/call-frame.ts";
import { readElf } from "../../src/elf/reader.ts";
import { verifyImage } from "../../src/elf/verify.ts";
import type { Observation } from "../../src/observation/layout.ts";
import { hostEntryForm } from "../../src/vdso/fast-entry.ts";
import type { HostVdso } from "../../src/vdso/host.ts";
import { buildImage } from "../../src/vdso/image.ts";
import { hostFunction, observed } from "./hosts.ts";

const PAGE = 4096;
const DATA_SIZE = 6 * PAGE;
const KERNEL_VSYSCALL = 0x5e0;
const PUSHES = "515255";
const POPS = "cd805d5a59c3";

/** Kernels, what theirs consists of, what it means, and the distance of the frame's base from esp at each place. */
const KERNELS = [
	["AMD up to 6.19", `${PUSHES}89cd0f05${POPS}`, "syscall"],
	["Intel up to 6.19", `${PUSHES}89e50f34${POPS}`, "sysenter"],
	["neither", `${PUSHES}90909090${POPS}`, "int80"],
	["AMD from 7.0 on", `0f1f00${PUSHES}89cd0f05${POPS}`, "syscall"],
	["Intel from 7.0 on", `0f1f00${PUSHES}89e50f34${POPS}`, "sysenter"],
	["FRED", `cd80c3${PUSHES}89e50f34${POPS}`, "int80"],
] as const;

/** What stands between the image and the host's is more when it counts or traces. */
const OBSERVATIONS = [undefined, "count", "trace"] as const;

const HOST: HostVdso = {
	bits: 32,
	functions: [hostFunction("__kernel_vsyscall", KERNEL_VSYSCALL, { version: "LINUX_2.5" })],
	coarse: undefined,
	fine: undefined,
	hasRdpid: false,
};

const hostImage = (code: string): Uint8Array => {
	const bytes = new Uint8Array(2 * PAGE);
	bytes.set(Buffer.from(code, "hex"), KERNEL_VSYSCALL);
	return bytes;
};

const build = (code: string, observation?: Observation): ReturnType<typeof buildImage> =>
	buildImage(HOST, {
		...(observation === undefined ? {} : observed(observation)),
		hasEntryPage: false,
		copy: "none",
		neighbour: { dataSize: DATA_SIZE, bytes: hostImage(code), kernelVsyscall: KERNEL_VSYSCALL },
	});

describe("a neighbour", () => {
	for (const [name, code, form, observation] of KERNELS.flatMap(([kernel, bytes, way]) =>
		OBSERVATIONS.map((kind) => [kernel, bytes, way, kind] as const),
	)) {
		test(`of ${name} has its form and its frame, to ${observation ?? "run"}`, () => {
			const length = code.length / 2;
			assert.equal(hostEntryForm(hostImage(code).subarray(KERNEL_VSYSCALL)), form);
			const image = build(code, observation);
			assert.deepEqual(verifyImage(image.bytes, "own"), []);
			const elf = readElf(image.bytes);
			const [load] = elf.programHeaders;
			assert.equal(load?.memorySize, BigInt(image.mappingLength + DATA_SIZE + 2 * PAGE));
			const start = BigInt(image.mappingLength + DATA_SIZE + KERNEL_VSYSCALL);
			const frame = readCallFrames(elf)?.descriptions.find((description) => description.start === start);
			assert.equal(frame?.length, BigInt(length));
			// The landing pad is where the pops begin: three words, then the return address.
			const pad = length - POPS.length / 2 + 2;
			assert.deepEqual(
				[pad, pad + 1, pad + 2, pad + 3].map((place) => frame.rows.findLast(({ offset }) => offset <= place)?.cfa),
				[16, 12, 8, 4].map((offset) => ({ kind: "register", register: 4, offset })),
			);
		});
	}

	test("whose code is not known is left alone", () => {
		const image = build(`${PUSHES}0f0b`);
		const [load] = readElf(image.bytes).programHeaders;
		assert.equal(load?.memorySize, load?.fileSize);
	});
});
