/** The reader of the counters, against slots that are filled here as the image fills them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SlotTable } from "../../src/observation/counters.ts";
import {
	ARMED,
	COUNTERS,
	HEADER,
	layOutObservation,
	processKey,
	SLOT,
	SLOTS,
	STACK_SHIFT,
} from "../../src/observation/layout.ts";

const LAYOUT = layOutObservation("count", 1);

interface Filled {
	readonly slot: number;
	readonly serial: number;
	readonly call: number;
	readonly count: bigint;
}

const tagOf = (serial: number): bigint => (0x7ffd_1234_5000n | processKey(serial)) >> BigInt(STACK_SHIFT);

const fill = (slots: readonly Filled[]): { readonly bytes: Uint8Array; readonly view: DataView } => {
	const bytes = new Uint8Array(LAYOUT.size);
	const view = new DataView(bytes.buffer);
	for (const { slot, serial, call, count } of slots) {
		const start = LAYOUT.slotsOffset + slot * SLOT.size;
		view.setBigUint64(start + SLOT.tag, tagOf(serial), true);
		view.setBigUint64(start + SLOT.counters + 8 * call, count, true);
	}
	view.setBigUint64(HEADER.taken, BigInt(slots.length), true);
	return { bytes, view };
};

const slots = fc.uniqueArray(
	fc.record({
		slot: fc.integer({ min: 0, max: SLOTS - 1 }),
		serial: fc.integer({ min: 1, max: 0xffff }),
		call: fc.integer({ min: 0, max: COUNTERS - 1 }),
		count: fc.bigInt({ min: 1n, max: 2n ** 40n }),
	}),
	{ selector: ({ slot }) => slot, maxLength: 60 },
);

/** "serial call": the sum. */
const sums = (filled: readonly Filled[]): ReadonlyMap<string, bigint> => {
	const expected = new Map<string, bigint>();
	for (const { serial, call, count } of filled) {
		const key = `${serial} ${call}`;
		expected.set(key, (expected.get(key) ?? 0n) + count);
	}
	return expected;
};

const tallied = (table: SlotTable): ReadonlyMap<string, bigint> => {
	const found = new Map<string, bigint>();
	for (const [serial, counts] of table.tally().processes) {
		counts.forEach((count, call) => count !== 0n && found.set(`${serial} ${call}`, count));
	}
	return found;
};

const sorted = (map: ReadonlyMap<string, bigint>) => [...map].toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)));

test("the counts of a process are the sums of its slots, armed or not", () => {
	fc.assert(
		fc.property(slots, (filled) => {
			const { bytes } = fill(filled);
			const table = new SlotTable(bytes, LAYOUT);
			assert.deepEqual(sorted(tallied(table)), sorted(sums(filled)));
			table.arm();
			assert.deepEqual(sorted(tallied(table)), sorted(sums(filled)));
		}),
		{ numRuns: 50 },
	);
});

test("arming marks each tag that is there, and no empty slot", () => {
	const { bytes, view } = fill([
		{ slot: 3, serial: 7, call: 1, count: 5n },
		{ slot: SLOTS - 1, serial: 8, call: 0, count: 1n },
	]);
	new SlotTable(bytes, LAYOUT).arm();
	const armed = Array.from({ length: SLOTS }, (_, slot) =>
		view.getBigUint64(LAYOUT.slotsOffset + slot * SLOT.size, true),
	);
	assert.deepEqual(
		armed.flatMap((tag, slot) => (tag === 0n ? [] : [[slot, tag]])),
		[
			[3, tagOf(7) | ARMED],
			[SLOTS - 1, tagOf(8) | ARMED],
		],
	);
});

test("slots of processes that are gone are given back when they run short, and their counts stay", () => {
	const filled = Array.from({ length: SLOTS / 2 + 1 }, (_, slot) => ({
		slot,
		serial: 1 + (slot % 100),
		call: slot % COUNTERS,
		count: BigInt(slot + 1),
	}));
	const { bytes, view } = fill(filled);
	const table = new SlotTable(bytes, LAYOUT);
	table.release((serial) => serial % 2 === 0);
	assert.deepEqual(sorted(tallied(table)), sorted(sums(filled)));
	const left = filled.filter(({ slot }) => view.getBigUint64(LAYOUT.slotsOffset + slot * SLOT.size, true) !== 0n);
	assert.deepEqual(
		left,
		filled.filter(({ serial }) => serial % 2 === 1),
	);
	const few = fill(filled.slice(0, 10));
	new SlotTable(few.bytes, LAYOUT).release(() => true);
	assert.equal(
		sorted(tallied(new SlotTable(few.bytes, LAYOUT))).length,
		10,
		"nothing is given back while there are enough",
	);
});

test("calls that found no slot are of no process", () => {
	const { bytes, view } = fill([]);
	view.setBigUint64(LAYOUT.overflowOffset + SLOT.counters + 8 * 5, 77n, true);
	const { processes, unattributed } = new SlotTable(bytes, LAYOUT).tally();
	assert.equal(processes.size, 0);
	assert.deepEqual(
		unattributed.flatMap((count, call) => (count === 0n ? [] : [[call, count]])),
		[[5, 77n]],
	);
});
