/** The soak's own oracle: it must not accept what no clock shows. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { WallClock } from "../../src/clock/clock.ts";
import { nanoseconds } from "../../src/units.ts";
import { clockText, History, parseClock, type Reading } from "./history.ts";

const offset = (value: bigint): WallClock => ({ kind: "offset", offset: nanoseconds(value) });
const frozen = (at: bigint): WallClock => ({ kind: "frozen", at: nanoseconds(at) });

/** +1000 from the start, then frozen at 77 from about 500 on. */
const twoClocks = (isDone: boolean): History => {
	const history = new History(offset(1000n), 0n);
	history.add({ id: "a", at: "500", before: clockText(offset(1000n)), after: clockText(frozen(77n)) });
	if (isDone) history.add({ id: "a", done: "510" });
	return history;
};

const reading = (before: bigint, after: bigint, value: bigint, path = 0): Reading => ({
	path,
	pid: 1,
	before,
	after,
	from: before,
	to: after,
	value,
});

suite("a reading", () => {
	const cases: readonly (readonly [name: string, reading: Reading, kind: string | undefined])[] = [
		["of the clock in force", reading(100n, 200n, 1150n), "offset"],
		["a nanosecond too early", reading(100n, 200n, 1099n), undefined],
		["a nanosecond too late", reading(100n, 200n, 1201n), undefined],
		["of a clock that is not there yet", reading(400n, 499n, 77n), undefined],
		["of the next clock, as soon as it may be", reading(400n, 500n, 77n), "frozen"],
		["of the last clock, as long as it may be", reading(510n, 520n, 1515n), "offset"],
		["of a clock that is gone", reading(511n, 520n, 1515n), undefined],
		["of parts of two clocks", reading(505n, 506n, 1077n), undefined],
	];
	for (const [name, read, kind] of cases) test(name, () => assert.equal(twoClocks(true).explain(read), kind));

	test("is known as far as its way can tell", () => {
		const history = new History(offset(0n), 0n);
		assert.equal(history.explain(reading(1900n, 2100n, 1000n, 3)), "offset");
		assert.equal(history.explain(reading(1900n, 2100n, 1500n, 3)), "offset");
		assert.equal(history.explain(reading(1900n, 2100n, 3000n, 3)), undefined);
	});

	test("may be of either clock when a change was perhaps not made", () => {
		assert.equal(twoClocks(false).explain(reading(9000n, 9001n, 10_000n)), "offset");
		assert.equal(twoClocks(false).explain(reading(9000n, 9001n, 77n)), "frozen");
	});
});

suite("a change", () => {
	test("that found what no change left was preceded by one that was lost", () => {
		const history = twoClocks(true);
		history.add({ id: "b", at: "600", before: clockText(offset(1000n)), after: clockText(offset(2n)) });
		assert.equal(history.breaks().length, 1);
		assert.ok(history.endsWith(offset(2n)));
	});

	test("that was perhaps not made may have been or not", () => {
		const history = twoClocks(false);
		assert.ok(history.endsWith(offset(1000n)) && history.endsWith(frozen(77n)));
		assert.ok(!history.endsWith(offset(2n)));
	});
});

test("a clock is its text", () => {
	const drift: WallClock = { kind: "drift", hostAnchor: nanoseconds(-5n), at: nanoseconds(2n ** 70n), rate: -3n };
	assert.deepEqual(parseClock(clockText(drift)), drift);
});
