/** Pages that several processes push to in turn, any of which may die at any store. */
import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import fc from "fast-check";
import type { WallClock } from "../../src/clock/clock.ts";
import { nanoseconds } from "../../src/units.ts";
import * as layout from "../../src/vvar/layout.ts";
import { readClock, VvarPage } from "../../src/vvar/page.ts";

const E9 = 1_000_000_000n;
const TAI = 37n;
const FAR = 1n << 63n;

const newBytes = (): Uint8Array => new Uint8Array(layout.PAGE_SIZE);
const wordOf = (bytes: Uint8Array): bigint => new BigUint64Array(bytes.buffer)[layout.PAGE.wall / 8] ?? 0n;
/** The slot that the word names, or undefined when it names none. */
const namedSlot = (bytes: Uint8Array): Uint8Array | undefined => {
	const word = wordOf(bytes);
	if (Number(word & BigInt(layout.WALL_NANOSECONDS_MASK)) < E9) return undefined;
	const start = layout.PAGE.slots + Number((word >> BigInt(layout.WALL_SECONDS_SHIFT)) & 1n) * layout.SLOT.size;
	return bytes.subarray(start, start + layout.SLOT.size);
};

const time = fc.bigInt(-4n * FAR, 4n * FAR).map(nanoseconds);
/** Clocks, no two of which are the same value by another name. */
const clocks: fc.Arbitrary<WallClock> = fc.oneof(
	fc.constant<WallClock>({ kind: "host" }),
	fc.bigInt(1n, E9).map((offset): WallClock => ({ kind: "offset", offset: nanoseconds(offset) })),
	fc.bigInt(FAR * 2n, FAR * 4n).map((offset): WallClock => ({ kind: "offset", offset: nanoseconds(offset) })),
	time.map((at): WallClock => ({ kind: "frozen", at })),
	fc
		.tuple(time, time, fc.bigInt(1n - (1n << 40n), (1n << 40n) - 1n))
		.map(([hostAnchor, at, rate]): WallClock => ({ kind: "drift", hostAnchor, at, rate })),
	fc.tuple(time, fc.bigInt(1n, FAR)).map(([at, by]): WallClock => ({ kind: "step", at, by: nanoseconds(by) })),
);

/** The bytes of a page after each store of `push`, from none of them to all. */
const prefixes = (t: TestContext, bytes: Uint8Array, push: () => void): readonly Uint8Array[] => {
	const shots = [bytes.slice()];
	const mocks = ([DataView.prototype, Atomics] as const).flatMap((target) =>
		(target === Atomics ? ["store"] : ["setBigUint64", "setUint32", "setUint16", "setUint8"]).map((name) => {
			const original = (target as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
			const watched = function (this: unknown, ...args: unknown[]): unknown {
				const result = original?.apply(this, args);
				shots.push(bytes.slice());
				return result;
			};
			return t.mock.method(target, name as never, watched as never);
		}),
	);
	push();
	for (const mock of mocks) (mock as unknown as { mock: { restore: () => void } }).mock.restore();
	return shots;
};

test("a page that was in use goes on in another process", () => {
	fc.assert(
		fc.property(fc.array(fc.tuple(clocks, fc.nat(2)), { minLength: 1, maxLength: 20 }), (pushes) => {
			const bytes = newBytes();
			const first = new VvarPage(bytes, TAI);
			const pages = [first, VvarPage.open(bytes), VvarPage.open(bytes)];
			const words = new Set<bigint>();
			for (const [clock, who] of pushes) {
				const slot = namedSlot(bytes);
				const before = slot?.slice();
				(who === 2 ? VvarPage.open(bytes) : (pages[who] ?? first)).push(clock);
				assert.deepEqual(readClock(bytes), clock);
				assert.deepEqual(slot, before, "the slot that a reader may be in is left alone");
				if (namedSlot(bytes) === undefined) continue;
				assert.ok(!words.has(wordOf(bytes)), "a word that names a slot never comes back");
				words.add(wordOf(bytes));
			}
		}),
		{ numRuns: 2000 },
	);
});

test("a pusher that dies at any store leaves the clock before or the clock after, and the next one goes on", (t) => {
	fc.assert(
		fc.property(fc.array(clocks, { maxLength: 4 }), clocks, clocks, (history, clock, next) => {
			const bytes = newBytes();
			const page = new VvarPage(bytes, TAI);
			for (const earlier of history) page.push(earlier);
			const before = readClock(bytes);
			const shots = prefixes(t, bytes, () => page.push(clock));
			shots.forEach((shot, stores) => {
				assert.deepEqual(readClock(shot), stores === shots.length - 1 ? clock : before);
				const slot = namedSlot(shot);
				const untouched = slot?.slice();
				VvarPage.open(shot).push(next);
				assert.deepEqual(readClock(shot), next);
				assert.deepEqual(slot, untouched, "the slot that a reader may be in is left alone");
			});
		}),
		{ numRuns: 500 },
	);
});

test("opening a page changes nothing in it", () => {
	const bytes = newBytes();
	new VvarPage(bytes, TAI).push({ kind: "frozen", at: nanoseconds(5n) });
	const before = bytes.slice();
	assert.ok(VvarPage.open(bytes) instanceof VvarPage);
	assert.deepEqual(bytes, before);
});

test("an opened page keeps the distance of TAI", () => {
	const bytes = newBytes();
	assert.ok(new VvarPage(bytes, -3n) instanceof VvarPage);
	VvarPage.open(bytes).push({ kind: "frozen", at: nanoseconds(5n) });
	const slot = namedSlot(bytes) ?? new Uint8Array();
	assert.equal(new DataView(slot.buffer, slot.byteOffset).getBigInt64(layout.SLOT.taiSeconds, true), -3n);
});

describe("a page is refused", () => {
	const pageOf = (clock: WallClock, change: (bytes: Uint8Array) => void = () => {}): Uint8Array => {
		const bytes = newBytes();
		new VvarPage(bytes, TAI).push(clock);
		change(bytes);
		return bytes;
	};
	const frozenPage = (change?: (bytes: Uint8Array) => void): Uint8Array =>
		pageOf({ kind: "frozen", at: nanoseconds(5n) }, change);
	const driftingPage = (change: (bytes: Uint8Array) => void): Uint8Array =>
		pageOf({ kind: "drift", hostAnchor: nanoseconds(1n), at: nanoseconds(5n), rate: -7n }, change);
	const rows: readonly (readonly [string, Uint8Array, RegExp])[] = [
		["that is empty", new Uint8Array(0), /^a page of 0 bytes, not 4096: cut off; make the clock again$/],
		["that is cut off", frozenPage().slice(0, 4095), /^a page of 4095 bytes, not 4096: cut off/],
		["that is zeros", newBytes(), /^not a page of a clock: it does not begin with "vsysvvar"/],
		[
			"of version 1",
			frozenPage((bytes) => bytes.set([1], layout.PAGE.version)),
			/^a page of another version: 1, and this release has 4; make the clock again$/,
		],
		[
			"whose word has 10^9 nanoseconds",
			frozenPage((bytes) => {
				new BigUint64Array(bytes.buffer)[layout.PAGE.wall / 8] = E9;
			}),
			/^a damaged page: its wall word/,
		],
		[
			"whose slot has an unknown kind",
			frozenPage((bytes) => namedSlot(bytes)?.set([4])),
			/^a damaged page: the kind of its slot/,
		],
		[
			"whose word says that its slot drifts, and it stands",
			frozenPage((bytes) => {
				const words = new BigUint64Array(bytes.buffer);
				const mark = BigInt(layout.WALL_IN_SLOT ^ layout.WALL_ON_LINE);
				words[layout.PAGE.wall / 8] = (words[layout.PAGE.wall / 8] ?? 0n) ^ mark;
			}),
			/^a damaged page: the kind of its slot/,
		],
		[
			"whose slot has 10^9 nanoseconds",
			frozenPage((bytes) => namedSlot(bytes)?.fill(0xff, layout.SLOT.nanoseconds, layout.SLOT.nanoseconds + 8)),
			/^a damaged page: the times in its slot/,
		],
		[
			"whose line is another's",
			driftingPage((bytes) => bytes.fill(0xff, layout.PAGE.lines, layout.PAGE.lines + 2 * layout.LINE.size)),
			/^a damaged page: the line of its slot/,
		],
		[
			"whose slot has a rate of 1",
			frozenPage((bytes) => namedSlot(bytes)?.set([1], layout.SLOT.rate + layout.RATE_SHIFT / 8)),
			/^a damaged page: the rate in its slot/,
		],
	];
	for (const [name, bytes, message] of rows) {
		test(name, () => assert.throws(() => VvarPage.open(bytes), { code: "ERR_VSYSCALL_PAGE", message }));
	}

	test("or opened, whatever its bytes", () => {
		const prefix = frozenPage().slice(0, layout.PAGE.wall);
		fc.assert(
			fc.property(fc.uint8Array({ minLength: 192, maxLength: 192 }), fc.boolean(), (rest, isInSlot) => {
				const bytes = newBytes();
				bytes.set(prefix);
				bytes.set(rest, layout.PAGE.wall);
				if (isInSlot) bytes.set([0xff, 0xff, 0xff, 0x3f], layout.PAGE.wall);
				try {
					assert.ok(VvarPage.open(bytes) instanceof VvarPage);
				} catch (error) {
					assert.equal((error as { code?: string }).code, "ERR_VSYSCALL_PAGE");
					return;
				}
				assert.doesNotThrow(() => readClock(bytes));
			}),
			{ numRuns: 1000 },
		);
	});
});
