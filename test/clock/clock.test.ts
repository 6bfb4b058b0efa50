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

const ANCHOR = {
	realtime: instant("2026-01-31T10:00:00.000000001Z"),
	zone: "Europe/Paris",
	mtime: instant("2030-05-01T08:00:00.25Z"),
};
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
	["a drift gains on the host", "@0 drift=1000", "1970-01-01T00:00:00Z", "1970-01-01T01:00:03.6Z"],
	["a drift can lose", "@0 drift=-500000", "1970-01-01T00:00:00Z", "1970-01-01T00:30:00Z"],
	[
		"a drift starts at the host's time",
		"drift=1000",
		"2026-01-31T10:00:00.000000001Z",
		"2026-01-31T11:00:03.600000001Z",
	],
	["a step stands between reads", "+1d step=1s", "2026-02-01T10:00:00.000000001Z", "2026-02-01T10:00:00.000000001Z"],
	["a followed file gives the start", "%now", "2030-05-01T08:00:00.25Z", "2030-05-01T09:00:00.25Z"],
	["a followed file can stand", "%now frozen", "2030-05-01T08:00:00.25Z", "2030-05-01T08:00:00.25Z"],
	["a start before 1970", "-000044-03-15T12:00Z", "-000044-03-15T12:00:00Z", "-000044-03-15T13:00:00Z"],
];

for (const [name, spec, atAnchor, later] of rows) {
	test(`clock: ${name} (${spec})`, () => {
		const clock = anchorClock(parseClockSpec(spec), ANCHOR);
		assert.equal(wallTime(clock, ANCHOR.realtime), instant(atAnchor));
		assert.equal(wallTime(clock, HOUR_LATER), instant(later));
	});
}

const SECOND = nanoseconds(1_000_000_000n);

const clockRows: readonly (readonly [string, string, WallClock])[] = [
	["host", "host", { kind: "host" }],
	["an offset is a difference", "-1s", { kind: "offset", offset: nanoseconds(-1_000_000_000n) }],
	["a start is a difference", "@0", { kind: "offset", offset: nanoseconds(0n - ANCHOR.realtime) }],
	["frozen is an instant", "@1 frozen", { kind: "frozen", at: nanoseconds(1_000_000_000n) }],
	["a step is an instant and a length", "@1 step=2s", { kind: "step", at: SECOND, by: nanoseconds(2_000_000_000n) }],
	[
		"a drift is anchored to the host",
		"@1 drift=500000",
		{ kind: "drift", hostAnchor: ANCHOR.realtime, at: SECOND, rate: 1n << 39n },
	],
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

test("refused at the anchor: a file whose time is unknown", () => {
	const message = /^clock spec "%\/tmp\/now frozen": position 1: the time of the file "\/tmp\/now" is unknown/;
	const { realtime, zone } = ANCHOR;
	assert.throws(() => anchorClock(parseClockSpec("%/tmp/now frozen"), { realtime, zone }), { message });
});

test("the time of a file is not looked up unless the spec follows one", () => {
	const anchor = {
		...ANCHOR,
		get mtime(): Nanoseconds {
			throw new Error("looked up");
		},
	};
	for (const spec of ["host", "frozen", "+1mo", "@0 drift=1", "step=1s"]) anchorClock(parseClockSpec(spec), anchor);
	assert.throws(() => anchorClock(parseClockSpec("%now"), anchor), /looked up/);
});

test("a followed file that changes anchors the clock again", () => {
	const spec = parseClockSpec("%now");
	const changed = { realtime: HOUR_LATER, zone: "UTC", mtime: instant("2001-01-01T00:00Z") };
	const clock = anchorClock(spec, changed);
	assert.equal(wallTime(clock, HOUR_LATER), changed.mtime);
	assert.equal(wallTime(clock, nanoseconds(HOUR_LATER + 5n)), changed.mtime + 5n);
});

test("the local zone is not looked up unless a time needs it", (t) => {
	const made = t.mock.method(Intl, "DateTimeFormat");
	for (const spec of ["host", "frozen", "+1mo", "@0", "2026-01-01Z", "2026-01-01[UTC]", "2026-01-01+02:00"]) {
		anchorClock(parseClockSpec(spec), ANCHOR);
	}
	anchorClock(parseClockSpec("2026-01-01"), { ...ANCHOR, zone: "UTC" });
	assert.equal(made.mock.callCount(), 0);
});

/** Towards minus infinity; BigInt's own division goes towards zero. */
const floorDivide = (dividend: bigint, divisor: bigint): bigint =>
	(dividend - (((dividend % divisor) + divisor) % divisor)) / divisor;

/** A clock within the range; undefined when the spec leads out of it. */
const anchorInRange = (spec: ClockSpec, realtime: Nanoseconds): WallClock | undefined => {
	try {
		return anchorClock(spec, { realtime, zone: "UTC", mtime: realtime });
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
			if (clock.kind === "frozen" || clock.kind === "step") assert.equal(passed, 0n);
			else if (clock.kind !== "drift") assert.equal(passed, distance);
			else assert.equal(passed, distance + floorDivide(distance * clock.rate, 1n << 40n));
		}),
	);
});

test("a clock that drifts never goes back while the host goes on", () => {
	const rate = fc.bigInt(1n - (1n << 40n), (1n << 40n) - 1n);
	fc.assert(
		fc.property(rate, modernInstant, fc.bigInt(-(10n ** 18n), 10n ** 18n), (value, hostAnchor, from) => {
			const clock: WallClock = { kind: "drift", hostAnchor, at: nanoseconds(0n), rate: value };
			const earlier = nanoseconds(hostAnchor + from);
			assert.ok(wallTime(clock, earlier) <= wallTime(clock, nanoseconds(earlier + 1n)));
		}),
	);
});
