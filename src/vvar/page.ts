/** The pusher's side of the vvar page: a wall clock -> bytes that the image reads. */
import { ByteReader, setU32, setU64 } from "../bytes.ts";
import type { WallClock } from "../clock/clock.ts";
import { VsyscallError } from "../errors.ts";
import { joinNanoseconds, type Nanoseconds, nanoseconds, splitNanoseconds } from "../units.ts";
import { checkPage } from "./check.ts";
import { driftLine, fieldsOfLine } from "./drift-line.ts";
import * as layout from "./layout.ts";
import { generationOf, isSlotWord, loadWallWord, slotIndex, slotOffset } from "./wall-word.ts";

const SECONDS_LIMIT = 1n << 33n;
const NOTHING = nanoseconds(0n);

interface SlotValue {
	readonly kind: number;
	readonly time: Nanoseconds;
	/** The host's time that a drift is counted from, or the length of a step. */
	readonly anchor: Nanoseconds;
	readonly rate: bigint;
}

/** The wall word of an offset, or undefined when it is too far away for one atom. */
export const packOffset = (offset: Nanoseconds): bigint | undefined => {
	const { seconds, nanoseconds: rest } = splitNanoseconds(offset);
	if (seconds < -SECONDS_LIMIT || seconds >= SECONDS_LIMIT) return undefined;
	return BigInt.asUintN(64, (seconds << BigInt(layout.WALL_SECONDS_SHIFT)) | rest);
};

/** The wall word of a clock that needs no slot. */
const packClock = (clock: WallClock): bigint | undefined => {
	if (clock.kind === "host") return 0n;
	return clock.kind === "offset" ? packOffset(clock.offset) : undefined;
};

const slotOf = (clock: WallClock): SlotValue => {
	switch (clock.kind) {
		case "host":
			return { kind: layout.SLOT_KIND_OFFSET, time: NOTHING, anchor: NOTHING, rate: 0n };
		case "offset":
			return { kind: layout.SLOT_KIND_OFFSET, time: clock.offset, anchor: NOTHING, rate: 0n };
		case "frozen":
			return { kind: layout.SLOT_KIND_FROZEN, time: clock.at, anchor: NOTHING, rate: 0n };
		case "drift":
			return { kind: layout.SLOT_KIND_DRIFT, time: clock.at, anchor: clock.hostAnchor, rate: clock.rate };
		case "step":
			return { kind: layout.SLOT_KIND_TRAP, time: clock.at, anchor: clock.by, rate: 0n };
	}
};

/**
 * The page of one clock, in memory that its readers map too.
 *
 * All that a push depends on is in the page, so processes can push in turn and one may die at any store: the next finds the
 * clock that the wall word says, and does not touch the slot that it names. Two at the same moment are not provided for; who
 * shares a page takes a lock around `push`.
 *
 * The wall word is stored with one aligned 8-byte store, which x86 makes visible whole and behind the stores to the slot (SDM
 * vol. 3A, 9.2.2 "stores are not reordered with other stores").
 */
export class VvarPage {
	readonly #bytes: Uint8Array;
	readonly #words: BigUint64Array;
	readonly #halves: Uint32Array;
	/** TAI minus UTC of the host, in whole seconds; a wall in a slot shows it to readers of CLOCK_TAI. */
	readonly #taiSeconds: bigint;

	/** Makes a new page. @param bytes one page, 8-byte aligned, zeroed */
	constructor(bytes: Uint8Array, taiSeconds: bigint) {
		if (bytes.length < layout.PAGE_SIZE)
			throw new RangeError(`A vvar page has ${layout.PAGE_SIZE} bytes, not ${bytes.length}`);
		this.#bytes = bytes;
		this.#words = new BigUint64Array(bytes.buffer, bytes.byteOffset, layout.PAGE_SIZE / 8);
		this.#halves = new Uint32Array(bytes.buffer, bytes.byteOffset, layout.PAGE_SIZE / 4);
		this.#taiSeconds = taiSeconds;
		setU64(bytes, layout.PAGE.taiSeconds, taiSeconds);
		setU32(bytes, layout.PAGE.version, layout.VERSION);
		setU64(bytes, layout.PAGE.magic, layout.MAGIC);
	}

	/**
	 * Goes on with a page that has been in use, in this process or another.
	 *
	 * @param bytes one page, 8-byte aligned
	 * @throws {VsyscallError} ERR_VSYSCALL_PAGE when it is no page, or one of another version, or damaged.
	 */
	static open(bytes: Uint8Array): VvarPage {
		checkPage(bytes);
		// The constructor stores what is there already.
		return new VvarPage(bytes, new ByteReader(bytes).i64(layout.PAGE.taiSeconds));
	}

	/** Makes `clock` the time of every process that maps the page, at its next read. */
	push(clock: WallClock): void {
		const packed = packClock(clock);
		if (packed === Atomics.load(this.#words, layout.PAGE.wall / 8)) return;
		Atomics.add(this.#halves, layout.PAGE.pushes / 4, 1);
		Atomics.store(this.#words, layout.PAGE.wall / 8, packed ?? this.#fillSlot(slotOf(clock)));
	}

	/**
	 * A generation that no word has had and whose slot no reader uses. It is noted before the slot is filled: a reader may still
	 * be in a slot that the word named before, and must not meet the same word again over other bytes.
	 */
	#nextGeneration(): bigint {
		const word = Atomics.load(this.#words, layout.PAGE.wall / 8);
		const next = (this.#words[layout.PAGE.generation / 8] ?? 0n) + 1n;
		const isInUse = isSlotWord(word) && slotIndex(generationOf(word)) === slotIndex(next);
		return isInUse ? next + 1n : next;
	}

	/** Writes the slot that no reader uses and returns the word that names it. */
	#fillSlot({ kind, time, anchor, rate }: SlotValue): bigint {
		const generation = this.#nextGeneration();
		setU64(this.#bytes, layout.PAGE.generation, generation);
		const slot = slotOffset(generation);
		const { seconds, nanoseconds: rest } = splitNanoseconds(time);
		const { seconds: anchorSeconds, nanoseconds: anchorRest } = splitNanoseconds(anchor);
		setU32(this.#bytes, slot + layout.SLOT.kind, kind);
		setU64(this.#bytes, slot + layout.SLOT.seconds, seconds);
		setU64(this.#bytes, slot + layout.SLOT.nanoseconds, rest);
		setU64(this.#bytes, slot + layout.SLOT.taiSeconds, this.#taiSeconds);
		setU64(this.#bytes, slot + layout.SLOT.anchorSeconds, anchorSeconds);
		setU64(this.#bytes, slot + layout.SLOT.anchorNanoseconds, anchorRest);
		setU64(this.#bytes, slot + layout.SLOT.rate, rate);
		const line = kind === layout.SLOT_KIND_DRIFT ? driftLine({ time, anchor, rate }) : undefined;
		if (line !== undefined)
			for (const [offset, value] of fieldsOfLine(line, slotIndex(generation))) setU64(this.#bytes, offset, value);
		const low = line === undefined ? layout.WALL_IN_SLOT : layout.WALL_ON_LINE;
		return BigInt.asUintN(64, (generation << BigInt(layout.WALL_SECONDS_SHIFT)) | BigInt(low));
	}
}

/**
 * The clock that a page shows: the inverse of `push`. An offset of 0 is the host's clock.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_PAGE when the slot has a kind that this release does not know.
 */
export const readClock = (page: Uint8Array): WallClock => {
	const reader = new ByteReader(page);
	const word = loadWallWord(page);
	const high = BigInt.asIntN(64, word) >> BigInt(layout.WALL_SECONDS_SHIFT);
	if (!isSlotWord(word)) {
		const low = word & BigInt(layout.WALL_NANOSECONDS_MASK);
		return word === 0n ? { kind: "host" } : { kind: "offset", offset: joinNanoseconds(high, low) };
	}
	const slot = slotOffset(high);
	const time = joinNanoseconds(reader.i64(slot + layout.SLOT.seconds), reader.u64(slot + layout.SLOT.nanoseconds));
	const anchor = joinNanoseconds(
		reader.i64(slot + layout.SLOT.anchorSeconds),
		reader.u64(slot + layout.SLOT.anchorNanoseconds),
	);
	const kind = reader.u32(slot + layout.SLOT.kind);
	const rate = reader.i64(slot + layout.SLOT.rate);
	// Another process may have pushed meanwhile, more than once.
	if (loadWallWord(page) !== word) return readClock(page);
	switch (kind) {
		case layout.SLOT_KIND_OFFSET:
			return { kind: "offset", offset: time };
		case layout.SLOT_KIND_FROZEN:
			return { kind: "frozen", at: time };
		case layout.SLOT_KIND_DRIFT:
			return { kind: "drift", hostAnchor: anchor, at: time, rate };
		case layout.SLOT_KIND_TRAP:
			return { kind: "step", at: time, by: anchor };
		default:
			throw new VsyscallError(
				"ERR_VSYSCALL_PAGE",
				`a damaged page: the kind ${kind} of its slot; make the clock again`,
			);
	}
};
