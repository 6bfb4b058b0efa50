import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import { isoInstant } from "../../src/clock/iso.ts";
import { nanoseconds } from "../../src/units.ts";
import { anyInstant } from "./arbitraries.ts";

const rows: readonly (readonly [string, bigint, string])[] = [
	["whole seconds have no fraction", 0n, "1970-01-01T00:00:00Z"],
	["a nanosecond has nine digits", 1n, "1970-01-01T00:00:00.000000001Z"],
	["a fraction has no zeros at its end", 500_000_000n, "1970-01-01T00:00:00.5Z"],
	["before 1970 the fraction still counts up", -1n, "1969-12-31T23:59:59.999999999Z"],
	["year 0 has four digits", -62_167_219_200_000_000_000n, "0000-01-01T00:00:00Z"],
	["years before 0 have a sign and six digits", -62_167_219_200_000_000_001n, "-000001-12-31T23:59:59.999999999Z"],
	["years after 9999 have a sign and six digits", 253_402_300_800_000_000_000n, "+010000-01-01T00:00:00Z"],
];

for (const [name, value, expected] of rows) {
	test(`isoInstant: ${name}`, () => assert.equal(isoInstant(nanoseconds(value)), expected));
}

test("isoInstant equals Temporal's text", () => {
	fc.assert(
		fc.property(anyInstant, (value) => {
			assert.equal(isoInstant(value), new Temporal.Instant(value).toString());
		}),
	);
});
