/** Reading the counters of an observation file, and arming its slots. */
import { ARMED, COUNTERS, HEADER, type ObservationLayout, serialOfTag, SLOT, SLOTS } from "./layout.ts";

/** Counts of the calls of a process, by number. */
export type Counts = readonly bigint[];

export interface Tally {
	/** By serial of the process. */
	readonly processes: ReadonlyMap<number, Counts>;
	/** Of calls that found no slot: nobody knows whose they are. */
	readonly unattributed: Counts;
}

const WORDS = SLOT.size / 8;
const FIRST_COUNTER = SLOT.counters / 8;
/** How many calls of an armed slot pass at most before one is recorded: so that it is not always the first after a pause. */
const MAX_SKIPS = 64;

const sum = (left: Counts | undefined, right: Counts): Counts =>
	left === undefined ? right : left.map((count, index) => count + (right[index] ?? 0n));

export class SlotTable {
	readonly #words: BigUint64Array;
	readonly #overflow: number;
	readonly #taken: BigUint64Array;
	/** Of slots that have been given back. */
	readonly #released = new Map<number, Counts>();
	#releasedSlots = 0n;
	/** Indices of the slots that are taken, when `#known` were. */
	#slots: number[] = [];
	#known = 0n;

	/** @param bytes all of the file; processes may be counting meanwhile */
	constructor(bytes: Uint8Array, { slotsOffset, overflowOffset }: ObservationLayout) {
		const view = (offset: number, length: number): BigUint64Array =>
			new BigUint64Array(bytes.buffer, bytes.byteOffset + offset, length);
		this.#words = view(slotsOffset, (SLOTS + 1) * WORDS);
		this.#overflow = (overflowOffset - slotsOffset) / 8;
		this.#taken = view(HEADER.taken, 1);
	}

	/** Chooses calls to be recorded: one of every slot in which something has been counted. */
	arm(): void {
		for (const slot of this.#takenSlots()) {
			const tag = this.#words[slot] ?? 0n;
			if (tag === 0n || (tag & ARMED) !== 0n) continue;
			Atomics.store(this.#words, slot + SLOT.skips / 8, BigInt(Math.floor(Math.random() * MAX_SKIPS)));
			Atomics.compareExchange(this.#words, slot, tag, tag | ARMED);
		}
	}

	/** Gives back the slots of processes that are gone, when half of all are taken. */
	release(isGone: (serial: number) => boolean): void {
		if (this.#takenSlots().length < SLOTS / 2) return;
		for (const slot of this.#slots) {
			const tag = this.#words[slot] ?? 0n;
			const serial = serialOfTag(tag);
			if (tag === 0n || !isGone(serial)) continue;
			this.#released.set(serial, sum(this.#released.get(serial), this.#read(slot)));
			this.#words.fill(0n, slot, slot + WORDS);
			this.#releasedSlots += 1n;
		}
		this.#known = -1n;
	}

	tally(): Tally {
		const processes = new Map(this.#released);
		for (const slot of this.#takenSlots()) {
			const serial = serialOfTag(this.#words[slot] ?? 0n);
			processes.set(serial, sum(processes.get(serial), this.#read(slot)));
		}
		return { processes, unattributed: this.#read(this.#overflow) };
	}

	#takenSlots(): readonly number[] {
		const taken = this.#taken[0] ?? 0n;
		if (taken === this.#known) return this.#slots;
		this.#slots = [];
		for (let slot = 0; slot < SLOTS * WORDS; slot += WORDS) if (this.#words[slot] !== 0n) this.#slots.push(slot);
		// What a tag is stored in before it is counted is found the next time.
		this.#known = BigInt(this.#slots.length) + this.#releasedSlots === taken ? taken : -1n;
		return this.#slots;
	}

	#read(slot: number): Counts {
		return [...this.#words.subarray(slot + FIRST_COUNTER, slot + FIRST_COUNTER + COUNTERS)];
	}
}
