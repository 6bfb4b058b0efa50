/** A traced call, from the record of the image or from the supervisor. */
import { type Call, type Calls, UNFINISHED } from "./calls.ts";
import { RECORD, serialOfKey, TRACED } from "./layout.ts";

export interface TracedCall {
	readonly call: Call;
	/** In their order. */
	readonly arguments: readonly bigint[];
	/** Signed; undefined when nobody has seen it. */
	readonly result: bigint | undefined;
	/** The words that the call has stored: seconds and nanoseconds, or the processor and the node. */
	readonly stored: readonly [bigint, bigint] | undefined;
	/** Where it returns to; undefined for calls that the supervisor has seen. */
	readonly returnAddress: bigint | undefined;
}

/** A record of a ring. */
export interface TracedRecord extends TracedCall {
	/** The time stamp counter behind the call. */
	readonly counter: bigint;
	/** Of the process. */
	readonly serial: number;
	/** What tells it apart from the other threads of its process. */
	readonly thread: bigint;
}

/** @returns undefined for a record that no call can have made */
export const readTracedRecord = (record: DataView, calls: Calls): TracedRecord | undefined => {
	const u64 = (field: number): bigint => record.getBigUint64(field, true);
	const number = record.getUint32(RECORD.call, true);
	const isFinished = number < UNFINISHED;
	const call = calls.get(isFinished ? number : number - UNFINISHED);
	if (call === undefined) return undefined;
	// What the functions return is an int, but for time() and getrandom(), which return a word.
	const isWide = call.name === "time" || call.name === "getrandom";
	const result = isWide ? record.getBigInt64(TRACED.result, true) : BigInt(record.getInt32(TRACED.result, true));
	const clock = call.clock === undefined ? {} : { clock: record.getInt32(TRACED.argument0, true) };
	return {
		call: { ...call, ...clock },
		// Of an i386 function that is only seen to begin nobody knows where its arguments end.
		arguments:
			isFinished || call.bits === 64 ? [u64(TRACED.argument0), u64(TRACED.argument1), u64(TRACED.argument2)] : [],
		result: isFinished ? result : undefined,
		stored: isFinished ? [u64(TRACED.first), u64(TRACED.second)] : undefined,
		returnAddress: u64(TRACED.returnAddress),
		counter: u64(RECORD.counter),
		serial: serialOfKey(u64(RECORD.key)),
		thread: u64(TRACED.thread),
	};
};
