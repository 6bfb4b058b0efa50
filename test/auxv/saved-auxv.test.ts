/** The kernel's copy of an auxiliary vector, of processes of either class: that of this process and of a 32-bit one, and made-up ones. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readSavedAuxv } from "../../src/auxv/saved-auxv.ts";
import { AT_SYSINFO, AT_SYSINFO_EHDR } from "../../src/auxv/types.ts";
import { bytesOf, wordsOf } from "../../src/auxv/words.ts";
import { ownAuxv } from "../../src/linux/ffi.ts";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

const AT_PAGESZ = 6n;

describe("a saved vector", () => {
	test("of this process has what getauxval says", () => {
		const auxv = readSavedAuxv(Uint8Array.from(readFileSync("/proc/self/auxv")));
		assert.equal(auxv?.wordSize, 8);
		for (const type of [AT_PAGESZ, AT_SYSINFO_EHDR]) assert.equal(auxv.get(type), ownAuxv(Number(type)));
		assert.equal(auxv.get(AT_SYSINFO), undefined);
	});

	test("of a 32-bit process has what it says itself", (t) => {
		if (!has(t, "gcc")) return;
		const output = execFileSync(build("glibc-32", "shows-auxv.c"));
		const end = output.indexOf("\n");
		const [said, bytes] = [output.subarray(0, end).toString(), output.subarray(end + 1)];
		const auxv = readSavedAuxv(Uint8Array.from(bytes));
		assert.equal(auxv?.wordSize, 4);
		const values = [AT_SYSINFO, AT_SYSINFO_EHDR, AT_PAGESZ].map((type) => auxv.get(type)?.toString(16));
		assert.equal(values.join(" "), said);
	});

	test("of fewer bytes than an entry is none", () => {
		for (let length = 0; length < 16; length++) assert.equal(readSavedAuxv(new Uint8Array(length)), undefined);
	});
});

test("words of either size are what was written", () => {
	fc.assert(
		fc.property(fc.constantFrom(4, 8), fc.array(fc.bigInt(0n, 2n ** 64n - 1n), { maxLength: 40 }), (size, values) => {
			const words = BigUint64Array.from(values, (value) => BigInt.asUintN(8 * size, value));
			assert.deepEqual(wordsOf(bytesOf(words, size), size), words);
		}),
	);
});
