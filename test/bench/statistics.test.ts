import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { quartilesOf, ReadingsCollector } from "../../src/bench/statistics.ts";
import { has } from "../helpers/requirements.ts";

test("quartiles are those of Python's statistics module", (t) => {
	if (!has(t, "python3")) return;
	const sets = fc.sample(fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 2, maxLength: 40 }), 200);
	const program =
		"import json, sys, statistics; print(json.dumps([statistics.quantiles(s, n=4, method='inclusive') for s in json.load(sys.stdin)]))";
	const expected = JSON.parse(
		execFileSync("python3", ["-c", program], { input: JSON.stringify(sets), encoding: "utf8" }),
	) as number[][];
	sets.forEach((set, index) => {
		const { lower, median, upper } = quartilesOf(set);
		[lower, median, upper].forEach((value, which) => {
			const wanted = expected[index]?.[which] ?? Number.NaN;
			assert.ok(Math.abs(value - wanted) < 1e-6, `${JSON.stringify(set)}: ${value}, expected ${wanted}`);
		});
	});
});

test("no values have no quartiles", () => {
	assert.throws(() => quartilesOf([]), RangeError);
});

const collected = (...batches: readonly (readonly bigint[])[]) => {
	const collector = new ReadingsCollector();
	for (const batch of batches) collector.add(batch);
	return collector.readings;
};

const CASES: readonly (readonly [
	name: string,
	batches: readonly (readonly bigint[])[],
	expected: ReturnType<typeof collected>,
])[] = [
	[
		"equal readings are below 1",
		[[5n, 5n, 5n]],
		{ count: 3, backward: 0, largestBackward: 0, histogram: [{ below: 1, count: 2 }] },
	],
	[
		"a power of two is not below itself",
		[[0n, 1n, 3n, 7n, 14n]],
		{
			count: 5,
			backward: 0,
			largestBackward: 0,
			histogram: [
				{ below: 2, count: 1 },
				{ below: 4, count: 1 },
				{ below: 8, count: 2 },
			],
		},
	],
	[
		"a step back is counted, and is in no bucket",
		[[10n, 4n, 5n, 4n]],
		{ count: 4, backward: 2, largestBackward: 6, histogram: [{ below: 2, count: 1 }] },
	],
	[
		"the pause between two batches is no difference",
		[
			[1n, 2n],
			[1000n, 1001n],
		],
		{ count: 4, backward: 0, largestBackward: 0, histogram: [{ below: 2, count: 2 }] },
	],
	[
		"a step back between two batches counts",
		[[100n], [40n]],
		{ count: 2, backward: 1, largestBackward: 60, histogram: [] },
	],
];

for (const [name, batches, expected] of CASES) {
	test(name, () => assert.deepEqual(collected(...batches), expected));
}

test("each difference of a batch is in exactly one bucket, or a step back", () => {
	const readings = fc.array(fc.bigInt({ min: 0n, max: 1n << 62n }), { minLength: 1, maxLength: 30 });
	fc.assert(
		fc.property(readings, (batch) => {
			const { count, backward, histogram } = collected(batch);
			const differences = batch.slice(1).map((reading, index) => reading - (batch[index] ?? 0n));
			assert.equal(count, batch.length);
			assert.equal(backward, differences.filter((difference) => difference < 0n).length);
			for (const { below, count: inside } of histogram) {
				const from = below === 1 ? 0n : BigInt(below) / 2n;
				const found = differences.filter((difference) => difference >= from && difference < BigInt(below));
				assert.equal(inside, found.length, `below ${below}`);
			}
			const inBuckets = histogram.reduce((sum, { count: inside }) => sum + inside, 0);
			assert.equal(inBuckets + backward, differences.length);
		}),
	);
});
