import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import { addDuration, type CalendarDuration, formatDuration } from "../../src/clock/duration.ts";
import { parseDuration as parseDurationAlone } from "../../src/clock/duration-grammar.ts";
import { isInRange } from "../../src/clock/civil.ts";
import { type ClockSpec, parseClockSpec } from "../../src/clock/spec.ts";
import { nanoseconds } from "../../src/units.ts";
import { anyDuration, anyInstant } from "./arbitraries.ts";

const SECOND = 1_000_000_000n;
const DAY = 86_400n * SECOND;

const duration = (sign: 1 | -1, months: bigint, exact: bigint): CalendarDuration => ({
	sign,
	months,
	exact: nanoseconds(exact),
});

/** As a base of a clock spec. */
const parseDuration = (text: string): CalendarDuration => {
	const spec: ClockSpec = parseClockSpec(text);
	assert.ok(spec.kind === "clock" && spec.base.kind === "offset", text);
	return spec.base.duration;
};

const rows: readonly (readonly [string, string, CalendarDuration])[] = [
	["a number and a unit", "+30d", duration(1, 0n, 30n * DAY)],
	["a sign holds for all parts", "-1h30m", duration(-1, 0n, 5400n * SECOND)],
	["mo is months and m is minutes", "+1mo1m", duration(1, 1n, 60n * SECOND)],
	["a week is seven days", "+1mo2w", duration(1, 1n, 14n * DAY)],
	["a year is twelve months", "+1y2mo", duration(1, 14n, 0n)],
	["every unit at once", "+1y1mo1w1d1h1m1s1ms1us1ns", duration(1, 13n, 694_861_001_001_001n)],
	["units come in any order", "+1s1h", duration(1, 0n, 3601n * SECOND)],
	["a unit can be there twice", "+1h1h", duration(1, 0n, 7200n * SECOND)],
	["us with the micro sign", "+5\u00b5s", duration(1, 0n, 5000n)],
	["us with the Greek letter", "+5\u03bcs", duration(1, 0n, 5000n)],
	["a fraction of an hour", "+1.5h", duration(1, 0n, 5400n * SECOND)],
	["a fraction of a week", "+0.5w", duration(1, 0n, 302_400n * SECOND)],
	["a fraction of a microsecond", "+0.001us", duration(1, 0n, 1n)],
	["zeros behind the last nanosecond are whole", "+1.000000000000s", duration(1, 0n, SECOND)],
	["a bare number is seconds", "+90", duration(1, 0n, 90n * SECOND)],
	["a bare number has a fraction", "-0.5", duration(-1, 0n, 500_000_000n)],
	["six digits without a month are seconds", "+123456", duration(1, 0n, 123_456n * SECOND)],
	["zero keeps its sign", "-0s", duration(-1, 0n, 0n)],
	["ISO 8601 years", "+P1Y", duration(1, 12n, 0n)],
	["ISO 8601 date and time", "-P1Y2M10DT2H30M", duration(-1, 14n, 10n * DAY + 9000n * SECOND)],
	["ISO 8601 M before T is months", "+P1MT1M", duration(1, 1n, 60n * SECOND)],
	["ISO 8601 weeks", "+P2W", duration(1, 0n, 14n * DAY)],
	["ISO 8601 fraction with a point", "+PT0.5S", duration(1, 0n, 500_000_000n)],
	["ISO 8601 fraction with a comma", "+PT0,5S", duration(1, 0n, 500_000_000n)],
	["ISO 8601 letters in lower case", "+p1dt1h", duration(1, 0n, DAY + 3600n * SECOND)],
	["hours, minutes and seconds", "+01:30:05", duration(1, 0n, 5405n * SECOND)],
	["minutes and seconds", "-01:30", duration(-1, 0n, 90n * SECOND)],
	["seconds with a fraction behind colons", "+00:00:00.25", duration(1, 0n, 250_000_000n)],
	["the first of the colon numbers has any size", "+100:00:00", duration(1, 0n, 360_000n * SECOND)],
];

for (const [name, text, expected] of rows) {
	test(`duration: ${name} (${text})`, () => assert.deepEqual(parseDuration(text), expected));
}

const formatRows: readonly (readonly [string, CalendarDuration, string])[] = [
	["units go from large to small", duration(1, 14n, 10n * DAY + 9000n * SECOND), "+1y2mo10d2h30m"],
	["weeks are days", duration(-1, 0n, 14n * DAY), "-14d"],
	["parts of a second have units", duration(1, 0n, 1_500_000_001n), "+1s500ms1ns"],
	["zero is seconds", duration(1, 0n, 0n), "+0s"],
];

for (const [name, value, expected] of formatRows) {
	test(`format of a duration: ${name}`, () => assert.equal(formatDuration(value), expected));
}

const addRows: readonly (readonly [string, string, string, string])[] = [
	["a month is cut to its end", "2026-01-31T12:00Z", "+1mo", "2026-02-28T12:00Z"],
	["a month back is cut to its end", "2026-03-31T12:00Z", "-1mo", "2026-02-28T12:00Z"],
	["months come before days", "2026-01-31T00:00Z", "+1mo1d", "2026-03-01T00:00Z"],
	["months come before days going back", "2026-03-31T00:00Z", "-1mo1d", "2026-02-27T00:00Z"],
	["years and months are one step", "2024-02-29T00:00Z", "+1y1mo", "2025-03-29T00:00Z"],
	["a year after a leap day is the 28th", "2024-02-29T00:00Z", "+1y", "2025-02-28T00:00Z"],
];

for (const [name, start, text, expected] of addRows) {
	test(`addition: ${name} (${start} ${text})`, () => {
		const from = nanoseconds(Temporal.Instant.from(start).epochNanoseconds);
		assert.equal(addDuration(from, parseDuration(text)), Temporal.Instant.from(expected).epochNanoseconds);
	});
}

const temporalSum = (from: bigint, { sign, months, exact }: CalendarDuration): bigint => {
	const length = Temporal.Duration.from({
		years: Number(months / 12n),
		months: Number(months % 12n),
		days: Number(exact / DAY),
		seconds: Number((exact % DAY) / SECOND),
		nanoseconds: Number(exact % SECOND),
	});
	const start = new Temporal.Instant(from).toZonedDateTimeISO("UTC").toPlainDateTime();
	const end = sign > 0 ? start.add(length) : start.subtract(length);
	return end.toZonedDateTime("UTC").epochNanoseconds;
};

test("addition equals Temporal.PlainDateTime's", () => {
	const short = fc.record({
		sign: fc.constantFrom(1 as const, -1 as const),
		months: fc.bigInt(0n, 1000n),
		exact: fc.bigInt(0n, 100_000n * DAY).map(nanoseconds),
	});
	fc.assert(
		fc.property(anyInstant, fc.oneof(short, anyDuration), (from, length) => {
			const sum = addDuration(from, length);
			fc.pre(isInRange(sum));
			assert.equal(sum, temporalSum(from, length));
		}),
	);
});

test("ISO 8601 durations mean what Temporal says", () => {
	const parts = fc.record({
		years: fc.nat(99),
		months: fc.nat(99),
		weeks: fc.nat(99),
		days: fc.nat(999),
		hours: fc.nat(99),
		minutes: fc.nat(999),
		seconds: fc.nat(9999),
		nanoseconds: fc.nat(999_999_999),
	});
	fc.assert(
		fc.property(parts, fc.constantFrom("+", "-"), anyInstant, (fields, sign, from) => {
			const length = Temporal.Duration.from(fields);
			const start = new Temporal.Instant(from).toZonedDateTimeISO("UTC").toPlainDateTime();
			const sum = addDuration(from, parseDuration(`${sign}${length.toString()}`));
			fc.pre(isInRange(sum));
			const end = sign === "+" ? start.add(length) : start.subtract(length);
			assert.equal(sum, end.toZonedDateTime("UTC").epochNanoseconds);
		}),
	);
});

const aloneRows: readonly (readonly [string, string, CalendarDuration])[] = [
	["without a sign goes forward", "30d", duration(1, 0n, 30n * DAY)],
	["with a plus goes forward", "+1mo2w", duration(1, 1n, 14n * DAY)],
	["with a minus goes back", "-PT5M", duration(-1, 0n, 300n * SECOND)],
	["in hours, minutes and seconds", "01:30:00", duration(1, 0n, 5400n * SECOND)],
];

for (const [name, text, expected] of aloneRows) {
	test(`a duration on its own ${name}: ${text}`, () => assert.deepEqual(parseDurationAlone(text), expected));
}

const refusedAlone: readonly (readonly [string, string, RegExp])[] = [
	["nothing", "", /^duration "": position 1: expected a number/],
	["a word behind it", "30d frozen", /^duration "30d frozen": position 4: unexpected " frozen"/],
	["an unknown unit", "30q", /^duration "30q": position 3: unknown unit "q"/],
	["a space in front", " 30d", /^duration " 30d": position 1: expected a number/],
];

for (const [name, text, message] of refusedAlone) {
	test(`a duration on its own is refused: ${name}`, () => {
		assert.throws(() => parseDurationAlone(text), { code: "ERR_VSYSCALL_CLOCK_SPEC", message });
	});
}
