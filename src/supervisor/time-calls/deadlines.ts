/** Waits until an absolute time of the wall clock: the deadline becomes the host's for the time of the call. */
import { wallTime } from "../../clock/clock.ts";
import { hostDeadline } from "../../clock/deadline.ts";
import { hostRealtime } from "../../linux/host-vdso.ts";
import { resume } from "../../linux/ptrace.ts";
import { CLOCK_REALTIME, DEADLINE_ARGUMENT } from "../../syscalls/time-calls.ts";
import {
	hasValidNanoseconds,
	NEVER,
	readTime,
	timeOf,
	timespecSize,
	type TimeWords,
	writeDeadline,
} from "../../syscalls/time-structures.ts";
import { type Nanoseconds, nanoseconds } from "../../units.ts";
import type { WallReadings } from "./clock-reads.ts";
import type { FollowedCalls } from "./followed-calls.ts";
import type { RunClock } from "../run-clock.ts";
import type { StoppedCall } from "./stopped-call.ts";

export class Deadlines {
	readonly #clock: RunClock;
	readonly #readings: WallReadings;

	constructor(clock: RunClock, readings: WallReadings) {
		this.#clock = clock;
		this.#readings = readings;
	}

	/**
	 * The host's deadline for a virtual one.
	 *
	 * @param id the clock: CLOCK_REALTIME or CLOCK_TAI
	 * @returns undefined when the kernel will refuse it, and is to do so itself
	 */
	convert(words: TimeWords, id: number): Nanoseconds | undefined {
		return this.isValid(words) ? this.hostTime(timeOf(words), id) : undefined;
	}

	/** Whether the kernel takes a deadline. */
	isValid(words: TimeWords): boolean {
		// Before 1970 is invalid, but not under a clock that is there itself.
		return hasValidNanoseconds(words) && (words.seconds >= 0n || wallTime(this.#clock.current, hostRealtime()) < 0n);
	}

	/** When, on the host's clock, a time is reached; 0 when at any moment it has been. */
	hostTime(time: Nanoseconds, id: number): Nanoseconds {
		if (time >= NEVER) return NEVER;
		const ahead = this.#readings.aheadOfRealtime(id);
		const deadline = hostDeadline(this.#clock.current, nanoseconds(time - ahead));
		if (deadline.kind === "at") return nanoseconds(deadline.realtime + ahead);
		return deadline.kind === "never" ? NEVER : nanoseconds(0n);
	}

	/** A wait. The task is resumed. */
	wait(stopped: StoppedCall, calls: FollowedCalls): void {
		const { call, tid } = stopped;
		const { layout } = call;
		const argument = DEADLINE_ARGUMENT[call.name];
		if (argument === undefined) throw new Error(`task ${tid}: ${call.name} has no deadline`);
		const bytes = stopped.read(stopped.argument(argument), timespecSize(layout));
		const id = call.name === "clock_nanosleep" ? stopped.int(0) : CLOCK_REALTIME;
		const time = bytes === undefined ? undefined : this.convert(readTime(bytes, 0, layout), id);
		// What cannot be read or is no time: the kernel says so itself.
		if (time === undefined) resume(tid, 0);
		else {
			const converted = new Uint8Array(timespecSize(layout));
			writeDeadline(converted, 0, layout, time);
			calls.follow(stopped, { isWait: true, instead: { argument, bytes: converted } });
		}
	}
}
