import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import { anchorClock, wallTime, type WallClock } from "../../src/clock/clock.ts";
import { ClockSpecError } from "../../src/clock/clock-spec-error.ts";
import { type ClockSpec, parseClockSpec } from "../../src/clock/spec.ts";
import { type Nanoseconds, nanoseconds } from "../../src/units.ts";
import { anySpec, modernInstant } from "./arbitraries.ts";

const instant = (text: string): Nanoseconds => nanoseconds(Temporal.Instant.from(text).epochNanoseconds);

const ANCHOR = { realtime: instant("2026-01-31T10:00:00.000000001Z"), zone: "Europe/Paris" };
const HOUR_LATER = nanoseconds(ANCHOR.realtime + 3_600_000_000_000n);

/** What a spec shows at the anchor and an hour later. */
const rows: readonly (readonly [string, string, string, string])[] = [
	["host is the host's time", "host", "2026-01-31T10:00:00.000000001Z", "2026-01-31T11:00:00.000000001Z"],
	["frozen stands at the anchor", "frozen", "2026-01-31T10:00:00.000000001Z", "2026-01-31T10:00:00.000000001Z"],
	["an offset ticks", "+30d", "2026-03-02T10:00:00.000000001Z", "2026-03-02T11:00:00.000000001Z"],
	["an offset back ticks", "-1h30m", "2026-01-31T08:30:00.000000001Z", "2026-01-31T09:30:00.000000001Z"],
	[
		"months are counted once, from the anchor",
		"+1mo",
		"2026-02-28T10:00:00.000000001Z",
		"2026-02-28T11:00:00.000000001Z",
	],
	["an offset can stand", "+1d frozen", "2026-02-01T10:00:00.000000001Z", "2026-02-01T10:00:00.000000001Z"],
	["a start ticks from there", "@2038-01-19T03:14:07Z", "2038-01-19T03:14:07Z", "2038-01-19T04:14:07Z"],
	["a start can stand", "@0 frozen", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"],
	["a start without a zone is local", "2026-07-01 12:00", "2026-07-01T10:00:00Z", "2026-07-01T11:00:00Z"],
	["a local time in a gap moves forward", "2026-03-29 02:30", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"],
	["a local time in an overlap is the earlier", "2026-10-25 02:30", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"],
	["a start before 1970", "-000044-03-15T12:00Z", "-000044-03-15T12:00:00Z", "-000044-03-15T13:00:00Z"],
];

for (const [name, spec, atAnchor, later] of rows) {
	test(`clock: ${name} (${spec})`, () => {
		const clock = anchorClock(parseClockSpec(spec), ANCHOR);
		assert.equal(wallTime(clock, ANCHOR.realtime), instant(atAnchor));
		assert.equal(wallTime(clock, HOUR_LATER), instant(later));
	});
}

const clockRows: readonly (readonly [string, string, WallClock])[] = [
	["host", "host", { kind: "host" }],
	["an offset is a difference", "-1s", { kind: "offset", offset: nanoseconds(-1_000_000_000n) }],
	["a start is a difference", "@0", { kind: "offset", offset: nanoseconds(0n - ANCHOR.realtime) }],
	["frozen is an instant", "@1 frozen", { kind: "frozen", at: nanoseconds(1_000_000_000n) }],
];

for (const [name, spec, expected] of clockRows) {
	test(`the clock of ${name}`, () => assert.deepEqual(anchorClock(parseClockSpec(spec), ANCHOR), expected));
}

const errorRows: readonly (readonly [string, string, string, RegExp])[] = [
	["a clock after 9999", "+9000y", "UTC", /^clock spec "\+9000y": position 1: .*outside the years -9999 to 9999/],
	["a clock before -9999", "-15000y", "UTC", /outside the years -9999 to 9999/],
	["a local time that leaves the range", "9999-12-31T23:00", "America/New_York", /outside the years -9999 to 9999/],
	["a local time in an unknown zone", "2026-01-01", "CET-1CEST", /the local time zone "CET-1CEST" is unknown/],
];

for (const [name, spec, zone, message] of errorRows) {
	test(`refused at the anchor: ${name}`, () => {
		const parsed = parseClockSpec(spec);
		const code = "ERR_VSYSCALL_CLOCK_SPEC";
		assert.throws(() => anchorClock(parsed, { ...ANCHOR, zone }), { name: "ClockSpecError", code, message });
	});
}

test("the local zone is not looked up unless a time needs it", (t) => {
	const made = t.mock.method(Intl, "DateTimeFormat");
	for (const spec of ["host", "frozen", "+1mo", "@0", "2026-01-01Z", "2026-01-01[UTC]", "2026-01-01+02:00"]) {
		anchorClock(parseClockSpec(spec), ANCHOR);
	}
	anchorClock(parseClockSpec("2026-01-01"), { ...ANCHOR, zone: "UTC" });
	assert.equal(made.mock.callCount(), 0);
});

/** A clock within the range; undefined when the spec leads out of it. */
const anchorInRange = (spec: ClockSpec, realtime: Nanoseconds): WallClock | undefined => {
	try {
		return anchorClock(spec, { realtime, zone: "UTC" });
	} catch (error) {
		assert.ok(error instanceof ClockSpecError, String(error));
		assert.match(error.message, /outside the years/);
		return undefined;
	}
};

test("a clock ticks with the host or stands, whatever the spec", () => {
	fc.assert(
		fc.property(anySpec, modernInstant, fc.bigInt(0n, 10n ** 18n), (spec, realtime, distance) => {
			const clock = anchorInRange(spec, realtime);
			fc.pre(clock !== undefined);
			const passed = wallTime(clock, nanoseconds(realtime + distance)) - wallTime(clock, realtime);
			assert.equal(passed, clock.kind === "frozen" ? 0n : distance);
		}),
	);
});
