/** The pusher's side of the vvar page: what is written, where, and in which order. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { WallClock } from "../../src/clock/clock.ts";
import { nanoseconds } from "../../src/units.ts";
import * as layout from "../../src/vvar/layout.ts";
import { packOffset, readClock, VvarPage } from "../../src/vvar/page.ts";

const E9 = 1_000_000_000n;
const LIMIT = (1n << 33n) * E9;
const TAI = 37n;

const newBytes = (): Uint8Array => new Uint8Array(layout.PAGE_SIZE);
const wordsOf = (bytes: Uint8Array): BigUint64Array => new BigUint64Array(bytes.buffer, bytes.byteOffset);
const wordOf = (bytes: Uint8Array): bigint => wordsOf(bytes)[layout.PAGE.wall / 8] ?? 0n;
const isSlotWord = (word: bigint): boolean => Number(word & 0x3fff_ffffn) > 999_999_999;
/** The bytes of the slot that `word` names, or of the other one. */
const slotBytes = (bytes: Uint8Array, word: bigint, isOther = false): Uint8Array => {
	const index = Number((word >> BigInt(layout.WALL_SECONDS_SHIFT)) & 1n) ^ (isOther ? 1 : 0);
	const start = layout.PAGE.slots + index * layout.SLOT.size;
	return bytes.slice(start, start + layout.SLOT.size);
};

const offset = (value: bigint): WallClock => ({ kind: "offset", offset: nanoseconds(value) });
const frozen = (value: bigint): WallClock => ({ kind: "frozen", at: nanoseconds(value) });

const drift = (hostAnchor: bigint, at: bigint, rate: bigint): WallClock => ({
	kind: "drift",
	hostAnchor: nanoseconds(hostAnchor),
	at: nanoseconds(at),
	rate,
});
const step = (at: bigint, by: bigint): WallClock => ({ kind: "step", at: nanoseconds(at), by: nanoseconds(by) });

const anyNanoseconds = fc.oneof(
	fc.bigInt(-LIMIT, LIMIT - 1n),
	fc.bigInt(-40n * LIMIT, 40n * LIMIT),
	fc.bigInt(-2n * E9, 2n * E9),
	fc.tuple(fc.constantFrom(LIMIT, -LIMIT), fc.bigInt(-3n, 3n)).map(([border, distance]) => border + distance),
);
const clocks: fc.Arbitrary<WallClock> = fc.oneof(
	fc.constant<WallClock>({ kind: "host" }),
	anyNanoseconds.map(offset),
	anyNanoseconds.map(frozen),
	fc
		.tuple(anyNanoseconds, anyNanoseconds, fc.bigInt(1n - (1n << 40n), (1n << 40n) - 1n))
		.map(([anchor, at, rate]) => drift(anchor, at, rate)),
	fc.tuple(anyNanoseconds, fc.bigInt(1n, 40n * LIMIT)).map(([at, by]) => step(at, by)),
);

/** An offset of 0 is the host's clock. */
const canonical = (clock: WallClock): WallClock =>
	clock.kind === "offset" && clock.offset === 0n ? { kind: "host" } : clock;

describe("the layout", () => {
	test("has its wall word and slots on cache lines of their own, in one page", () => {
		const line = 64;
		assert.equal(layout.PAGE.wall % line, 0);
		assert.equal(layout.PAGE.slots % line, 0);
		assert.equal(layout.SLOT.size % line, 0);
		const { wall, slots } = layout.PAGE;
		assert.notEqual(Math.floor(wall / line), 0);
		assert.notEqual(Math.floor(wall / line), Math.floor(slots / line));
		assert.ok(layout.PAGE.slots + layout.SLOT_COUNT * layout.SLOT.size <= layout.PAGE_SIZE);
		assert.equal(layout.SLOT_COUNT, 2);
	});

	test("has room for nine digits of nanoseconds beside marks that are no count of them", () => {
		const mask: number = layout.WALL_NANOSECONDS_MASK;
		assert.ok(mask >= 999_999_999);
		assert.ok(layout.WALL_IN_SLOT > layout.WALL_ON_LINE);
		assert.ok(layout.WALL_ON_LINE > 999_999_999);
		assert.equal(layout.WALL_NANOSECONDS_MASK, 2 ** layout.WALL_SECONDS_SHIFT - 1);
	});

	test("says what it is", () => {
		const bytes = newBytes();
		assert.ok(new VvarPage(bytes, TAI) instanceof VvarPage);
		assert.equal(new TextDecoder().decode(bytes.subarray(0, 8)), "vsysvvar");
		assert.equal(wordsOf(bytes)[1], BigInt(layout.VERSION));
	});
});

test("a page that is too short is refused", () => {
	assert.throws(() => new VvarPage(new Uint8Array(layout.PAGE_SIZE - 8), TAI), RangeError);
});

test("a new page is the host's clock", () => {
	const bytes = newBytes();
	assert.ok(new VvarPage(bytes, TAI) instanceof VvarPage);
	assert.deepEqual(readClock(bytes), { kind: "host" });
});

test("a page may begin anywhere in its buffer", () => {
	const buffer = new Uint8Array(3 * layout.PAGE_SIZE);
	const bytes = buffer.subarray(layout.PAGE_SIZE, 2 * layout.PAGE_SIZE);
	const page = new VvarPage(bytes, TAI);
	for (const clock of [offset(5n), frozen(-7n)]) {
		page.push(clock);
		assert.deepEqual(readClock(bytes), clock);
	}
	assert.ok(buffer.subarray(0, layout.PAGE_SIZE).every((byte) => byte === 0));
	assert.ok(buffer.subarray(2 * layout.PAGE_SIZE).every((byte) => byte === 0));
});

describe("an offset", () => {
	const borders: readonly (readonly [string, bigint, boolean])[] = [
		["2^33 seconds less a nanosecond", LIMIT - 1n, true],
		["2^33 seconds", LIMIT, false],
		["2^33 seconds and a nanosecond", LIMIT + 1n, false],
		["-2^33 seconds", -LIMIT, true],
		["-2^33 seconds less a nanosecond", -LIMIT - 1n, false],
		["-2^33 seconds and a nanosecond", 1n - LIMIT, true],
		["a nanosecond", 1n, true],
		["minus a nanosecond", -1n, true],
		["nothing", 0n, true],
	];
	for (const [name, value, isNarrow] of borders) {
		test(`of ${name} ${isNarrow ? "is one word" : "takes a slot"}`, () => {
			const word = packOffset(nanoseconds(value));
			assert.equal(word !== undefined, isNarrow);
			const bytes = newBytes();
			new VvarPage(bytes, TAI).push(offset(value));
			assert.equal(isSlotWord(wordOf(bytes)), !isNarrow);
			if (word !== undefined) assert.equal(wordOf(bytes), word);
			assert.deepEqual(readClock(bytes), canonical(offset(value)));
		});
	}

	test("in one word is seconds shifted by 30, with nanoseconds below 10^9", () => {
		fc.assert(
			fc.property(fc.bigInt(-LIMIT, LIMIT - 1n), (value) => {
				const word = packOffset(nanoseconds(value)) ?? -1n;
				const low = word & 0x3fff_ffffn;
				assert.ok(low < E9);
				assert.equal((BigInt.asIntN(64, word) >> 30n) * E9 + low, value);
			}),
			{ numRuns: 5000 },
		);
	});
});

test("what is pushed is what the page shows, whatever was pushed before", () => {
	fc.assert(
		fc.property(fc.array(clocks, { minLength: 1, maxLength: 12 }), (pushes) => {
			const bytes = newBytes();
			const page = new VvarPage(bytes, TAI);
			for (const clock of pushes) {
				page.push(clock);
				assert.deepEqual(readClock(bytes), canonical(clock));
			}
		}),
		{ numRuns: 3000 },
	);
});

test("a slot tells readers of TAI the distance", () => {
	const bytes = newBytes();
	new VvarPage(bytes, TAI).push(frozen(1n));
	const slot = slotBytes(bytes, wordOf(bytes));
	assert.equal(wordsOf(slot)[layout.SLOT.taiSeconds / 8], TAI);
	const negative = newBytes();
	new VvarPage(negative, -3n).push(frozen(1n));
	assert.equal(
		BigInt.asIntN(64, wordsOf(slotBytes(negative, wordOf(negative)))[layout.SLOT.taiSeconds / 8] ?? 0n),
		-3n,
	);
});

describe("a push", () => {
	test("never touches the slot that the word before names", () => {
		fc.assert(
			fc.property(fc.array(clocks, { minLength: 2, maxLength: 30 }), (pushes) => {
				const bytes = newBytes();
				const page = new VvarPage(bytes, TAI);
				for (const clock of pushes) {
					const before = bytes.slice();
					const word = wordOf(before);
					page.push(clock);
					if (isSlotWord(word)) assert.deepEqual(slotBytes(bytes, word), slotBytes(before, word));
				}
			}),
			{ numRuns: 2000 },
		);
	});

	test("to a slot alternates slots and never repeats a word", () => {
		const bytes = newBytes();
		const page = new VvarPage(bytes, TAI);
		const seen = new Set<bigint>();
		let slot = -1;
		for (let index = 0; index < 5000; index++) {
			if (index % 3 === 0) page.push(offset(BigInt(index)));
			page.push(index % 2 === 0 ? frozen(BigInt(index)) : offset(2n * LIMIT + BigInt(index)));
			const word = wordOf(bytes);
			assert.ok(isSlotWord(word));
			assert.ok(!seen.has(word));
			seen.add(word);
			const next = Number((word >> 30n) & 1n);
			assert.notEqual(next, slot);
			slot = next;
		}
	});

	test("shows the old clock until its last store, which is the word, and then the new one", (t) => {
		const bytes = newBytes();
		const page = new VvarPage(bytes, TAI);
		let old: WallClock = { kind: "host" };
		const shown: WallClock[] = [];
		let stores = 0;
		// DataView's setters write the slot, Atomics.store the word: the page is looked at before and after each.
		const observe = <Target extends object>(target: Target, name: keyof Target & string): void => {
			const original = target[name] as (...args: unknown[]) => unknown;
			t.mock.method(
				target,
				name as never,
				function (this: unknown, ...args: unknown[]): unknown {
					shown.push(readClock(bytes));
					const result = original.apply(this, args);
					if (name !== "store") shown.push(readClock(bytes));
					else stores++;
					return result;
				} as never,
			);
		};
		observe(DataView.prototype, "setBigUint64");
		observe(DataView.prototype, "setUint32");
		observe(DataView.prototype, "setBigInt64");
		observe(Atomics, "store");
		const pushes = [
			offset(5n),
			frozen(7n),
			frozen(-8n * E9 - 1n),
			offset(3n * LIMIT),
			offset(-3n * LIMIT),
			frozen(1n),
			drift(-5n, 7n, -3n),
			step(8n * E9, 2n * E9),
			drift(5n * LIMIT, -1n, (1n << 40n) - 1n),
			offset(-1n),
		];
		for (const clock of [...pushes, { kind: "host" } as const, ...pushes.toReversed()]) {
			shown.length = 0;
			stores = 0;
			page.push(clock);
			assert.equal(stores, 1, "one store of the word");
			assert.ok(shown.length >= 1);
			for (const seen of shown) assert.deepEqual(seen, canonical(old));
			assert.deepEqual(readClock(bytes), canonical(clock));
			old = clock;
		}
	});

	test("that repeats a narrow offset leaves the page as it is", () => {
		const bytes = newBytes();
		const page = new VvarPage(bytes, TAI);
		page.push(frozen(9n));
		page.push(offset(-5n));
		const before = bytes.slice();
		page.push(offset(-5n));
		assert.deepEqual(bytes, before);
	});

	test("writes a drift and a step to their fields", () => {
		const bytes = newBytes();
		const page = new VvarPage(bytes, TAI);
		const fields = (): readonly bigint[] => {
			const words = wordsOf(slotBytes(bytes, wordOf(bytes)));
			return [...words.subarray(0, 7)].map((word) => BigInt.asIntN(64, word));
		};
		page.push(drift(-1n, 3n * E9 + 4n, -5n));
		assert.deepEqual(fields(), [BigInt(layout.SLOT_KIND_DRIFT), 3n, 4n, TAI, -1n, E9 - 1n, -5n]);
		page.push(step(-1n, 2n * E9 + 6n));
		assert.deepEqual(fields(), [BigInt(layout.SLOT_KIND_TRAP), -1n, E9 - 1n, TAI, 2n, 6n, 0n]);
	});
});
