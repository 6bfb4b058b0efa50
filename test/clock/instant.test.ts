import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import type { ClockTime } from "../../src/clock/instant.ts";
import { isoDateTime, isoInstant } from "../../src/clock/iso.ts";
import { parseClockSpec } from "../../src/clock/spec.ts";
import { anyInstant, commonEraInstant } from "./arbitraries.ts";

const parseTime = (text: string): ClockTime => {
	const spec = parseClockSpec(text);
	assert.ok(spec.kind === "clock" && spec.base.kind === "start", text);
	return spec.base.time;
};

const shown = (time: ClockTime): string => (time.kind === "instant" ? isoInstant(time.at) : isoDateTime(time.dateTime));

/** Instants end in Z; local times do not. */
const rows: readonly (readonly [string, string, string])[] = [
	["a date is midnight", "2040-01-01", "2040-01-01T00:00:00"],
	["@ changes nothing before a date", "@2040-01-01", "2040-01-01T00:00:00"],
	["T before the time of day", "2040-01-01T12:30", "2040-01-01T12:30:00"],
	["t before the time of day", "2040-01-01t12:30", "2040-01-01T12:30:00"],
	["a space before the time of day", "2040-01-01 12:30:05", "2040-01-01T12:30:05"],
	["spaces before the time of day", "2040-01-01   12:30:05", "2040-01-01T12:30:05"],
	["a fraction with a point", "2040-01-01T12:30:05.25", "2040-01-01T12:30:05.25"],
	["a fraction with a comma", "2040-01-01T12:30:05,25", "2040-01-01T12:30:05.25"],
	["a fraction of nine digits", "2040-01-01T00:00:00.123456789", "2040-01-01T00:00:00.123456789"],
	["Z is UTC", "2038-01-19T03:14:07Z", "2038-01-19T03:14:07Z"],
	["z is UTC", "2038-01-19T03:14:07z", "2038-01-19T03:14:07Z"],
	["an offset of hours", "2026-07-01T12:00+02", "2026-07-01T10:00:00Z"],
	["an offset of hours and minutes", "2026-07-01T12:00-03:30", "2026-07-01T15:30:00Z"],
	["an offset behind a date", "2026-07-01+02:00", "2026-06-30T22:00:00Z"],
	["a zone", "2026-07-01T12:00[Europe/Paris]", "2026-07-01T10:00:00Z"],
	["a zone behind a date", "2026-07-01[Europe/Paris]", "2026-06-30T22:00:00Z"],
	["a zone resolves an overlap to the earlier time", "@2026-10-25T02:59[Europe/Paris]", "2026-10-25T00:59:00Z"],
	["an offset chooses in an overlap", "2026-10-25T02:59+01:00[Europe/Paris]", "2026-10-25T01:59:00Z"],
	["a zone behind Z changes nothing", "2026-07-01T12:00Z[Europe/Paris]", "2026-07-01T12:00:00Z"],
	["a year with a sign and six digits", "+002026-07-01", "2026-07-01T00:00:00"],
	["a year before 0", "-000044-03-15T12:00Z", "-000044-03-15T12:00:00Z"],
	["the earliest year", "-009999-01-01", "-009999-01-01T00:00:00"],
	["the latest year", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"],
	["seconds since 1970", "@1663468944", "2022-09-18T02:42:24Z"],
	["seconds since 1970 with a fraction", "@1663468944.000000001", "2022-09-18T02:42:24.000000001Z"],
	["seconds before 1970", "@-86400", "1969-12-31T00:00:00Z"],
	["seconds before 1970 with a fraction", "@-0.5", "1969-12-31T23:59:59.5Z"],
];

for (const [name, text, expected] of rows) {
	test(`time: ${name} (${text})`, () => assert.equal(shown(parseTime(text)), expected));
}

test("the text of Temporal.Instant is read back", () => {
	fc.assert(
		fc.property(fc.oneof(anyInstant, commonEraInstant), (at) => {
			assert.deepEqual(parseTime(`@${new Temporal.Instant(at).toString()}`), { kind: "instant", at });
		}),
	);
});

test("the text of Temporal.PlainDateTime is read back", () => {
	fc.assert(
		fc.property(fc.oneof(anyInstant, commonEraInstant), (dateTime) => {
			const text = new Temporal.Instant(dateTime).toZonedDateTimeISO("UTC").toPlainDateTime().toString();
			assert.deepEqual(parseTime(text), { kind: "local", dateTime });
		}),
	);
});

test("the text of Temporal.ZonedDateTime is read back", () => {
	const zone = fc.constantFrom("Europe/Paris", "America/St_Johns", "UTC");
	fc.assert(
		fc.property(fc.bigInt(0n, 4_000_000_000_000_000_000n), zone, (at, name) => {
			const text = new Temporal.Instant(at).toZonedDateTimeISO(name).toString();
			assert.deepEqual(parseTime(text), { kind: "instant", at });
		}),
	);
});

test("seconds since 1970 are exact to the nanosecond", () => {
	fc.assert(
		fc.property(anyInstant, (at) => {
			const distance = at < 0n ? 0n - at : at;
			const fraction = String(distance % 1_000_000_000n).padStart(9, "0");
			const text = `@${at < 0n ? "-" : ""}${distance / 1_000_000_000n}.${fraction}`;
			assert.deepEqual(parseTime(text), { kind: "instant", at });
		}),
	);
});
