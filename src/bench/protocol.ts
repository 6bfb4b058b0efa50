/**
 * What the measuring programs and this side say to each other: requests on the program's stdin, replies on its stdout.
 *
 *     program -> hello      pid · address of the block · addresses of the imported functions
 *     request -> program    which loop, how many calls, which function; which memory to send back
 *     program -> reply      those bytes: the report of the loop, the readings that it made, or any memory of the program
 *
 * The block is memory of the program below 4 GiB, where int 0x80 reaches it from 64-bit code. Words are 8 bytes in both classes.
 */
import { ByteReader, setU64 } from "../bytes.ts";

/** Offsets in the block. */
export const BLOCK = {
	/** The request. */
	loop: 0,
	calls: 8,
	warmUp: 16,
	stride: 24,
	function: 32,
	replyAddress: 40,
	replyLength: 48,
	/** The report: CLOCK_MONOTONIC_RAW as a timespec on both sides of the calls, and what the last call returned. */
	before: 64,
	after: 80,
	result: 96,
	/** What the loops count by. */
	count: 112,
	step: 120,
	/** Where the calls store the time. */
	readings: 128,
} as const;

export const REQUEST_SIZE = 56;
export const REPORT_SIZE = 40;
/** A timespec of 64-bit words, or a timeval. */
export const READING_SIZE = 16;
/** Readings that one request can ask for. */
export const READINGS_MAX = 4096;
export const BLOCK_SIZE: number = BLOCK.readings + READINGS_MAX * READING_SIZE;
/** Numbers in both tables of system calls (syscall_64.tbl, syscall_32.tbl) are those of clock_gettime with 64-bit times. */
export const CLOCK_MONOTONIC_RAW = 4;

/** The functions that are measured. */
export const TIME_FUNCTIONS = ["clock_gettime", "gettimeofday"] as const;
export type TimeFunction = (typeof TIME_FUNCTIONS)[number];

/** How a loop calls: a function by its address, `__kernel_vsyscall` by its address, an instruction, or the vsyscall page. */
export type CallKind = "function" | "entry" | "syscall" | "int80" | "page";

/** A measuring program, and its loops as requests name them. */
export interface MeasuringProgram {
	readonly bytes: Uint8Array;
	/** @throws {RangeError} when the program has no such loop. */
	readonly loop: (kind: CallKind, name: TimeFunction) => number;
	readonly importCount: number;
}

export interface Request {
	readonly loop: number;
	readonly calls: number;
	/** Calls in front of those that are timed. */
	readonly warmUp: number;
	/** Bytes from one reading to the next; 0 stores all of them at one place. */
	readonly stride: number;
	readonly function: bigint;
	readonly replyAddress: bigint;
	readonly replyLength: number;
}

export const encodeRequest = (request: Request): Uint8Array => {
	const bytes = new Uint8Array(REQUEST_SIZE);
	setU64(bytes, BLOCK.loop, BigInt(request.loop));
	setU64(bytes, BLOCK.calls, BigInt(request.calls));
	setU64(bytes, BLOCK.warmUp, BigInt(request.warmUp));
	setU64(bytes, BLOCK.stride, BigInt(request.stride));
	setU64(bytes, BLOCK.function, request.function);
	setU64(bytes, BLOCK.replyAddress, request.replyAddress);
	setU64(bytes, BLOCK.replyLength, BigInt(request.replyLength));
	return bytes;
};

export interface Hello {
	readonly pid: number;
	readonly block: bigint;
	readonly imports: readonly bigint[];
}

export const helloSize = (importCount: number): number => 16 + 8 * importCount;

export const decodeHello = (bytes: Uint8Array): Hello => {
	const reader = new ByteReader(bytes);
	const imports = Array.from({ length: bytes.length / 8 - 2 }, (_, index) => reader.u64(16 + 8 * index));
	return { pid: Number(reader.u64(0)), block: reader.u64(8), imports };
};

export interface Report {
	/** Nanoseconds that the calls took. */
	readonly elapsed: number;
	/** What the last call returned, the C int: 0 or an error. */
	readonly result: number;
}

const NANOSECONDS_PER_SECOND = 1_000_000_000n;

/** @param bytes the block from `before` on */
export const decodeReport = (bytes: Uint8Array): Report => {
	const reader = new ByteReader(bytes);
	const time = (offset: number): bigint => reader.u64(offset) * NANOSECONDS_PER_SECOND + reader.u64(offset + 8);
	return {
		elapsed: Number(time(BLOCK.after - BLOCK.before) - time(0)),
		result: reader.i32(BLOCK.result - BLOCK.before),
	};
};

/** Nanoseconds of each reading, in the order in which they were made. */
export const decodeReadings = (bytes: Uint8Array, name: TimeFunction): readonly bigint[] => {
	const reader = new ByteReader(bytes);
	const unit = name === "gettimeofday" ? 1000n : 1n;
	return Array.from({ length: bytes.length / READING_SIZE }, (_, index) => {
		const offset = index * READING_SIZE;
		return reader.i64(offset) * NANOSECONDS_PER_SECOND + reader.i64(offset + 8) * unit;
	});
};
