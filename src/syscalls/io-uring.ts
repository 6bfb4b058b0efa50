/**
 * io_uring(7): what a ring looks like in memory, and which entries of its submission queue wait for a time.
 *
 *     struct io_uring_sqe    0  opcode u8, flags u8, ioprio u16, fd s32
 *                            8  off, or addr2           the time of an update
 *                           16  addr                    the time of a timeout; whom an update means
 *                           24  len u32
 *                           28  timeout_flags u32
 *                           32  user_data u64
 *                           40  (24 bytes more; 88 with IORING_SETUP_SQE128)
 *
 *     struct io_uring_params 0  sq_entries, cq_entries, flags, sq_thread_cpu, sq_thread_idle, features, wq_fd, resv[3]: u32 each
 *                           40  sq_off   head, tail, ring_mask, ring_entries, flags, dropped, array, resv1: u32 each; user_addr u64
 *                           80  cq_off   eight u32; user_addr u64
 *
 * Sources: include/uapi/linux/io_uring.h and io_uring/timeout.c, v6.18; what is younger was seen on 7.3 (notes/linux/io-uring.md).
 */
import { ByteReader } from "../bytes.ts";

/** The same numbers on x86-64 and i386. */
export const IO_URING_SETUP = 425;
export const IO_URING_ENTER = 426;
export const IO_URING_REGISTER = 427;

// io_uring_setup(2)
export const IORING_SETUP_SQPOLL = 0x2;
const IORING_SETUP_SQE128 = 0x400;
const IORING_SETUP_NO_MMAP = 0x4000;
export const IORING_SETUP_REGISTERED_FD_ONLY = 0x8000;
const IORING_SETUP_NO_SQARRAY = 0x1_0000;
const IORING_SETUP_SQE_MIXED = 0x8_0000;
const IORING_SETUP_SQ_REWIND = 0x10_0000;
/** Flags that are not among these can mean another layout. */
export const IORING_SETUP_KNOWN = 0x1f_ffff;

// io_uring_enter(2), io_uring_register(2)
export const IORING_ENTER_REGISTERED_RING = 0x10;
export const IORING_REGISTER_RING_FDS = 20;
export const IORING_UNREGISTER_RING_FDS = 21;
export const IORING_REGISTER_RESIZE_RINGS = 33;
/** A bit beside the operation: the ring is given by its registered index. */
export const IORING_REGISTER_USE_REGISTERED_RING = 0x8000_0000;

export const PARAMS_SIZE = 120;
/** struct io_uring_rsrc_update, for IORING_REGISTER_RING_FDS: the index (u32), reserved (u32), the descriptor (u64). */
export const RING_SLOT_SIZE = 16;

/** Of mmap(2) on a ring. */
export const IORING_OFF_SQ_RING = 0;
export const IORING_OFF_SQES = 0x1000_0000;

const PARAMS = { entries: 0, flags: 8, head: 40, tail: 44, array: 64, sqAddress: 72, cqAddress: 112 } as const;
const ENTRY = { opcode: 0, addr2: 8, addr: 16, timeoutFlags: 28, userData: 32 } as const;
const ENTRY_SIZE = 64;

const IORING_OP_TIMEOUT = 11;
const IORING_OP_TIMEOUT_REMOVE = 12;
const IORING_OP_LINK_TIMEOUT = 15;
/** IORING_OP_NOP128 and IORING_OP_URING_CMD128, whose entries take two places in rings with IORING_SETUP_SQE_MIXED. */
const WIDE_OPERATIONS = [63, 64];

const IORING_TIMEOUT_ABS = 1 << 0;
const IORING_TIMEOUT_UPDATE = 1 << 1;
const IORING_TIMEOUT_BOOTTIME = 1 << 2;
const IORING_TIMEOUT_REALTIME = 1 << 3;
const IORING_LINK_TIMEOUT_UPDATE = 1 << 4;
/** The time stands in the entry, in nanoseconds, and not in memory. */
const IORING_TIMEOUT_IMMEDIATE_ARG = 1 << 7;
const CLOCK_MASK = IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME;

/** Where a ring has what a submission is made of. Offsets are those from the start of the memory of the rings. */
export interface RingShape {
	readonly entries: number;
	readonly head: number;
	readonly tail: number;
	/** Which entry stands at a place of the queue; undefined when it is the place itself. */
	readonly array: number | undefined;
	/** Bytes from one entry to the next. */
	readonly stride: number;
	readonly isMixed: boolean;
	/** Every call submits from the first place on, and neither head nor tail is used. */
	readonly startsOver: boolean;
	/** Memory of the program's own that the ring is in; undefined when the kernel has made it. */
	readonly own: { readonly rings: bigint; readonly entries: bigint } | undefined;
}

/** @param params as io_uring_setup has filled it in */
export const readRingShape = (params: Uint8Array): RingShape => {
	const reader = new ByteReader(params);
	const flags = reader.u32(PARAMS.flags);
	const has = (flag: number): boolean => (flags & flag) !== 0;
	return {
		entries: reader.u32(PARAMS.entries),
		head: reader.u32(PARAMS.head),
		tail: reader.u32(PARAMS.tail),
		array: has(IORING_SETUP_NO_SQARRAY) ? undefined : reader.u32(PARAMS.array),
		stride: has(IORING_SETUP_SQE128) ? 2 * ENTRY_SIZE : ENTRY_SIZE,
		isMixed: has(IORING_SETUP_SQE_MIXED),
		startsOver: has(IORING_SETUP_SQ_REWIND),
		own: has(IORING_SETUP_NO_MMAP)
			? { rings: reader.u64(PARAMS.cqAddress), entries: reader.u64(PARAMS.sqAddress) }
			: undefined,
	};
};

export const setupFlags = (params: Uint8Array): number => new ByteReader(params).u32(PARAMS.flags);

/** Bytes of the memory of the rings, up to the end of what a submission needs. */
export const ringsLength = ({ head, tail, array, entries }: RingShape): number =>
	array === undefined ? Math.max(head, tail) + 4 : array + 4 * entries;

/** What a submission is read from. */
export interface RingReads {
	/** A u32 of the rings. */
	word(offset: number): number;
	/** The bytes of an entry, valid until the memory is released. */
	entry(index: number): Uint8Array;
}

/** The entries, by index, that a call submits which may submit so many. */
export const submittedEntries = function* (
	shape: RingShape,
	ring: RingReads,
	count: number,
): Generator<{ readonly index: number; readonly bytes: Uint8Array }> {
	const { entries, array, isMixed, startsOver } = shape;
	const head = startsOver ? 0 : ring.word(shape.head);
	const waiting = startsOver ? entries : (ring.word(shape.tail) - head) >>> 0;
	const end = Math.min(count, waiting, entries);
	for (let at = 0; at < end; at++) {
		const place = ((head + at) >>> 0) % entries;
		const index = array === undefined ? place : ring.word(array + 4 * place);
		// The kernel drops it.
		if (index >= entries) continue;
		const bytes = ring.entry(index);
		yield { index, bytes };
		if (isMixed && WIDE_OPERATIONS.includes(bytes[ENTRY.opcode] ?? 0)) at++;
	}
};

/** An entry that waits for a time, or changes what another one waits for. */
export type TimeoutRequest = {
	/** A timeout of its own, or of the request in front of it. */
	readonly isLinked: boolean;
	/** By which the timeout is known. */
	readonly userData: bigint;
	readonly isAbsolute: boolean;
	/** Where the entry has the address of the time, or the time. */
	readonly field: number;
	readonly value: bigint;
	readonly isImmediate: boolean;
} & (
	| { readonly kind: "timeout"; readonly isOnWall: boolean }
	/** The clock is that of the timeout. */
	| { readonly kind: "update" }
);

export const readTimeoutRequest = (entry: Uint8Array): TimeoutRequest | undefined => {
	const opcode = entry[ENTRY.opcode];
	if (opcode !== IORING_OP_TIMEOUT && opcode !== IORING_OP_LINK_TIMEOUT && opcode !== IORING_OP_TIMEOUT_REMOVE) {
		return undefined;
	}
	const reader = new ByteReader(entry);
	const flags = reader.u32(ENTRY.timeoutFlags);
	const isAbsolute = (flags & IORING_TIMEOUT_ABS) !== 0;
	const isImmediate = (flags & IORING_TIMEOUT_IMMEDIATE_ARG) !== 0;
	const timed = (field: number) => ({ isAbsolute, isImmediate, field, value: reader.u64(field) });
	if (opcode !== IORING_OP_TIMEOUT_REMOVE) {
		return {
			kind: "timeout",
			isLinked: opcode === IORING_OP_LINK_TIMEOUT,
			userData: reader.u64(ENTRY.userData),
			isOnWall: (flags & CLOCK_MASK) === IORING_TIMEOUT_REALTIME,
			...timed(ENTRY.addr),
		};
	}
	if ((flags & IORING_TIMEOUT_UPDATE) === 0) return undefined;
	const isLinked = (flags & IORING_LINK_TIMEOUT_UPDATE) !== 0;
	return { kind: "update", isLinked, userData: reader.u64(ENTRY.addr), ...timed(ENTRY.addr2) };
};
