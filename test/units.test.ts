import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { address, nanoseconds, splitNanoseconds } from "../src/units.ts";

describe("an address", () => {
	for (const value of [0n, 1n, 2n ** 47n, 2n ** 64n - 1n])
		test(`${value} is 64 unsigned bits`, () => assert.equal(address(value), value));

	for (const value of [-1n, 2n ** 64n, -(2n ** 63n)])
		test(`${value} is not 64 unsigned bits`, () => assert.throws(() => address(value), RangeError));
});

describe("nanoseconds", () => {
	const rows: readonly (readonly [bigint, bigint, bigint])[] = [
		[0n, 0n, 0n],
		[999_999_999n, 0n, 999_999_999n],
		[1_000_000_000n, 1n, 0n],
		[-1n, -1n, 999_999_999n],
		[-1_000_000_000n, -1n, 0n],
		[-1_000_000_001n, -2n, 999_999_999n],
	];
	for (const [value, seconds, rest] of rows)
		test(`${value} are ${seconds} seconds and ${rest}`, () => {
			assert.deepEqual(splitNanoseconds(nanoseconds(value)), { seconds, nanoseconds: rest });
		});

	test("of any size are whole seconds and a rest of 0 to 999,999,999", () => {
		fc.assert(
			fc.property(fc.bigInt(-(2n ** 100n), 2n ** 100n), (value) => {
				const { seconds, nanoseconds: rest } = splitNanoseconds(nanoseconds(value));
				assert.ok(rest >= 0n && rest < 1_000_000_000n);
				assert.equal(seconds * 1_000_000_000n + rest, value);
			}),
			{ numRuns: 5000 },
		);
	});
});
