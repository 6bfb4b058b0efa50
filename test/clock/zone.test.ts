import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import { instantOfLocal, instantWithOffset, openZone, type Zone } from "../../src/clock/zone.ts";
import { type Nanoseconds, nanoseconds } from "../../src/units.ts";
import { anyInstant, modernInstant, ZONES } from "./arbitraries.ts";

const zoneOf = (name: string): Zone => {
	const zone = openZone(name);
	assert.ok(zone, name);
	return zone;
};

const zones = new Map<string, Zone>(ZONES.map((name) => [name, zoneOf(name)]));
const anyZone = fc.constantFrom(...zones.values());

const asUtc = (local: string): Nanoseconds => nanoseconds(Temporal.Instant.from(`${local}Z`).epochNanoseconds);
const instant = (text: string): Nanoseconds => nanoseconds(Temporal.Instant.from(text).epochNanoseconds);

const localRows: readonly (readonly [string, string, string, string])[] = [
	["a plain local time has one instant", "Europe/Paris", "2026-07-01T12:00", "2026-07-01T10:00Z"],
	["a skipped hour moves forward by the gap", "Europe/Paris", "2026-03-29T02:30", "2026-03-29T01:30Z"],
	["the end of a gap is not in it", "Europe/Paris", "2026-03-29T03:00", "2026-03-29T01:00Z"],
	["a repeated hour is the earlier one", "Europe/Paris", "2026-10-25T02:59", "2026-10-25T00:59Z"],
	["the end of an overlap is not in it", "Europe/Paris", "2026-10-25T03:00", "2026-10-25T02:00Z"],
	["a gap of half an hour moves by half an hour", "Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:45Z"],
	["an overlap of half an hour is the earlier one", "Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45Z"],
	["a skipped day moves by a day", "Pacific/Apia", "2011-12-30T12:00", "2011-12-30T22:00Z"],
	["offsets have minutes", "Asia/Kolkata", "2026-01-01T00:00", "2025-12-31T18:30Z"],
	["local mean time has seconds", "Europe/Paris", "1800-01-01T00:00", "1799-12-31T23:50:39Z"],
	["names have any letter case", "europe/paris", "2026-07-01T12:00", "2026-07-01T10:00Z"],
];

for (const [name, zone, local, expected] of localRows) {
	test(`local time: ${name}`, () => assert.equal(instantOfLocal(zoneOf(zone), asUtc(local)), instant(expected)));
}

const offsetRows: readonly (readonly [string, string, string, number, string | undefined])[] = [
	["the first of two instants", "Europe/Paris", "2026-10-25T02:30", 120, "2026-10-25T00:30Z"],
	["the second of two instants", "Europe/Paris", "2026-10-25T02:30", 60, "2026-10-25T01:30Z"],
	["an offset the zone does not have then is none", "Europe/Paris", "2026-07-01T12:00", 60, undefined],
	["a skipped time is none", "Europe/Paris", "2026-03-29T02:30", 60, undefined],
	["local mean time is rounded to minutes", "Europe/Paris", "1800-01-01T00:00", 9, "1799-12-31T23:50:39Z"],
	["rounding is away from zero", "Africa/Monrovia", "1971-01-01T00:00", -45, "1971-01-01T00:44:30Z"],
];

for (const [name, zone, local, minutes, expected] of offsetRows) {
	test(`local time with an offset: ${name}`, () => {
		const offset = nanoseconds(BigInt(minutes) * 60_000_000_000n);
		const found = instantWithOffset(zoneOf(zone), asUtc(local), offset);
		assert.equal(found, expected === undefined ? undefined : instant(expected));
	});
}

test("an unknown zone is undefined", () => {
	for (const name of ["", "Mars/Olympus", "CET-1CEST,M3.5.0,M10.5.0/3", ":/etc/localtime", "\0"]) {
		assert.equal(openZone(name), undefined, name);
	}
});

test("UTC has no formatter", (t) => {
	const made = t.mock.method(Intl, "DateTimeFormat");
	for (const name of ["UTC", "Etc/UTC", "utc"]) assert.equal(zoneOf(name).offsetAt(nanoseconds(0n)), 0n);
	assert.equal(made.mock.callCount(), 0);
});

test("the offset a nanosecond before a change is the one before", () => {
	const paris = zoneOf("Europe/Paris");
	for (const change of ["2026-03-29T01:00Z", "1911-03-10T23:50:39Z"]) {
		const at = instant(change);
		assert.notEqual(paris.offsetAt(nanoseconds(at - 1n)), paris.offsetAt(at), change);
	}
});

/** Of Temporal.ZonedDateTime. */
const temporalOffset = (zone: Zone, at: Nanoseconds): number =>
	new Temporal.Instant(at).toZonedDateTimeISO(zone.name).offsetNanoseconds;

test("offsets equal Temporal's", () => {
	fc.assert(
		fc.property(anyZone, fc.oneof(modernInstant, anyInstant), (zone, at) => {
			assert.equal(Number(zone.offsetAt(at)), temporalOffset(zone, at));
		}),
	);
});

const temporalInstant = (zone: Zone, local: Nanoseconds): bigint =>
	new Temporal.Instant(local)
		.toZonedDateTimeISO("UTC")
		.toPlainDateTime()
		.toZonedDateTime(zone.name, { disambiguation: "compatible" }).epochNanoseconds;

test("instants of local times equal Temporal's", () => {
	fc.assert(
		fc.property(anyZone, fc.oneof(modernInstant, anyInstant), (zone, local) => {
			assert.equal(instantOfLocal(zone, local), temporalInstant(zone, local));
		}),
	);
});

/** A local time within three hours of a change of offset. */
const nearChange = fc
	.record({ zone: anyZone, from: modernInstant, distance: fc.bigInt(-180n, 180n) })
	.map(({ zone, from, distance }) => {
		const start = new Temporal.Instant(from).toZonedDateTimeISO(zone.name);
		const change = start.getTimeZoneTransition("next") ?? start;
		const local = change.epochNanoseconds + BigInt(change.offsetNanoseconds) + distance * 60_000_000_000n;
		return { zone, local: nanoseconds(local) };
	});

test("instants of local times near a change of offset equal Temporal's", () => {
	fc.assert(
		fc.property(nearChange, ({ zone, local }) => {
			assert.equal(instantOfLocal(zone, local), temporalInstant(zone, local));
		}),
	);
});
