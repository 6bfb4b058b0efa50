/** The bytes of a seed. The oracle is the recurrence in exact arithmetic; test/e2e/seeded-random.test.ts has the original. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededBytes } from "../../src/faketime/seeded-bytes.ts";

/** The first bytes of a seed. */
const exactly = (seed: bigint, count: number): readonly number[] => {
	let [x, w] = [0n, 0n];
	return Array.from({ length: count }, () => {
		w = BigInt.asUintN(64, w + seed);
		x = BigInt.asUintN(64, x * x + w);
		x = (x >> 32n) | BigInt.asUintN(64, x << 32n);
		return Number(x & 0xffn);
	});
};
const bytesOf = (sequence: SeededBytes, count: number): readonly number[] => {
	const bytes = new Uint8Array(count);
	sequence.fillBytes(bytes);
	return [...bytes];
};

test("the bytes of a seed are those of the recurrence", () => {
	fc.assert(
		fc.property(fc.bigInt(-(2n ** 63n), 2n ** 64n - 1n), (seed) => {
			assert.deepEqual(bytesOf(new SeededBytes(seed), 500), exactly(BigInt.asUintN(64, seed), 500));
		}),
	);
});

test("a seed of 0 gives zeros", () => {
	assert.deepEqual(bytesOf(new SeededBytes(0n), 4), [0, 0, 0, 0]);
});

test("a copy goes on from where it was made, by itself", () => {
	const sequence = new SeededBytes(0x1234_5678_dead_beefn);
	bytesOf(sequence, 100);
	const copy = sequence.copy();
	const expected = exactly(0x1234_5678_dead_beefn, 200).slice(100);
	assert.deepEqual([bytesOf(sequence, 100), bytesOf(copy, 100)], [expected, expected]);
});
