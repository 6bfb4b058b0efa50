/** Times that a program gives to a file: they are times of the run's clock, and the file gets the host's. */
import { realTime } from "../../clock/real-time.ts";
import { resume } from "../../linux/ptrace.ts";
import { hostRealtime } from "../../linux/host-vdso.ts";
import type { FileTimesCall } from "../../syscalls/pretended-calls.ts";
import {
	readTime,
	readWord,
	type TimeWords,
	timespecSize,
	wordSize,
	writeTime,
	writeWord,
} from "../../syscalls/time-structures.ts";
import { joinNanoseconds, type Nanoseconds, NANOSECONDS_PER_SECOND, splitNanoseconds } from "../../units.ts";
import type { RunClock } from "../run-clock.ts";
import type { FollowedCalls } from "../time-calls/followed-calls.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";

// include/linux/stat.h: in the place of nanoseconds.
const UTIME_NOW = 0x3fff_ffffn;
const UTIME_OMIT = 0x3fff_fffen;

/** Nanoseconds in the smaller word of a time. */
const FRACTION = { timeval: 1000n, timespec: 1n } as const;

export interface FileTimesOptions {
	readonly clock: RunClock;
	readonly calls: FollowedCalls;
}

export class FileTimes {
	readonly #options: FileTimesOptions;

	constructor(options: FileTimesOptions) {
		this.#options = options;
	}

	/** A call that sets times. The task is resumed. */
	stopped(stopped: StoppedCall, { argument, unit, layout }: FileTimesCall): void {
		const { current } = this.#options.clock;
		const host = hostRealtime();
		const convert = (time: Nanoseconds): Nanoseconds => realTime(current, time, host);
		const size = unit === "seconds" ? wordSize(layout) : timespecSize(layout);
		const bytes = stopped.read(stopped.argument(argument), 2 * size);
		// What cannot be read or is no time: the kernel says so itself.
		const isConverted =
			bytes !== undefined &&
			[0, size].every((offset) => {
				if (unit !== "seconds") return convertTime(bytes, { offset, layout, unit }, convert);
				const time = joinNanoseconds(readWord(bytes, offset, layout), 0n);
				writeWord(bytes, offset, layout, fitted(splitNanoseconds(convert(time)).seconds, layout));
				return true;
			});
		if (isConverted) this.#options.calls.follow(stopped, { isWait: false, instead: { argument, bytes } });
		else resume(stopped.tid, 0);
	}
}

interface TimePlace {
	readonly offset: number;
	readonly layout: FileTimesCall["layout"];
	readonly unit: "timeval" | "timespec";
}

/** @returns false for what is no time */
const convertTime = (
	bytes: Uint8Array,
	{ offset, layout, unit }: TimePlace,
	convert: (time: Nanoseconds) => Nanoseconds,
): boolean => {
	const { seconds, fraction } = readTime(bytes, offset, layout);
	const unitLength = FRACTION[unit];
	if (unit === "timespec" && (fraction === UTIME_NOW || fraction === UTIME_OMIT)) return true;
	if (fraction < 0n || fraction * unitLength >= NANOSECONDS_PER_SECOND) return false;
	const converted = splitNanoseconds(convert(joinNanoseconds(seconds, fraction * unitLength)));
	const words: TimeWords = {
		seconds: fitted(converted.seconds, layout),
		fraction: converted.nanoseconds / unitLength,
	};
	writeTime(bytes, offset, layout, words);
	return true;
};

/** The nearest second that a layout can say. */
const fitted = (seconds: bigint, layout: FileTimesCall["layout"]): bigint => {
	const last = 2n ** BigInt(8 * wordSize(layout) - 1) - 1n;
	if (seconds > last) return last;
	return seconds < -last - 1n ? -last - 1n : seconds;
};
