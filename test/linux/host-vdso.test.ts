/** What is read of the host's vDSO and of its data page. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import fc from "fast-check";
import { verifyImage } from "../../src/elf/verify.ts";
import { AT_SYSINFO_EHDR, SYS_clock_gettime } from "../../src/linux/constants.ts";
import { ownAuxv, rawSyscall, viewMemory } from "../../src/linux/ffi.ts";
import { hostRealtime, readHostImage, readTaiOffset, zeroTail } from "../../src/linux/host-vdso.ts";
import { OWN_FUNCTIONS } from "../../src/vdso/host.ts";
import { oracleSymbols } from "../elf/readelf.ts";
import { hostImage, readHostImage as readFromMemory } from "../helpers/host-image.ts";
import { has, lacks } from "../helpers/requirements.ts";

const E9 = 1_000_000_000n;
const time = new BigInt64Array(2);
const syscallTime = (id: number): bigint => {
	assert.equal(rawSyscall(SYS_clock_gettime, id, time), 0);
	return (time[0] ?? 0n) * E9 + (time[1] ?? 0n);
};

const isThere = (t: TestContext): boolean => readFromMemory() !== undefined || lacks(t, "booted with vdso=0");

const byName = (one: { name: string }, other: { name: string }): number => (one.name < other.name ? -1 : 1);

describe("the host's image", () => {
	test("is the bytes of [vdso]", (t) => {
		if (!isThere(t)) return;
		assert.deepEqual(readHostImage().bytes, hostImage());
		assert.deepEqual(verifyImage(readHostImage().bytes, "host"), []);
	});

	test("has the functions that readelf lists, at their offsets, with their versions and bindings", (t) => {
		if (!isThere(t)) return;
		if (!has(t, "readelf")) return;
		const directory = mkdtempSync(join(tmpdir(), "vsyscall-host-"));
		try {
			const path = join(directory, "vdso.so");
			writeFileSync(path, hostImage());
			const expected = oracleSymbols(path)
				.filter(({ type, section }) => type === "FUNC" && section !== "UND")
				.map(({ name, binding, value }) => {
					const [plain = "", version = ""] = name.split(/@+/);
					return { name: plain, binding: binding.toLowerCase(), version, offset: Number(value) };
				});
			assert.ok(expected.length >= 2 * OWN_FUNCTIONS.length - 1);
			assert.deepEqual([...readHostImage().vdso.functions].toSorted(byName), expected.toSorted(byName));
		} finally {
			rmSync(directory, { recursive: true });
		}
	});
});

describe("the host's coarse clocks", () => {
	const { coarse } = readHostImage().vdso;
	const ehdr = ownAuxv(AT_SYSINFO_EHDR);

	test("are found in its data page", (t) => {
		if (!isThere(t)) return;
		assert.ok(coarse !== undefined, "the layout of this host's page is not known");
		assert.ok(coarse.sequence < 0, "the data lie below the image");
	});

	if (coarse === undefined) return;
	for (const [name, id, place] of [
		["REALTIME_COARSE", 5, coarse.realtime],
		["MONOTONIC_COARSE", 6, coarse.monotonic],
	] as const) {
		test(`${name} read there lies between two system calls, 2,000 times`, () => {
			// koffi maps views where they are asked for: one per field, each read anew on every access.
			const words = new BigInt64Array(viewMemory(ehdr + BigInt(place), 16).buffer);
			const sequence = new Int32Array(viewMemory(ehdr + BigInt(coarse.sequence), 4).buffer);
			let reads = 0;
			for (let attempt = 0; reads < 2000 && attempt < 100_000; attempt++) {
				const before = syscallTime(id);
				const start = Atomics.load(sequence, 0);
				const read = Atomics.load(words, 0) * E9 + Atomics.load(words, 1);
				if ((start & 1) !== 0 || Atomics.load(sequence, 0) !== start) continue;
				const after = syscallTime(id);
				assert.ok(before <= read && read <= after, `${before} ${read} ${after}`);
				reads++;
			}
			assert.equal(reads, 2000);
		});
	}

	test("the second of REALTIME is that of REALTIME_COARSE", () => {
		const words = new BigInt64Array(viewMemory(ehdr + BigInt(coarse.realtimeSeconds), 8).buffer);
		for (let round = 0; round < 2000; round++) {
			const before = syscallTime(5) / E9;
			const second = Atomics.load(words, 0);
			assert.ok(before <= second && second <= syscallTime(5) / E9);
		}
	});

	test("are found each time", () => {
		for (let round = 0; round < 200; round++) assert.deepEqual(readHostImage().vdso.coarse, coarse);
	});
});

const image = (length: number, used: number): Uint8Array => new Uint8Array(length).fill(1, 0, used);

describe("room behind the host's code", () => {
	const rows: readonly (readonly [string, Uint8Array, number, number | undefined])[] = [
		["no image", new Uint8Array(0), 16, undefined],
		["an image of zeros, which is none", new Uint8Array(4096), 16, undefined],
		["a full image", image(4096, 4096), 1, undefined],
		["the start of the room is aligned to 16 and away from the code", image(4096, 1), 16, 32],
		["a byte more of code", image(4096, 17), 16, 48],
		["code that ends on a multiple of 16", image(4096, 16), 16, 32],
		["room for just as much", image(4096, 4096 - 16 - 64), 64, 4096 - 64],
		["room for one byte less", image(4096, 4096 - 16 - 64), 65, undefined],
		["nothing wanted", image(4096, 100), 0, 128],
	];
	for (const [name, bytes, length, expected] of rows) test(name, () => assert.equal(zeroTail(bytes, length), expected));

	test("is always zeros inside the image, 16 bytes behind the last that is none", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(200), (head, zeros, length) => {
				const bytes = new Uint8Array(head.length + zeros);
				bytes.set(head);
				const start = zeroTail(bytes, length);
				if (start === undefined) return;
				assert.equal(start % 16, 0);
				assert.ok(start + length <= bytes.length);
				assert.ok(bytes.subarray(start - 16).every((byte) => byte === 0));
			}),
			{ numRuns: 3000 },
		);
	});

	test("is there in this host's image for 128 bytes", (t) => {
		if (!isThere(t)) return;
		assert.notEqual(zeroTail(hostImage(), 128), undefined);
	});
});

test("TAI is a whole number of seconds ahead, the same each time", () => {
	const offset = readTaiOffset();
	assert.ok(offset >= 0n && offset < 100n);
	for (let round = 0; round < 100; round++) assert.equal(readTaiOffset(), offset);
});

test("the host's CLOCK_REALTIME lies between two readings", () => {
	for (let round = 0; round < 1000; round++) {
		const before = syscallTime(0);
		const read = hostRealtime();
		assert.ok(before <= read && read <= syscallTime(0));
	}
});
