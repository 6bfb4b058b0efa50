/** Time structures by layout, against plain arrays of words; deadlines against what the kernel takes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { TIME_CALLS, type TimeLayout } from "../../src/syscalls/time-calls.ts";
import {
	deadlineWords,
	itimerspecBytes,
	NEVER,
	readTime,
	timespecBytes,
	timevalBytes,
} from "../../src/syscalls/time-structures.ts";
import { Timex } from "../../src/syscalls/timex.ts";
import { nanoseconds } from "../../src/units.ts";

const wordsOf = (layout: TimeLayout, bytes: Uint8Array): readonly bigint[] =>
	layout === "32"
		? [...new Int32Array(bytes.slice().buffer)].map(BigInt)
		: [...new BigInt64Array(bytes.slice().buffer)];

const BILLION = 1_000_000_000n;

for (const layout of ["64", "32", "64 on i386"] as const) {
	describe(`layout ${layout}`, () => {
		const limit = layout === "32" ? 2n ** 31n : 2n ** 62n;
		const seconds = fc.bigInt(-limit, limit - 1n);
		const rest = fc.bigInt(0n, BILLION - 1n);

		test("a timespec is seconds and nanoseconds, a timeval cuts off to microseconds", () => {
			fc.assert(
				fc.property(seconds, rest, (s, n) => {
					const time = nanoseconds(s * BILLION + n);
					assert.deepEqual(wordsOf(layout, timespecBytes(layout, time)), [s, n]);
					assert.deepEqual(wordsOf(layout, timevalBytes(layout, time)), [s, n / 1000n]);
					assert.deepEqual(readTime(timespecBytes(layout, time), 0, layout), { seconds: s, fraction: n });
				}),
			);
		});

		test("an itimerspec has the interval first", () => {
			const bytes = itimerspecBytes(layout, { interval: nanoseconds(2n * BILLION + 3n), value: nanoseconds(5n) });
			assert.deepEqual(wordsOf(layout, bytes), [2n, 3n, 0n, 5n]);
		});

		test("a deadline is one that the kernel takes, and never the zero that disarms", () => {
			fc.assert(
				fc.property(fc.bigInt(-(2n ** 80n), 2n ** 80n).map(nanoseconds), (time) => {
					const { seconds: s, fraction } = deadlineWords(layout, time);
					assert.ok(s >= 0n && fraction >= 0n && fraction < BILLION && s * BILLION + fraction > 0n);
					assert.ok(layout !== "32" || s < 2n ** 31n);
					const isInRange = time > 0n && time < (layout === "32" ? 2n ** 31n - 1n : 9_223_372_036n) * BILLION;
					if (isInRange) assert.equal(s * BILLION + fraction, time);
				}),
			);
			assert.ok(deadlineWords(layout, NEVER).seconds >= 2n ** 31n - 1n);
		});
	});
}

test("on i386 the upper half of 64-bit nanoseconds does not count", () => {
	const bytes = new Uint8Array(new BigInt64Array([7n, (9n << 32n) | 5n]).buffer);
	assert.deepEqual(readTime(bytes, 0, "64 on i386"), { seconds: 7n, fraction: 5n });
	assert.deepEqual(readTime(bytes, 0, "64"), { seconds: 7n, fraction: (9n << 32n) | 5n });
});

test("a struct timex goes from one layout to the other, field by field", () => {
	const wide = new Timex("64");
	wide.modes = 3;
	wide.set("offset", -5n);
	wide.set("timeSeconds", 1_700_000_000n);
	wide.set("tick", 10_000n);
	wide.set("tai", 37n);
	const narrow = new Timex("32");
	narrow.modes = 1;
	narrow.take(wide);
	assert.equal(narrow.modes, 1);
	assert.equal(narrow.bytes.length, 128);
	// include/linux/time32.h: offset, tv_sec, tick and tai by their bytes.
	const words = new Int32Array(narrow.bytes.slice().buffer);
	assert.deepEqual([words[1], words[9], words[11], words[20]], [-5, 1_700_000_000, 10_000, 37]);
	const halves = new Int32Array(wide.bytes.slice().buffer);
	assert.deepEqual([halves[2], halves[18], halves[22], halves[40]], [-5, 1_700_000_000, 10_000, 37]);
});

test("no number of an architecture stands for two calls", () => {
	for (const calls of Object.values(TIME_CALLS)) {
		const numbers = calls.map(({ number }) => number);
		assert.equal(new Set(numbers).size, numbers.length);
	}
});
