/** Parts per trillion <-> the rate that readers apply. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { driftGain, driftOfRate, driftRate, isRate, RATE_SHIFT } from "../../src/clock/drift.ts";
import * as layout from "../../src/vvar/layout.ts";
import { anyDrift } from "./arbitraries.ts";

const TRILLION = 10n ** 12n;

const rows: readonly (readonly [string, bigint, bigint])[] = [
	["nothing", 0n, 0n],
	["a half", TRILLION / 2n, 1n << 39n],
	["minus a half", -TRILLION / 2n, -(1n << 39n)],
	["one part per trillion is rounded", 1n, 1n],
	["one part per million is rounded", 1_000_000n, 1_099_512n],
	["the largest is below 1", TRILLION - 1n, (1n << 40n) - 1n],
	["the smallest is above -1", 1n - TRILLION, 1n - (1n << 40n)],
];

for (const [name, parts, rate] of rows) test(`rate: ${name}`, () => assert.equal(driftRate(parts), rate));

test("a rate is the nearest fraction of 2^40, and less than 1", () => {
	fc.assert(
		fc.property(anyDrift, (parts) => {
			const rate = driftRate(parts);
			// |rate / 2^40 - parts / 10^12| <= 1 / 2^41
			const distance = rate * TRILLION - (parts << 40n);
			assert.ok(2n * (distance < 0n ? -distance : distance) <= TRILLION);
			assert.ok(isRate(rate));
		}),
		{ numRuns: 2000 },
	);
});

test("every drift can be told from its rate", () => {
	fc.assert(
		fc.property(anyDrift, (parts) => assert.equal(driftOfRate(driftRate(parts)), parts)),
		{ numRuns: 2000 },
	);
});

test("a gain is rounded towards minus infinity", () => {
	assert.equal(driftGain(1n, 1n), 0n);
	assert.equal(driftGain(1n, -1n), -1n);
	assert.equal(driftGain(-1n, 1n), -1n);
	assert.equal(driftGain(3n, -(1n << 39n)), -2n);
});

test("a rate of 1 and more is none", () => {
	assert.deepEqual([1n << 40n, -(1n << 40n)].map(isRate), [false, false]);
});

test("the page has the same number of bits behind the point", () => {
	assert.equal(BigInt(layout.RATE_SHIFT), RATE_SHIFT);
});
