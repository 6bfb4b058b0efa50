/**
 * The observation file: one memory file for a run that counts or traces, mapped shared and writable by every process of it.
 *
 *     header | registry | slots | overflow slot | a ring for each processor
 *
 * Nothing in it is read by the code that computes a time, so whatever a process writes here, no clock changes. A supervisor that
 * reads it believes nothing: what is out of range is left out.
 *
 * A slot holds the counters of one piece of stack in one process. Its first word, the tag, is the stack pointer plus the key of the
 * process, without the bits inside of a piece. A thread can only be at one place of one stack, so nobody else adds to its slot, and
 * an addition of one instruction without a lock loses nothing, not even when a signal handler counts in the middle. A slot is found
 * by the stack pointer, from a place on that differs from process to process, since forked ones have the same stack; then by looking
 * further. Counters of the overflow slot, when no slot is left, are added to with a lock.
 *
 *     key    63    48 47      0        tag    63    62    53    38 37                   0
 *            | serial |    0    |               | armed |    | serial | stack pointer >> 10 |
 *
 * The supervisor arms a slot now and then: its tag is no longer that of the thread, so the next calls go the long way, and one of
 * them is recorded with its caller and takes the mark away.
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
export const SERIAL_SHIFT = 48;
/** Serials from here on are those that processes gave themselves. */
export const FIRST_SELF_SERIAL = 0x8000;

/** `skips`, u32: calls that an armed slot lets pass before one is recorded. */
export const SLOT = { size: 1024, tag: 0, skips: 8, counters: 16 } as const;
export const COUNTERS = 126;
/** How many slots are looked at for a tag before the overflow slot is taken. */
export const PROBES = 64;
/** Places from which a process may begin, and pieces of stack that have different places: powers of two. */
export const HOMES = 8192;
export const SLOTS: number = 2 * HOMES + PROBES;
/** Set in the tag of an armed slot, bit 63. */
export const ARMED = 0x8000_0000_0000_0000n;

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

/**
 * A sampled caller: what stands on the stack of a call, from the stack pointer on, to the end of its page at most. Words are as wide as
 * those of the program; `maxWords` is of 64-bit ones.
 */
export const SAMPLE = { words: 28, rbp: 32, rbx: 40, stackPointer: 48, stack: 56, maxWords: 25 } as const;

/** A call with what it was given and what it gave back; `first` and `second` are the words that it stored. */
export const TRACED = {
	/** What tells the threads of a process apart: the base of FS; of a 32-bit program the word at GS:0; 0 for neither. */
	thread: 32,
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

export const processKey = (serial: number): bigint => BigInt(serial) << BigInt(SERIAL_SHIFT);

/** Odd, and some hundred slots, so that the slots of processes with the same stack addresses lie apart. */
const HOME_SPREAD = 357;

/** Where the slots of a process begin in the file. */
export const homeOffset = (serial: number): number => SLOTS_OFFSET + ((serial * HOME_SPREAD) % HOMES) * SLOT.size;

/** The serial of the process that has a key. */
export const serialOfKey = (key: bigint): number => Number(key >> BigInt(SERIAL_SHIFT));

/** The serial of the process that a tag belongs to, armed or not. */
export const serialOfTag = (tag: bigint): number =>
	serialOfKey(BigInt.asUintN(64, (tag & ~ARMED) << BigInt(STACK_SHIFT)));
