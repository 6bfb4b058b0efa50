/** The pusher's side of the vvar page: a wall clock -> bytes that the image reads. */
import { ByteReader, setU32, setU64 } from "../bytes.ts";
import type { WallClock } from "../clock/clock.ts";
import { VsyscallError } from "../errors.ts";
import { joinNanoseconds, type Nanoseconds, nanoseconds, splitNanoseconds } from "../units.ts";
import * as layout from "./layout.ts";

const SECONDS_LIMIT = 1n << 33n;

const notAPage = (reason: string): VsyscallError => new VsyscallError("ERR_VSYSCALL_CLOCK", reason);

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
 * Only one thread pushes to a page at a time. The wall word is stored with one aligned 8-byte store, which x86 makes visible whole and
 * behind the stores to the slot (SDM vol. 3A, 9.2.2 "stores are not reordered with other stores").
 */
export class VvarPage {
	readonly #bytes: Uint8Array;
	readonly #words: BigUint64Array;
	/** TAI minus UTC of the host, in whole seconds; a frozen wall shows it to readers of CLOCK_TAI. */
	readonly #taiSeconds: bigint;

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

	/**
	 * A page that is in use.
	 *
	 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when it is not a vvar page of this version, or says nothing that a clock could be.
	 */
	static open(bytes: Uint8Array, taiSeconds: bigint): VvarPage {
		const reader = new ByteReader(bytes);
		if (reader.u64(layout.PAGE.magic) !== layout.MAGIC) throw notAPage("it does not begin as a vvar page does");
		const version = reader.u32(layout.PAGE.version);
		if (version !== layout.VERSION) {
			throw notAPage(
				`its page has version ${version}, this vsyscall has ${layout.VERSION}: use the vsyscall that made it`,
			);
		}
		return new VvarPage(bytes, taiSeconds);
	}

	/** Makes `clock` the time of every process that maps the page, at its next read. */
	push(clock: WallClock): void {
		const word =
			clock.kind === "frozen" ? undefined : packOffset(clock.kind === "host" ? nanoseconds(0n) : clock.offset);
		Atomics.store(this.#words, layout.PAGE.wall / 8, word ?? this.#fillSlot(clock));
	}

	/**
	 * Takes the next generation: one that no word has had, or a reader could take what it has half read for whole, and one whose slot
	 * is not the one that the word names now.
	 */
	#takeGeneration(): bigint {
		const word = Atomics.load(this.#words, layout.PAGE.wall / 8);
		const isInSlot = (word & BigInt(layout.WALL_NANOSECONDS_MASK)) === BigInt(layout.WALL_IN_SLOT);
		const named = word >> BigInt(layout.WALL_SECONDS_SHIFT);
		let generation = (this.#words[layout.PAGE.generation / 8] ?? 0n) + 1n;
		if (isInSlot && ((generation ^ named) & 1n) === 0n) generation += 1n;
		setU64(this.#bytes, layout.PAGE.generation, generation);
		return generation;
	}

	/** Writes the slot that no reader uses and returns the word that names it. */
	#fillSlot(clock: WallClock): bigint {
		if (clock.kind === "host") return 0n;
		const generation = this.#takeGeneration();
		const slot = layout.PAGE.slots + Number(generation & 1n) * layout.SLOT.size;
		const { kind, time } = slotOf(clock);
		const { seconds, nanoseconds: rest } = splitNanoseconds(time);
		setU32(this.#bytes, slot + layout.SLOT.kind, kind);
		setU64(this.#bytes, slot + layout.SLOT.seconds, seconds);
		setU64(this.#bytes, slot + layout.SLOT.nanoseconds, rest);
		setU64(this.#bytes, slot + layout.SLOT.taiSeconds, this.#taiSeconds);
		return BigInt.asUintN(64, (generation << BigInt(layout.WALL_SECONDS_SHIFT)) | BigInt(layout.WALL_IN_SLOT));
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
