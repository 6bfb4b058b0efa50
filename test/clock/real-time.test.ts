/** A time of the clock -> the moment of the host's that it means. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type WallClock, wallTime } from "../../src/clock/clock.ts";
import { realTime } from "../../src/clock/real-time.ts";
import { nanoseconds } from "../../src/units.ts";

const SECOND = 1_000_000_000n;
const HOST = nanoseconds(1_800_000_000n * SECOND);
const at = nanoseconds(2_200_000_000n * SECOND);

const rows: readonly (readonly [name: string, clock: WallClock, time: bigint, expected: bigint])[] = [
	["the host's", { kind: "host" }, 17n, 17n],
	["a day ahead", { kind: "offset", offset: nanoseconds(86_400n * SECOND) }, at, at - 86_400n * SECOND],
	["one that stands, at what it shows", { kind: "frozen", at }, at, HOST],
	["one that stands, an hour before", { kind: "frozen", at }, at - 3600n * SECOND, HOST - 3600n * SECOND],
	["one that stands, an hour later", { kind: "frozen", at }, at + 3600n * SECOND, HOST + 3600n * SECOND],
	["one that steps", { kind: "step", at, by: nanoseconds(SECOND) }, at + 5n, HOST + 5n],
];

for (const [name, clock, time, expected] of rows) {
	test(`the moment of a time of a clock: ${name}`, () => {
		assert.equal(realTime(clock, nanoseconds(time), HOST), expected);
	});
}

test("what a clock that drifts shows at a moment means that moment", () => {
	fc.assert(
		fc.property(fc.bigInt(-(10n ** 18n), 10n ** 18n), fc.bigInt(-(2n ** 39n), 2n ** 39n), (elapsed, rate) => {
			const clock: WallClock = { kind: "drift", hostAnchor: HOST, at, rate };
			const moment = nanoseconds(HOST + elapsed);
			const found = realTime(clock, wallTime(clock, moment), HOST);
			// A clock that is slower than the host's shows the same nanosecond more than once: the first of them.
			assert.ok(found <= moment && wallTime(clock, found) === wallTime(clock, moment));
		}),
	);
});
