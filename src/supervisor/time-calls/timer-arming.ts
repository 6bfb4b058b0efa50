/** What POSIX timers and timerfds have in common: their calls take and give a struct itimerspec. */
import type { WallClock } from "../../clock/clock.ts";
import { hostRealtime } from "../../linux/host-vdso.ts";
import { resume } from "../../linux/ptrace.ts";
import {
	deadlineWords,
	itimerspecBytes,
	NEVER,
	readTime,
	timeOf,
	timespecSize,
	writeDeadline,
} from "../../syscalls/time-structures.ts";
import { nanoseconds } from "../../units.ts";
import { type ArmedTimer, isAsArmed } from "./armed-timer.ts";
import type { WallReadings } from "./clock-reads.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Followed, FollowedCalls } from "./followed-calls.ts";
import type { StoppedCall } from "./stopped-call.ts";

/** What a timer is when a call arms it. */
interface ArmedTimerCall {
	/** CLOCK_REALTIME or CLOCK_TAI. */
	readonly clock: number;
	readonly flags: number;
	/** What it was armed with before. */
	readonly old: ArmedTimer | undefined;
}

export interface TimerArmingOptions {
	readonly deadlines: Deadlines;
	readonly readings: WallReadings;
	readonly calls: FollowedCalls;
	readonly clock: () => WallClock;
}

export class TimerArming {
	readonly #options: TimerArmingOptions;
	/** How often the clock has been changed. */
	#steps = 0;

	constructor(options: TimerArmingOptions) {
		this.#options = options;
	}

	/** The clock has been changed. */
	step(): void {
		this.#steps++;
	}

	/**
	 * A call that arms a timer with an absolute time. The task is resumed.
	 *
	 * @param armed called when it is; `before` is the clock that the deadline was converted under, if that has been changed since
	 */
	settime(
		stopped: StoppedCall,
		{ clock, flags, old }: ArmedTimerCall,
		armed: (armed: ArmedTimer, before: WallClock | undefined) => ReturnType<NonNullable<Followed["finished"]>>,
	): void {
		const { deadlines, calls } = this.#options;
		const { layout } = stopped.call;
		const size = timespecSize(layout);
		const bytes = stopped.read(stopped.argument(2), 2 * size);
		const value = bytes === undefined ? undefined : readTime(bytes, size, layout);
		const isDisarmed = value?.seconds === 0n && value.fraction === 0n;
		// What the kernel refuses is its business, and what disarms a timer needs no conversion.
		if (bytes === undefined || value === undefined || isDisarmed || !deadlines.isValid(value)) {
			resume(stopped.tid, 0);
			return;
		}
		const [under, steps] = [this.#options.clock(), this.#steps];
		const deadline = timeOf(value);
		const hostTime = deadlines.hostTime(deadline, clock);
		const interval = timeOf(readTime(bytes, 0, layout));
		const given = timeOf(deadlineWords(layout, hostTime));
		writeDeadline(bytes, size, layout, hostTime);
		const finished: Followed["finished"] = (result) => {
			if (result !== 0n) return undefined;
			this.#showLeft(stopped, stopped.argument(3), old);
			return armed({ clock, deadline, hostTime, given, interval, flags }, steps === this.#steps ? undefined : under);
		};
		calls.follow(stopped, { isWait: false, instead: { argument: 2, bytes }, finished });
	}

	/** A call that asks what a timer has left. The task is resumed. */
	gettime(stopped: StoppedCall, armed: ArmedTimer | undefined): void {
		if (!isEndless(armed)) {
			resume(stopped.tid, 0);
			return;
		}
		const finished: Followed["finished"] = (result) => {
			if (result === 0n) this.#showLeft(stopped, stopped.argument(1), armed);
			return undefined;
		};
		this.#options.calls.follow(stopped, { isWait: false, finished });
	}

	/** What a timer has left is a length of time, and right, but where the host was told never. */
	#showLeft(stopped: StoppedCall, address: bigint, armed: ArmedTimer | undefined): void {
		if (address === 0n || armed === undefined || !isEndless(armed)) return;
		const { layout } = stopped.call;
		const size = timespecSize(layout);
		const bytes = stopped.read(address, 2 * size);
		if (bytes === undefined) return;
		const [interval, left] = [timeOf(readTime(bytes, 0, layout)), timeOf(readTime(bytes, size, layout))];
		const to = hostRealtime();
		if (!isAsArmed(armed, { left, interval }, { from: to, to })) return;
		const value = nanoseconds(armed.deadline - this.#options.readings.read(armed.clock));
		stopped.write(address + BigInt(size), itimerspecBytes(layout, { interval, value }).subarray(size));
	}
}

/** A time that a wall which stands does not reach; one that no clock reaches needs no correction. */
const isEndless = (armed: ArmedTimer | undefined): boolean =>
	armed !== undefined && armed.hostTime === NEVER && armed.deadline < NEVER;
