/** The pusher's side of the vvar page: a wall clock -> bytes that the image reads. */
import { ByteReader, setU32, setU64 } from "../bytes.ts";
import type { WallClock } from "../clock/clock.ts";
import { joinNanoseconds, type Nanoseconds, nanoseconds, splitNanoseconds } from "../units.ts";
import * as layout from "./layout.ts";

const SECONDS_LIMIT = 1n << 33n;

interface SlotValue {
	readonly kind: number;
	readonly time: Nanoseconds;
}

/** The wall word of an offset, or undefined when it is too far away for one atom. */
export const packOffset = (offset: Nanoseconds): bigint | undefined => {
	const { seconds, nanoseconds: rest } = splitNanoseconds(offset);
	if (seconds < -SECONDS_LIMIT || seconds >= SECONDS_LIMIT) return undefined;
	return BigInt.asUintN(64, (seconds << BigInt(layout.WALL_SECONDS_SHIFT)) | rest);
};

const slotOf = (clock: Exclude<WallClock, { kind: "host" }>): SlotValue =>
	clock.kind === "frozen"
		? { kind: layout.SLOT_KIND_FROZEN, time: clock.at }
		: { kind: layout.SLOT_KIND_OFFSET, time: clock.offset };

/**
 * The page of one clock, in memory that its readers map too.
 *
 * Only one thread pushes to a page. The wall word is stored with one aligned 8-byte store, which x86 makes visible whole and
 * behind the stores to the slot (SDM vol. 3A, 9.2.2 "stores are not reordered with other stores").
 */
export class VvarPage {
	readonly #bytes: Uint8Array;
	readonly #words: BigUint64Array;
	/** TAI minus UTC of the host, in whole seconds; a frozen wall shows it to readers of CLOCK_TAI. */
	readonly #taiSeconds: bigint;
	#generation = 0n;

	/** @param bytes one page, 8-byte aligned, zeroed */
	constructor(bytes: Uint8Array, taiSeconds: bigint) {
		if (bytes.length < layout.PAGE_SIZE)
			throw new RangeError(`A vvar page has ${layout.PAGE_SIZE} bytes, not ${bytes.length}`);
		this.#bytes = bytes;
		this.#words = new BigUint64Array(bytes.buffer, bytes.byteOffset, layout.PAGE_SIZE / 8);
		this.#taiSeconds = taiSeconds;
		setU64(bytes, layout.PAGE.magic, layout.MAGIC);
		setU32(bytes, layout.PAGE.version, layout.VERSION);
	}

	/** Makes `clock` the time of every process that maps the page, at its next read. */
	push(clock: WallClock): void {
		const word =
			clock.kind === "frozen" ? undefined : packOffset(clock.kind === "host" ? nanoseconds(0n) : clock.offset);
		Atomics.store(this.#words, layout.PAGE.wall / 8, word ?? this.#fillSlot(clock));
	}

	/** Writes the slot that no reader uses and returns the word that names it. */
	#fillSlot(clock: WallClock): bigint {
		if (clock.kind === "host") return 0n;
		this.#generation += 1n;
		const slot = layout.PAGE.slots + Number(this.#generation & 1n) * layout.SLOT.size;
		const { kind, time } = slotOf(clock);
		const { seconds, nanoseconds: rest } = splitNanoseconds(time);
		setU32(this.#bytes, slot + layout.SLOT.kind, kind);
		setU64(this.#bytes, slot + layout.SLOT.seconds, seconds);
		setU64(this.#bytes, slot + layout.SLOT.nanoseconds, rest);
		setU64(this.#bytes, slot + layout.SLOT.taiSeconds, this.#taiSeconds);
		return BigInt.asUintN(64, (this.#generation << BigInt(layout.WALL_SECONDS_SHIFT)) | BigInt(layout.WALL_IN_SLOT));
	}
}

/** The clock that a page shows: the inverse of `push`, for tests and for people who look. */
export const readClock = (page: Uint8Array): WallClock => {
	const reader = new ByteReader(page);
	const word = reader.u64(layout.PAGE.wall);
	const low = Number(word & BigInt(layout.WALL_NANOSECONDS_MASK));
	const high = BigInt.asIntN(64, word) >> BigInt(layout.WALL_SECONDS_SHIFT);
	if (low !== layout.WALL_IN_SLOT)
		return word === 0n ? { kind: "host" } : { kind: "offset", offset: joinNanoseconds(high, BigInt(low)) };
	const slot = layout.PAGE.slots + Number(high & 1n) * layout.SLOT.size;
	const value = joinNanoseconds(reader.i64(slot + layout.SLOT.seconds), reader.u64(slot + layout.SLOT.nanoseconds));
	return reader.u32(slot + layout.SLOT.kind) === layout.SLOT_KIND_FROZEN
		? { kind: "frozen", at: value }
		: { kind: "offset", offset: value };
};
