/**
 * The observation file: one memory file for a run that counts or traces, mapped shared and writable by every process of it.
 *
 *     header | registry | slots | overflow slot | a ring for each processor
 *
 * Nothing in it is read by the code that computes a time, so whatever a process writes here, no clock changes. A supervisor that
 * reads it believes nothing: what is out of range is left out.
 *
 * A slot holds the counters of one piece of stack in one process. Its first word, the tag, is that piece (the stack pointer >>
 * STACK_SHIFT) plus the key of the process; a thread can only be at one place of one stack, so nobody else adds to its slot, and an
 * addition of one instruction without a lock loses nothing, not even when a signal handler counts in the middle. Slots are found by
 * the low bits of the tag, then by looking further. Counters of the overflow slot, when no slot is left, are added to with a lock.
 *
 *     tag    63      45 44                                0        key of a process    serial << 45 + serial * KEY_SPREAD
 *            |  serial |  stack pointer >> 10, + spread    |
 *
 * A ring holds records in the order in which their places were taken; see ring.ts.
 */
import { PAGE_SIZE } from "../vvar/layout.ts";

export type Observation = "count" | "trace";

/** Words of the header. */
export const HEADER = {
	/** u64: by which the file is known. */
	nonce: 8,
	/** u64: processes that gave themselves a serial, because no supervisor saw them being made. */
	selfSerials: 0,
	/** u64: slots that have been taken. */
	taken: 64,
} as const;

/** u32 for each serial, modulo their number: 1 when the process has mapped the file. */
export const REGISTRY: { readonly offset: number; readonly entries: number } = { offset: PAGE_SIZE, entries: 65_536 };

/** Less than any stack on which a function can be called, so that two stacks do not meet in one piece. */
export const STACK_SHIFT = 10;
export const SERIAL_SHIFT = 45;
/** Odd, so that the slots of processes with the same stack addresses lie apart. */
export const KEY_SPREAD = 0x9e5;
/** Serials from here on are those that processes gave themselves. */
export const FIRST_SELF_SERIAL = 0x4_0000;

export const SLOT = { size: 512, tag: 0, counters: 8 } as const;
export const COUNTERS = 63;
/** A power of two. */
export const SLOTS = 16_384;
/** How many slots are looked at for a tag before the overflow slot is taken. */
export const PROBES = 64;
/** Every how many calls of a counter the caller is recorded; the first is. A power of two. */
export const SAMPLE_PERIOD = 4096;

const toPages = (length: number): number => Math.ceil(length / PAGE_SIZE) * PAGE_SIZE;

const SLOTS_OFFSET = REGISTRY.offset + REGISTRY.entries * 4;
const OVERFLOW_OFFSET = SLOTS_OFFSET + SLOTS * SLOT.size;
const RINGS_OFFSET = toPages(OVERFLOW_OFFSET + SLOT.size);

/** Of one ring: places that were taken, records that the reader is done with, records that found no place. u64 each. */
export const RING = { taken: 0, done: 64, lost: 128, records: 4096 } as const;

/** What stands in front of both kinds of records. */
export const RECORD = {
	/** u64: 1 + the record's number in its ring, stored last. */
	commit: 0,
	/** u64: the time stamp counter. */
	counter: 8,
	/** u64: the key of the process. */
	key: 16,
	/** u32: which function (calls.ts). */
	call: 24,
} as const;

/** A sampled caller: what stands on the stack of a call, from the stack pointer on, to the end of its page at most. */
export const SAMPLE = { words: 28, rbp: 32, rbx: 40, stackPointer: 48, stack: 56, maxWords: 25 } as const;

/** A call with what it was given and what it gave back; `first` and `second` are the words that it stored. */
export const TRACED = {
	fsBase: 32,
	returnAddress: 40,
	argument0: 48,
	argument1: 56,
	argument2: 64,
	result: 72,
	first: 80,
	second: 88,
} as const;

export interface ObservationLayout {
	readonly observation: Observation;
	/** A power of two. */
	readonly rings: number;
	/** Records of a ring, a power of two. */
	readonly records: number;
	/** Bytes of a record, a power of two. */
	readonly recordSize: number;
	/** Bytes of a ring, whole pages. */
	readonly ringSize: number;
	readonly slotsOffset: number;
	readonly overflowOffset: number;
	readonly ringsOffset: number;
	/** Bytes of the file, whole pages. */
	readonly size: number;
}

const MAX_RINGS = 64;
const RECORDS: Readonly<Record<Observation, { readonly records: number; readonly recordSize: number }>> = {
	count: { records: 4096, recordSize: 256 },
	trace: { records: 65_536, recordSize: 128 },
};

/** @param processors of the host; with more than 64, some share a ring */
export const layOutObservation = (observation: Observation, processors: number): ObservationLayout => {
	const rings = Math.min(MAX_RINGS, 2 ** Math.ceil(Math.log2(Math.max(1, processors))));
	const { records, recordSize } = RECORDS[observation];
	const ringSize = RING.records + records * recordSize;
	return {
		observation,
		rings,
		records,
		recordSize,
		ringSize,
		slotsOffset: SLOTS_OFFSET,
		overflowOffset: OVERFLOW_OFFSET,
		ringsOffset: RINGS_OFFSET,
		size: RINGS_OFFSET + rings * ringSize,
	};
};

export const processKey = (serial: number): bigint =>
	(BigInt(serial) << BigInt(SERIAL_SHIFT)) + BigInt(serial) * BigInt(KEY_SPREAD);

/** The serial of the process that a key or a tag belongs to. */
export const serialOf = (tag: bigint): number => Number(tag >> BigInt(SERIAL_SHIFT));
