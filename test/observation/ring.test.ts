/** The reader of the rings, against rings that are written here as the image writes them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { layOutObservation, RECORD, RING } from "../../src/observation/layout.ts";
import { RingReader } from "../../src/observation/ring.ts";

const LAYOUT = layOutObservation("count", 2);
/** Looks after which a record that is not committed is given up: more than the reader waits. */
const PATIENCE = 25;

class Writer {
	readonly bytes: Uint8Array = new Uint8Array(LAYOUT.size);
	readonly #view: DataView = new DataView(this.bytes.buffer);
	readonly #taken = [0n, 0n];

	#start(ring: number): number {
		return LAYOUT.ringsOffset + ring * LAYOUT.ringSize;
	}

	/** Takes a place. @returns undefined when all wait for the reader, which is counted */
	take(ring: number): bigint | undefined {
		const start = this.#start(ring);
		const taken = this.#taken[ring] ?? 0n;
		if (taken - this.#view.getBigUint64(start + RING.done, true) >= BigInt(LAYOUT.records)) {
			this.#view.setBigUint64(start + RING.lost, this.#view.getBigUint64(start + RING.lost, true) + 1n, true);
			return undefined;
		}
		this.#taken[ring] = taken + 1n;
		this.#view.setBigUint64(start + RING.taken, taken + 1n, true);
		return taken;
	}

	commit(ring: number, place: bigint, value: bigint): void {
		const record = this.#start(ring) + RING.records + Number(place % BigInt(LAYOUT.records)) * LAYOUT.recordSize;
		this.#view.setBigUint64(record + RECORD.counter, value, true);
		this.#view.setBigUint64(record + RECORD.commit, place + 1n, true);
	}

	write(ring: number, value: bigint): boolean {
		const place = this.take(ring);
		if (place === undefined) return false;
		this.commit(ring, place, value);
		return true;
	}
}

const drain = (reader: RingReader, isEnd = false): readonly bigint[] => {
	const seen: bigint[] = [];
	reader.drain((record) => seen.push(record.getBigUint64(RECORD.counter, true)), isEnd);
	return seen;
};

test("records of a ring are read once and in order, and read and lost together are all, however writes and looks mix", () => {
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 0, max: 3 * LAYOUT.records }), { maxLength: 8 }), (bursts) => {
			const writer = new Writer();
			const reader = new RingReader(writer.bytes, LAYOUT);
			const [written, read]: [bigint[], bigint[]] = [[], []];
			let value = 0n;
			for (const burst of bursts) {
				for (let count = 0; count < burst; count++) if (writer.write(1, ++value)) written.push(value);
				read.push(...drain(reader));
			}
			assert.deepEqual(read, written);
			assert.equal(BigInt(read.length) + reader.lost, value);
		}),
		{ numRuns: 25 },
	);
});

test("a place that is taken and not filled holds back what stands behind it, and is given up at last", () => {
	const writer = new Writer();
	const reader = new RingReader(writer.bytes, LAYOUT);
	writer.write(0, 1n);
	const late = writer.take(0);
	writer.write(0, 3n);
	writer.write(1, 4n);
	assert.deepEqual(drain(reader), [1n, 4n]);
	assert.deepEqual(drain(reader), []);
	assert.equal(reader.lost, 0n);
	if (late !== undefined) writer.commit(0, late, 2n);
	assert.deepEqual(drain(reader), [2n, 3n]);

	writer.take(0);
	writer.write(0, 6n);
	const later = Array.from({ length: PATIENCE }, () => drain(reader)).flat();
	assert.deepEqual([later, reader.lost], [[6n], 1n]);
});

test("at the end nobody is waited for", () => {
	const writer = new Writer();
	const reader = new RingReader(writer.bytes, LAYOUT);
	writer.take(0);
	writer.write(0, 2n);
	assert.deepEqual([drain(reader, true), reader.lost], [[2n], 1n]);
});

test("a ring that a program has overwritten ends each look all the same", () => {
	fc.assert(
		fc.property(fc.infiniteStream(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), (noise) => {
			const writer = new Writer();
			const words = new BigUint64Array(writer.bytes.buffer, LAYOUT.ringsOffset);
			for (let index = 0; index < words.length; index += 16) words[index] = noise.next().value as bigint;
			const reader = new RingReader(writer.bytes, LAYOUT);
			assert.ok(drain(reader).length <= LAYOUT.rings * LAYOUT.records);
			assert.ok(drain(reader, true).length <= LAYOUT.rings * LAYOUT.records);
		}),
		{ numRuns: 10 },
	);
});
