/**
 * Reading the rings of an observation file, which processes of the run write meanwhile.
 *
 * Nothing of it is believed: a record is taken when its place has the number that comes next, and no more of them at once than a ring
 * holds. A writer that was ended between taking a place and committing it would stop its ring; after MAX_WAITS looks its record is
 * given up, which is counted.
 */
import { RECORD, RING, type ObservationLayout } from "./layout.ts";

/** Looks in which the next record was not there, although its place is taken, until it is given up. */
const MAX_WAITS = 20;

interface Ring {
	readonly words: BigUint64Array;
	/** Where its records begin, in the bytes of the file. */
	readonly records: number;
	/** The record that comes next. */
	next: bigint;
	waits: number;
}

export class RingReader {
	readonly #layout: ObservationLayout;
	readonly #rings: readonly Ring[];
	readonly #view: DataView;
	#givenUp = 0n;

	/** @param bytes all of the file */
	constructor(bytes: Uint8Array, layout: ObservationLayout) {
		this.#layout = layout;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		this.#rings = Array.from({ length: layout.rings }, (_, index) => {
			const start = layout.ringsOffset + index * layout.ringSize;
			const words = new BigUint64Array(bytes.buffer, bytes.byteOffset + start, layout.ringSize / 8);
			return { words, records: start + RING.records, next: 0n, waits: 0 };
		});
	}

	/** Records that found no place, and those that were given up. */
	get lost(): bigint {
		return this.#rings.reduce((lost, { words }) => lost + (words[RING.lost / 8] ?? 0n), this.#givenUp);
	}

	/**
	 * Takes what is there.
	 *
	 * @param visit is given the bytes of a record; they are valid until it returns
	 * @param isEnd no process writes any more: what is not committed will never be
	 */
	drain(visit: (record: DataView) => void, isEnd = false): void {
		for (const ring of this.#rings) this.#drain(ring, visit, isEnd);
	}

	#drain(ring: Ring, visit: (record: DataView) => void, isEnd: boolean): void {
		const { records, recordSize } = this.#layout;
		for (let count = 0; count < records; count++) {
			const place = Number(ring.next % BigInt(records)) * recordSize;
			const commit = Atomics.load(ring.words, (RING.records + place + RECORD.commit) / 8);
			if (commit === ring.next + 1n) {
				visit(new DataView(this.#view.buffer, this.#view.byteOffset + ring.records + place, recordSize));
			} else {
				const taken = Atomics.load(ring.words, RING.taken / 8);
				if (taken <= ring.next) break;
				if (!isEnd && ++ring.waits < MAX_WAITS) break;
				this.#givenUp += 1n;
			}
			ring.waits = 0;
			ring.next += 1n;
		}
		Atomics.store(ring.words, RING.done / 8, ring.next);
	}
}
