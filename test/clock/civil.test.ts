import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import {
	addMonths,
	type CivilDate,
	civilFromDays,
	daysFromCivil,
	daysInMonth,
	isInRange,
} from "../../src/clock/civil.ts";
import { nanoseconds } from "../../src/units.ts";

const dayRows: readonly (readonly [string, CivilDate, bigint])[] = [
	["1970-01-01 is day 0", { year: 1970n, month: 1, day: 1 }, 0n],
	["the day before is day -1", { year: 1969n, month: 12, day: 31 }, -1n],
	["a leap day has a day of its own", { year: 2000n, month: 2, day: 29 }, 11016n],
	["1900 has no leap day", { year: 1900n, month: 3, day: 1 }, -25508n],
	["year 0 is a leap year", { year: 0n, month: 2, day: 29 }, -719469n],
	["years before 0 count on", { year: -9999n, month: 1, day: 1 }, -4371587n],
	["the last day of 9999", { year: 9999n, month: 12, day: 31 }, 2932896n],
];

for (const [name, date, days] of dayRows) {
	test(`days: ${name}`, () => {
		assert.equal(daysFromCivil(date), days);
		assert.deepEqual(civilFromDays(days), date);
	});
}

const monthRows: readonly (readonly [string, CivilDate, bigint, CivilDate])[] = [
	["the day is kept when the month has it", { year: 2026n, month: 1, day: 28 }, 1n, { year: 2026n, month: 2, day: 28 }],
	[
		"the day is cut to the end of the month",
		{ year: 2026n, month: 1, day: 31 },
		1n,
		{ year: 2026n, month: 2, day: 28 },
	],
	["a leap year keeps the 29th", { year: 2028n, month: 1, day: 31 }, 1n, { year: 2028n, month: 2, day: 29 }],
	["a leap day a year later is the 28th", { year: 2028n, month: 2, day: 29 }, 12n, { year: 2029n, month: 2, day: 28 }],
	["December is followed by January", { year: 2026n, month: 12, day: 5 }, 1n, { year: 2027n, month: 1, day: 5 }],
	["January is preceded by December", { year: 2026n, month: 1, day: 5 }, -1n, { year: 2025n, month: 12, day: 5 }],
	["year 0 is preceded by year -1", { year: 0n, month: 1, day: 5 }, -1n, { year: -1n, month: 12, day: 5 }],
];

for (const [name, date, months, expected] of monthRows) {
	test(`months: ${name}`, () => assert.deepEqual(addMonths(date, months), expected));
}

test("days and dates are inverse for any bigint", () => {
	fc.assert(
		fc.property(fc.bigInt(-(10n ** 24n), 10n ** 24n), (days) => {
			const date = civilFromDays(days);
			assert.equal(daysFromCivil(date), days);
			assert.ok(date.month >= 1 && date.month <= 12);
			assert.ok(date.day >= 1 && date.day <= daysInMonth(date.year, date.month));
		}),
	);
});

test("the next day is the next date", () => {
	fc.assert(
		fc.property(fc.bigInt(-(10n ** 9n), 10n ** 9n), (days) => {
			const { year, month, day } = civilFromDays(days);
			const next = civilFromDays(days + 1n);
			const expected =
				day < daysInMonth(year, month)
					? { year, month, day: day + 1 }
					: { year: month === 12 ? year + 1n : year, month: (month % 12) + 1, day: 1 };
			assert.deepEqual(next, expected);
		}),
	);
});

test("dates equal Temporal's", () => {
	fc.assert(
		fc.property(fc.integer({ min: -4_371_587, max: 2_932_896 }), (days) => {
			const expected = new Temporal.PlainDate(1970, 1, 1).add({ days });
			const { year, month, day } = civilFromDays(BigInt(days));
			assert.deepEqual([Number(year), month, day], [expected.year, expected.month, expected.day]);
		}),
	);
});

const rangeRows: readonly (readonly [string, string, bigint, boolean])[] = [
	["begins with the year -9999", "-009999-01-01T00:00Z", 0n, true],
	["has nothing before the year -9999", "-009999-01-01T00:00Z", -1n, false],
	["ends with the year 9999", "+010000-01-01T00:00Z", -1n, true],
	["has nothing after the year 9999", "+010000-01-01T00:00Z", 0n, false],
];

for (const [name, text, distance, expected] of rangeRows) {
	test(`the range ${name}`, () => {
		const instant = Temporal.Instant.from(text).epochNanoseconds + distance;
		assert.equal(isInRange(nanoseconds(instant)), expected);
	});
}
