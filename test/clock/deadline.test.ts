/** The inverse of the clock, against the clock itself: the first moment of the host at which it shows the deadline. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type WallClock, wallTime } from "../../src/clock/clock.ts";
import { hostDeadline } from "../../src/clock/deadline.ts";
import { type Nanoseconds, nanoseconds } from "../../src/units.ts";

const LIMIT = 10n ** 21n;
const time: fc.Arbitrary<Nanoseconds> = fc.bigInt(-LIMIT, LIMIT).map(nanoseconds);
const clock: fc.Arbitrary<WallClock> = fc.oneof(
	fc.constant({ kind: "host" } as const),
	time.map((offset) => ({ kind: "offset", offset }) as const),
	time.map((at) => ({ kind: "frozen", at }) as const),
	fc
		.record({ hostAnchor: time, at: time, rate: fc.bigInt(-(2n ** 40n) + 1n, 2n ** 40n - 1n) })
		.map((drift) => ({ kind: "drift", ...drift }) as const),
	fc.record({ at: time, by: time }).map((step) => ({ kind: "step", ...step }) as const),
);

describe("the host's deadline", () => {
	test("is the first moment at which the clock shows it or later", () => {
		fc.assert(
			fc.property(clock, time, time, (wall, deadline, now) => {
				const found = hostDeadline(wall, deadline);
				if (found.kind === "past") return assert.ok(wallTime(wall, now) >= deadline);
				if (found.kind === "never") return assert.ok(wallTime(wall, now) < deadline);
				assert.ok(wallTime(wall, found.realtime) >= deadline);
				assert.ok(wallTime(wall, nanoseconds(found.realtime - 1n)) < deadline);
			}),
		);
	});

	test("is now when a wall that stands has just reached it", () => {
		const at = nanoseconds(5n);
		assert.deepEqual(hostDeadline({ kind: "frozen", at }, at), { kind: "past" });
		assert.deepEqual(hostDeadline({ kind: "frozen", at }, nanoseconds(6n)), { kind: "never" });
	});
});
