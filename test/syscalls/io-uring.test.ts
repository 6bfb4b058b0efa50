/** Rings and their entries, with the offsets and numbers of the kernel's own header; queues against a plain model. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test, type TestContext } from "node:test";
import fc from "fast-check";
import { setU32, setU64 } from "../../src/bytes.ts";
import {
	PARAMS_SIZE,
	readRingShape,
	readTimeoutRequest,
	type RingShape,
	ringsLength,
	submittedEntries,
} from "../../src/syscalls/io-uring.ts";
import { parseIoUringWay } from "../../src/syscalls/io-uring-way.ts";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

type Layout = Readonly<Record<string, number>>;

const layoutOf = (t: TestContext): Layout | undefined =>
	has(t, "gcc")
		? (JSON.parse(execFileSync(build("glibc", "io-uring-layout.c")).toString("utf8")) as Layout)
		: undefined;

const entryOf = (layout: Layout, words: Layout & { readonly userData?: number }): Uint8Array => {
	const entry = new Uint8Array(layout["entry"] ?? 0);
	for (const [name, value] of Object.entries(words)) {
		const offset = layout[name] ?? assert.fail(`no ${name}`);
		if (name === "opcode") entry[offset] = value;
		else if (name === "timeoutFlags") setU32(entry, offset, value);
		else setU64(entry, offset, BigInt(value));
	}
	return entry;
};

test("a timeout has its time at addr, an update at addr2; the clock of an update is not its own", (t) => {
	const layout = layoutOf(t);
	if (layout === undefined) return;
	const { timeout = 0, remove = 0, link = 0, abs = 0, realtime = 0, boottime = 0, update = 0, linkUpdate = 0 } = layout;
	const read = (opcode: number, timeoutFlags: number) =>
		readTimeoutRequest(entryOf(layout, { opcode, timeoutFlags, addr: 0x1000, addr2: 0x2000, userData: 9 }));
	const { addr = 0, addr2 = 0 } = layout;
	const single = { isImmediate: false, field: addr, value: 0x1000n, userData: 9n, kind: "timeout" };
	assert.deepEqual(read(timeout, abs | realtime), { ...single, isAbsolute: true, isOnWall: true, isLinked: false });
	assert.deepEqual(read(timeout, realtime), { ...single, isAbsolute: false, isOnWall: true, isLinked: false });
	assert.deepEqual(read(timeout, abs), { ...single, isAbsolute: true, isOnWall: false, isLinked: false });
	assert.deepEqual(read(link, abs | boottime), { ...single, isAbsolute: true, isOnWall: false, isLinked: true });
	const changed = { isImmediate: false, field: addr2, value: 0x2000n, userData: 0x1000n, kind: "update" };
	assert.deepEqual(read(remove, update | abs), { ...changed, isAbsolute: true, isLinked: false });
	assert.deepEqual(read(remove, update | linkUpdate), { ...changed, isAbsolute: false, isLinked: true });
	assert.equal(read(remove, 0), undefined);
	const [first, last] = [Math.min(timeout, remove, link), Math.max(timeout, remove, link)];
	for (const other of [0, first - 1, last + 1, 255]) assert.equal(read(other, abs | realtime), undefined);
});

test("the shape of a ring is where the kernel says", (t) => {
	const layout = layoutOf(t);
	if (layout === undefined) return;
	assert.equal(layout["params"], PARAMS_SIZE);
	const params = new Uint8Array(PARAMS_SIZE);
	const put = (name: string, value: number): void => setU32(params, layout[name] ?? assert.fail(name), value);
	put("entries", 8);
	put("head", 100);
	put("tail", 200);
	put("array", 300);
	const shape = readRingShape(params);
	const plain = { isMixed: false, startsOver: false, own: undefined };
	assert.deepEqual(shape, { entries: 8, head: 100, tail: 200, array: 300, stride: 64, ...plain });
	assert.equal(ringsLength(shape), 332);
	put("flags", layout["sqe128"] ?? 0);
	assert.equal(readRingShape(params).stride, 128);
	put("flags", 1 << 16);
	assert.equal(readRingShape(params).array, undefined);
	assert.equal(ringsLength(readRingShape(params)), 204);
	put("flags", 1 << 14);
	setU64(params, layout["sqAddress"] ?? 0, 0x5000n);
	setU64(params, layout["cqAddress"] ?? 0, 0x6000n);
	assert.deepEqual(readRingShape(params).own, { rings: 0x6000n, entries: 0x5000n });
});

const HEAD = 0;
const TAIL = 4;
const ARRAY = 8;

/** A ring whose entries are told by their user_data, and may be of other operations. */
const model = (
	shape: Partial<RingShape>,
	{ head, tail, array, opcodes }: { head: number; tail: number; array: readonly number[]; opcodes: readonly number[] },
) => {
	const entries = opcodes.length;
	const words = new Map([
		[HEAD, head >>> 0],
		[TAIL, tail >>> 0],
		...array.map((index, place) => [ARRAY + 4 * place, index] as const),
	]);
	const whole: RingShape = {
		entries,
		head: HEAD,
		tail: TAIL,
		array: ARRAY,
		stride: 64,
		isMixed: false,
		startsOver: false,
		own: undefined,
		...shape,
	};
	const reads = {
		word: (offset: number) => words.get(offset) ?? assert.fail(`reads ${offset}`),
		entry: (index: number) => new Uint8Array([opcodes[index] ?? assert.fail(`entry ${index}`)]),
	};
	return (count: number): number[] => [...submittedEntries(whole, reads, count)].map(({ index }) => index);
};

describe("what a call submits", () => {
	const plain = [0, 0, 0, 0];
	const identity = [0, 1, 2, 3];

	test("is what lies between head and tail, as much as it asks for, also when the counts wrap around", () => {
		fc.assert(
			fc.property(
				fc.integer({ min: 0, max: 2 ** 32 - 1 }),
				fc.integer({ min: 0, max: 4 }),
				fc.nat(2 ** 32 - 1),
				fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 4 }),
				(head, waiting, count, array) => {
					const expected = Array.from(
						{ length: Math.min(waiting, count) },
						(_, at) => array[Number((BigInt(head) + BigInt(at)) % 4n)],
					);
					assert.deepEqual(model({}, { head, tail: head + waiting, array, opcodes: plain })(count), expected);
				},
			),
		);
	});

	test("leaves out what the kernel drops: an index behind the last entry", () => {
		assert.deepEqual(model({}, { head: 0, tail: 4, array: [1, 4, 0xffff_ffff, 2], opcodes: plain })(4), [1, 2]);
	});

	test("is never more than the ring holds, whatever a program writes into its counts", () => {
		assert.equal(model({}, { head: 5, tail: 4, array: identity, opcodes: plain })(2 ** 32 - 1).length, 4);
	});

	test("needs no array where there is none", () => {
		assert.deepEqual(model({ array: undefined }, { head: 3, tail: 6, array: [], opcodes: plain })(9), [3, 0, 1]);
	});

	test("begins anew with SQ_REWIND, and does not look at head and tail", () => {
		const ring = model({ array: undefined, startsOver: true }, { head: 9, tail: 9, array: [], opcodes: plain });
		assert.deepEqual(ring(2), [0, 1]);
		assert.deepEqual(ring(9), identity);
	});

	test("skips the second half of a wide entry in a ring of mixed ones", () => {
		const opcodes = [63, 11, 64, 11];
		const queue = { head: 0, tail: 4, array: [], opcodes };
		assert.deepEqual(model({ array: undefined, isMixed: true }, queue)(4), [0, 2]);
		assert.deepEqual(model({ array: undefined }, queue)(4), identity);
	});
});

test("the ways are known by name", () => {
	assert.equal(parseIoUringWay("follow"), "follow");
	assert.throws(() => parseIoUringWay("trace"), { code: "ERR_VSYSCALL_IO_URING", message: /"trace": give host/ });
});
