/** A traced call in the manner of strace, and as a line of JSON. */
import { isoInstant, isoDateTime } from "../../clock/iso.ts";
import { errnoName } from "../../linux/syscall-error.ts";
import { clockName } from "../../observation/calls.ts";
import type { TraceEntry } from "../../supervisor/observation/call-trace.ts";

const pointer = (value: bigint): string => (value === 0n ? "NULL" : `0x${value.toString(16)}`);
const int = (value: bigint | undefined): string => String(BigInt.asIntN(32, value ?? 0n));
const word = (value: bigint): string => String(BigInt.asIntN(64, value));

const clockOf = (entry: TraceEntry): string => {
	const { clock } = entry.call;
	return clock === undefined || clock === "other" ? int(entry.arguments[0]) : clockName(clock);
};

/** What stands at a pointer, if the call has stored it: else the pointer. */
const struct = ({ stored, result }: TraceEntry, place: bigint, fields: readonly [string, string]): string => {
	if (place === 0n || stored === undefined || result !== 0n) return pointer(place);
	return `{${fields[0]}=${word(stored[0])}, ${fields[1]}=${word(stored[1])}}`;
};

const TIMESPEC = ["tv_sec", "tv_nsec"] as const;
const TIMEVAL = ["tv_sec", "tv_usec"] as const;

/** The arguments of a call, as strace prints them. */
export const argumentWords = (entry: TraceEntry): readonly string[] => {
	const [first = 0n, second = 0n, third = 0n] = entry.arguments;
	switch (entry.call.name) {
		case "clock_gettime":
		case "clock_gettime64":
		case "clock_getres":
			return [clockOf(entry), struct(entry, second, TIMESPEC)];
		case "gettimeofday":
			return [struct(entry, first, TIMEVAL), pointer(second)];
		case "time":
			return [first !== 0n && entry.result !== undefined ? `[${word(entry.result)}]` : pointer(first)];
		case "getcpu": {
			const inner = (place: bigint, value: bigint | undefined): string =>
				place === 0n || entry.stored === undefined || value === undefined ? pointer(place) : `[${value}]`;
			return [inner(first, entry.stored?.[0]), inner(second, entry.stored?.[1]), "NULL"];
		}
		case "getrandom":
			return [pointer(first), String(second), int(third)];
		default:
			return entry.arguments.map(pointer);
	}
};

const MAX_ERRNO = 4095n;

/** The name of the error that a result means; undefined for none. */
const errorOf = (result: bigint | undefined): string | undefined =>
	result !== undefined && result < 0n && result >= -MAX_ERRNO ? errnoName(Number(-result)) : undefined;

const resultWord = ({ result }: TraceEntry): string => {
	const error = errorOf(result);
	if (error !== undefined) return `-1 ${error}`;
	return result === undefined ? "?" : String(result);
};

const MICROSECOND_DIGITS = 6;

/** "13:04:05.123456", of UTC. */
const timeOfDay = (entry: TraceEntry): string => {
	const [, clock = ""] = isoDateTime(entry.time).split("T");
	const [seconds = "", fraction = ""] = clock.split(".");
	return `${seconds}.${fraction.padEnd(MICROSECOND_DIGITS, "0").slice(0, MICROSECOND_DIGITS)}`;
};

/** TIME PID TID [page | syscall] FUNCTION(ARGUMENTS) = RESULT */
export const traceLine = (entry: TraceEntry): string => {
	const { way, name } = entry.call;
	const prefix = way === "vdso" ? "" : `${way} `;
	return `${timeOfDay(entry)} ${entry.pid} ${entry.tid} ${prefix}${name}(${argumentWords(entry).join(", ")}) = ${resultWord(entry)}\n`;
};

export const traceJson = (entry: TraceEntry): string => {
	const { pid, tid, result, returnAddress, call } = entry;
	const error = errorOf(result);
	const value = {
		time: isoInstant(entry.time),
		pid,
		tid,
		way: call.way,
		bits: call.bits,
		function: call.name,
		arguments: argumentWords(entry),
		result: result === undefined ? null : error === undefined ? Number(result) : -1,
		...(error === undefined ? {} : { error }),
		...(returnAddress === undefined ? {} : { returnAddress: `0x${returnAddress.toString(16)}` }),
	};
	return `${JSON.stringify(value)}\n`;
};
