/**
 * Pushes in the middle of a read: in front of every instruction of a call the page becomes another one, whole or in part, once or several
 * times. What the call returns must be the time of one of the clocks that the page has shown, and of no mixture.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type WallClock, wallTime } from "../../../src/clock/clock.ts";
import { nanoseconds, splitNanoseconds } from "../../../src/units.ts";
import { LINE, PAGE, PAGE_SIZE } from "../../../src/vvar/layout.ts";
import { VvarPage } from "../../../src/vvar/page.ts";
import { fakeClock, fakeCounter, fakeHost, hex, PAGE_BYTES, pageCommand, Sandbox32 } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const TAI = 37n;
const NOW = nanoseconds(1_795_612_766n * E9 + 444_410_533n);
const TIME_SIZE = 16;

const offset = (of: bigint): WallClock => ({ kind: "offset", offset: nanoseconds(of) });
const frozen = (at: bigint): WallClock => ({ kind: "frozen", at: nanoseconds(at) });
const drift = (at: bigint, rate: bigint): WallClock => ({
	kind: "drift",
	hostAnchor: nanoseconds(NOW - 1000n * E9),
	at: nanoseconds(at),
	rate,
});

const HOST_CLOCK: WallClock = { kind: "host" };
const NEAR = offset(0x1234_5678n * E9 + 987_654_321n);
const BACK = offset(-0x0fed_cba9n * E9 + 123_456_789n);
const FAR = offset(0x2_7654_3210n * E9 + 555_555_555n);
const STANDING = frozen(0x3_1111_2222n * E9 + 333_333_333n);
const STOPPED = frozen(-0x5_4444_5555n * E9 + 666_666_666n);
const FAST = drift(0x1_2222_3333n * E9 + 777_777_777n, 0x12_3456_789an);
const SLOW = drift(-0x6_7777_8888n * E9 + 88_888_888n, -0x98_7654_3210n);

/** Every two differ in both halves of the wall word, or of the fields of their slots. */
const PAIRS: readonly (readonly [string, WallClock, WallClock])[] = [
	["an offset to another", NEAR, BACK],
	["the host's clock to an offset", HOST_CLOCK, BACK],
	["an offset to a frozen wall", BACK, STANDING],
	["a frozen wall to another", STANDING, STOPPED],
	["a frozen wall to an offset", STOPPED, NEAR],
	["a far offset to a frozen wall", FAR, STANDING],
	["a drifting wall to another", FAST, SLOW],
];

const timeOf = (clock: WallClock): string => {
	const { seconds, nanoseconds: rest } = splitNanoseconds(wallTime(clock, NOW));
	const bytes = Buffer.alloc(TIME_SIZE);
	bytes.writeBigInt64LE(seconds, 0);
	bytes.writeBigInt64LE(rest, 8);
	return bytes.toString("hex");
};

/** A page, and what it is after each of some pushes. */
const pagesOf = (clocks: readonly WallClock[]): readonly Uint8Array[] => {
	const bytes = new Uint8Array(PAGE_SIZE);
	const page = new VvarPage(bytes, TAI);
	// So that both slots hold something.
	for (const clock of [frozen(1n), frozen(2n)]) page.push(clock);
	return clocks.map((clock) => {
		page.push(clock);
		return bytes.slice(0, PAGE_BYTES);
	});
};

const event = (delay: number, page: Uint8Array): string => `event ${delay} 0 ${hex(page)}`;

/** A push that stops in front of its last store: all of `after` but the wall word. */
const unfinished = (before: Uint8Array, after: Uint8Array): Uint8Array => {
	const page = after.slice();
	page.set(before.subarray(PAGE.wall, PAGE.wall + 8), PAGE.wall);
	return page;
};

const box = new Sandbox32(fakeHost("fine"), "fake", { entryForm: "int80" });
const { seconds, nanoseconds: rest } = splitNanoseconds(NOW);
const HOST = [...fakeCounter(), ...fakeClock(0, seconds, rest)];

/** Steps through calls with the events; @returns the distinct times that they returned */
const timesWith = (start: Uint8Array, events: readonly string[]): ReadonlySet<string> => {
	const results = box.results([
		...HOST,
		pageCommand(start),
		...events,
		`steps ${box.offset("__vdso_clock_gettime64")} 0 $0 0`,
	]);
	assert.ok(results.length > 30, `only ${results.length} instructions`);
	for (const { eax, changed } of results) assert.deepEqual([eax, changed], [0, 0]);
	return new Set(results.map(({ stored: [time] }) => time.toString("hex")));
};

for (const [name, first, second] of PAIRS)
	describe(`from ${name}`, () => {
		const [start, away, back] = pagesOf([first, second, first]) as [Uint8Array, Uint8Array, Uint8Array];

		test("a push is seen whole or not at all", () => {
			assert.deepEqual(timesWith(start, [event(0, away)]), new Set([timeOf(second), timeOf(first)]));
		});

		test("a push that has not ended is not seen", () => {
			assert.deepEqual(timesWith(start, [event(0, unfinished(start, away))]), new Set([timeOf(first)]));
		});

		for (const delay of [1, 2])
			test(`a push and one back, ${delay} instructions later`, () => {
				const times = timesWith(start, [event(0, away), event(delay, back)]);
				for (const time of times) assert.ok([timeOf(first), timeOf(second)].includes(time), time);
			});

		test("pushes in front of every instruction, each filling the slot that was in use before", () => {
			const clocks = [first, frozen(11n * E9 + 1n), frozen(-22n * E9 + 2n), frozen(33n * E9 + 3n), first];
			const [begin, ...pages] = pagesOf(clocks);
			assert.ok(begin !== undefined);
			const events = pages.map((page, index) => event(index, page));
			for (const time of timesWith(begin, events)) assert.ok(clocks.map(timeOf).includes(time), time);
		});
	});

test("slots are where these tests overwrite them", () => {
	assert.ok(PAGE.lines + 2 * LINE.size <= PAGE_BYTES);
});
