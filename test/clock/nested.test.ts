/** A clock inside of another one: what was anchored to the outer time goes on as a function of the host's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { anchorClock, type ClockAnchor, type WallClock, wallTime } from "../../src/clock/clock.ts";
import { nestClock } from "../../src/clock/nested.ts";
import { parseClockSpec } from "../../src/clock/spec.ts";
import { type Nanoseconds, nanoseconds } from "../../src/units.ts";
import { modernInstant } from "./arbitraries.ts";

const HOUR = 3_600_000_000_000n;
const DAY = 24n * HOUR;
const YEAR = 365n * DAY;

const anchorAt = (realtime: Nanoseconds): ClockAnchor => ({ realtime, zone: "UTC" });

const anyOuter: fc.Arbitrary<WallClock> = fc.oneof(
	fc.constant<WallClock>({ kind: "host" }),
	fc.bigInt(-100n * YEAR, 100n * YEAR).map((offset): WallClock => ({ kind: "offset", offset: nanoseconds(offset) })),
	modernInstant.map((at): WallClock => ({ kind: "frozen", at })),
	fc
		.record({ hostAnchor: modernInstant, at: modernInstant, rate: fc.bigInt(-1n << 30n, 1n << 30n) })
		.map((drift): WallClock => ({ kind: "drift", ...drift })),
	fc
		.record({ at: modernInstant, by: fc.bigInt(1n, YEAR).map(nanoseconds) })
		.map((step): WallClock => ({ kind: "step", ...step })),
);
const anyDistance = fc.bigInt(0n, 10n * YEAR);

describe("inside of any clock", () => {
	test("host is that clock", () => {
		fc.assert(
			fc.property(anyOuter, modernInstant, (outer, host) => {
				assert.deepEqual(nestClock({ kind: "host" }, outer, anchorAt(host)), outer);
			}),
		);
	});

	test("an offset is that clock and the offset, now and later", () => {
		fc.assert(
			fc.property(anyOuter, modernInstant, anyDistance, (outer, host, distance) => {
				const clock = nestClock(parseClockSpec("+25h"), outer, anchorAt(host));
				const later = nanoseconds(host + distance);
				assert.equal(wallTime(clock, later), wallTime(outer, later) + DAY + HOUR);
			}),
		);
	});

	test("frozen stands at what that clock shows", () => {
		fc.assert(
			fc.property(anyOuter, modernInstant, anyDistance, (outer, host, distance) => {
				const clock = nestClock(parseClockSpec("frozen"), outer, anchorAt(host));
				assert.equal(wallTime(clock, nanoseconds(host + distance)), wallTime(outer, host));
			}),
		);
	});

	test("a drift begins at what that clock shows", () => {
		fc.assert(
			fc.property(anyOuter, modernInstant, (outer, host) => {
				const clock = nestClock(parseClockSpec("-1h drift=100"), outer, anchorAt(host));
				assert.equal(wallTime(clock, host), wallTime(outer, host) - HOUR);
				const gained = wallTime(clock, nanoseconds(host + DAY)) - (wallTime(outer, host) - HOUR + DAY);
				// A rate has 40 bits behind the point: half a unit of the last is 40 ns a day.
				assert.ok(gained >= 8_640_000_000n - 41n && gained <= 8_640_000_000n + 41n, String(gained));
			}),
		);
	});

	for (const text of ["2038-01-19T03:14:07Z", "@2038-01-19T03:14:07", "2031-01-01Z frozen", "2031-01-01Z drift=-5"]) {
		test(`${text} is what it is outside`, () => {
			fc.assert(
				fc.property(anyOuter, modernInstant, (outer, host) => {
					const spec = parseClockSpec(text);
					assert.deepEqual(nestClock(spec, outer, anchorAt(host)), anchorClock(spec, anchorAt(host)));
				}),
			);
		});
	}
});

test("an offset by the calendar counts from the date that the outer clock shows", () => {
	const host = nanoseconds(BigInt(Date.UTC(2026, 0, 31)) * 1_000_000n);
	const outer = anchorClock(parseClockSpec("@2028-01-31T00:00Z frozen"), anchorAt(host));
	const clock = nestClock(parseClockSpec("+1mo"), outer, anchorAt(host));
	assert.deepEqual(clock, { kind: "frozen", at: BigInt(Date.UTC(2028, 1, 29)) * 1_000_000n });
});
