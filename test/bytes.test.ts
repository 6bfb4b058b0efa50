import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ByteReader, ByteWriter, setU32, setU64 } from "../src/bytes.ts";

describe("a reader", () => {
	const reader = new ByteReader(Uint8Array.of(0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x41, 0x42, 0, 0x43));

	test("reads little-endian words, signed and unsigned", () => {
		assert.equal(reader.u8(0), 0xfe);
		assert.equal(reader.u16(0), 0xfffe);
		assert.equal(reader.u32(0), 0xffff_fffe);
		assert.equal(reader.i32(0), -2);
		assert.equal(reader.u64(0), 0xffff_ffff_ffff_fffen);
		assert.equal(reader.i64(0), -2n);
		assert.equal(reader.length, 12);
	});

	test("reads a string to its NUL, or to the end", () => {
		assert.equal(reader.cString(8), "AB");
		assert.equal(reader.cString(10), "");
		assert.equal(reader.cString(11), "C");
		assert.equal(reader.cString(12), "");
	});

	for (const [name, read] of [
		["u8", () => reader.u8(12)],
		["u16", () => reader.u16(11)],
		["u32", () => reader.u32(9)],
		["u64", () => reader.u64(5)],
		["a negative offset", () => reader.u32(-1)],
	] as const)
		test(`throws RangeError beyond its bytes: ${name}`, () => assert.throws(read, RangeError));

	test("counts from the start of its array, not of the buffer", () => {
		const bytes = Uint8Array.of(1, 2, 3, 4, 5, 6).subarray(2, 4);
		assert.equal(new ByteReader(bytes).u16(0), 0x0403);
		assert.throws(() => new ByteReader(bytes).u32(0), RangeError);
	});
});

describe("a writer", () => {
	test("appends what a reader reads, at the offset that it returns", () => {
		const item = fc.oneof(
			fc.integer({ min: 0, max: 0xff }).map((value) => ["u8", value] as const),
			fc.integer({ min: 0, max: 0xffff }).map((value) => ["u16", value] as const),
			fc.integer({ min: 0, max: 0xffff_ffff }).map((value) => ["u32", value] as const),
			fc.integer().map((value) => ["i32", value] as const),
			fc.bigInt(0n, 2n ** 64n - 1n).map((value) => ["u64", value] as const),
		);
		fc.assert(
			fc.property(fc.array(item, { maxLength: 400 }), (items) => {
				const writer = new ByteWriter();
				const places = items.map(([kind, value]) =>
					typeof value === "bigint" ? writer.u64(value) : writer[kind as "u8" | "u16" | "u32" | "i32"](value),
				);
				const reader = new ByteReader(writer.toBytes());
				assert.equal(reader.length, writer.length);
				for (const [index, [kind, value]] of items.entries()) assert.equal(reader[kind](places[index] ?? -1), value);
			}),
			{ numRuns: 200 },
		);
	});

	test("keeps what it has when it grows", () => {
		const writer = new ByteWriter();
		writer.u32(0x1234_5678);
		writer.append(new Uint8Array(100_000).fill(7));
		writer.cString("end");
		const bytes = writer.toBytes();
		assert.equal(new ByteReader(bytes).u32(0), 0x1234_5678);
		assert.ok(bytes.subarray(4, 100_004).every((byte) => byte === 7));
		assert.equal(new ByteReader(bytes).cString(100_004), "end");
		assert.equal(bytes.length, 100_008);
	});

	test("aligns with a fill, and not at all where it is aligned", () => {
		const writer = new ByteWriter();
		assert.equal(writer.align(16), 0);
		writer.u8(1);
		assert.equal(writer.align(4, 0xcc), 4);
		assert.equal(writer.align(4, 0xcc), 4);
		assert.deepEqual(writer.toBytes(), Uint8Array.of(1, 0xcc, 0xcc, 0xcc));
	});

	test("patches in place", () => {
		const writer = new ByteWriter();
		writer.append([0, 0, 0, 0, 0, 0, 0, 0, 0]);
		writer.patchU8(0, 0xff);
		writer.patchI32(1, -2);
		writer.patchU32(5, 0xdead_beef);
		assert.deepEqual(writer.toBytes(), Uint8Array.of(0xff, 0xfe, 0xff, 0xff, 0xff, 0xef, 0xbe, 0xad, 0xde));
	});

	test("gives a copy", () => {
		const writer = new ByteWriter();
		writer.u8(1);
		const copy = writer.toBytes();
		writer.patchU8(0, 2);
		assert.equal(copy[0], 1);
	});
});

test("words are set in place, negative ones in two's complement", () => {
	const bytes = new Uint8Array(16).subarray(2, 14);
	setU64(bytes, 0, -2n);
	setU32(bytes, 8, -2);
	assert.equal(new ByteReader(bytes).i64(0), -2n);
	assert.equal(new ByteReader(bytes).u32(8), 0xffff_fffe);
	assert.throws(() => setU64(bytes, 5, 0n), RangeError);
});
