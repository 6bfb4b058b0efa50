/**
 * timerfds that expire at an absolute time of the wall clock.
 *
 * The supervisor borrows the descriptor for a moment when it has to look at one or arm it anew; nobody is stopped for that. It keeps
 * none: an epoll instance would go on reporting a file that the program has closed.
 *
 * TFD_TIMER_CANCEL_ON_SET: when the clock is set, the descriptor becomes readable and its next read fails with ECANCELED. The kernel
 * does that for its own clock alone (timerfd_clock_was_set, fs/timerfd.c, v6.18). Here the timer is let expire, which wakes whoever
 * waits for it, and the read is answered; to see it, the process is given a filter for the reads of that one descriptor.
 */
import type { WallClock } from "../../clock/clock.ts";
import * as linux from "../../linux/constants.ts";
import { hostRealtime } from "../../linux/host-vdso.ts";
import { resume, writeRegisters } from "../../linux/ptrace.ts";
import { BorrowedTimerfd } from "../../linux/timerfd.ts";
import { CLOCK_REALTIME, CLOCK_TAI } from "../../syscalls/time-calls.ts";
import { deadlineItimerspecBytes } from "../../syscalls/time-structures.ts";
import { type Nanoseconds, nanoseconds } from "../../units.ts";
import { type ArmedTimer, isAsArmed, nextExpiration } from "./armed-timer.ts";
import type { Deadlines } from "./deadlines.ts";
import type { Followed, FollowedCalls } from "./followed-calls.ts";
import type { StoppedCall } from "./stopped-call.ts";
import type { TimerArming } from "./timer-arming.ts";

export interface TimerfdsOptions {
	readonly arming: TimerArming;
	readonly deadlines: Deadlines;
	readonly calls: FollowedCalls;
	/** Lets reads of a descriptor stop, by calls in a task that is at the exit of a call, and resumes it. @returns whether it can */
	readonly watchReads: (tid: number, descriptor: number) => boolean;
}

/** By descriptor; and the descriptors whose reads stop already. */
interface ProcessTimerfds {
	readonly armed: Map<number, ArmedTimer>;
	readonly watched: Set<number>;
}

const WALL_CLOCKS: readonly number[] = [CLOCK_REALTIME, CLOCK_TAI];
const EXPIRATIONS_SIZE = 8n;
const ECANCELED = -125n;
const AT_ONCE = nanoseconds(0n);

const isCancelledOnSet = ({ clock, flags }: ArmedTimer): boolean =>
	clock === CLOCK_REALTIME && (flags & linux.TFD_TIMER_CANCEL_ON_SET) !== 0;

const arm = (timerfd: BorrowedTimerfd, { flags, interval }: ArmedTimer, hostTime: Nanoseconds): void =>
	timerfd.settime(flags, deadlineItimerspecBytes("64", { interval, deadline: hostTime }));

/** At the exit of a call. */
const setResult = ({ tid, registers }: StoppedCall, result: bigint): void => {
	registers.set("rax", result);
	writeRegisters(tid, registers);
};

export class Timerfds {
	readonly #options: TimerfdsOptions;
	readonly #processes = new Map<number, ProcessTimerfds>();

	constructor(options: TimerfdsOptions) {
		this.#options = options;
	}

	/** Descriptors are inherited, and so are filters. */
	forked(parent: number, child: number): void {
		const timerfds = this.#processes.get(parent);
		if (timerfds === undefined) return;
		this.#processes.set(child, { armed: new Map(timerfds.armed), watched: new Set(timerfds.watched) });
	}

	ended(process: number): void {
		this.#processes.delete(process);
	}

	settime(stopped: StoppedCall, process: number): void {
		const descriptor = stopped.int(0);
		const clock = BorrowedTimerfd.with(process, descriptor, (_, state) => state.clock);
		if (clock === undefined || !WALL_CLOCKS.includes(clock)) {
			resume(stopped.tid, 0);
			return;
		}
		const { armed, watched } = this.#of(process);
		const call = { clock, flags: stopped.int(1), old: armed.get(descriptor) };
		this.#options.arming.settime(stopped, call, (timer, before) => {
			armed.set(descriptor, timer);
			// timerfd_setup (v6.18) arms the timer and says that it was cancelled.
			if (isCancelledOnSet(timer) && call.old?.isCancelled === true) setResult(stopped, ECANCELED);
			if (before !== undefined) this.#rearm(process, descriptor, before);
			if (!isCancelledOnSet(timer) || watched.has(descriptor)) return undefined;
			watched.add(descriptor);
			return this.#options.watchReads(stopped.tid, descriptor) ? "taken" : undefined;
		});
	}

	gettime(stopped: StoppedCall, process: number): void {
		this.#options.arming.gettime(stopped, this.#of(process).armed.get(stopped.int(0)));
	}

	/** A read of a descriptor that is watched. The task is resumed. */
	read(stopped: StoppedCall, process: number): void {
		const descriptor = stopped.int(0);
		if (stopped.argument(2) < EXPIRATIONS_SIZE || !this.#of(process).armed.has(descriptor)) {
			resume(stopped.tid, 0);
			return;
		}
		if (this.#takeCancellation(process, descriptor)) {
			stopped.skip(ECANCELED);
			resume(stopped.tid, 0);
			return;
		}
		const finished: Followed["finished"] = (result) => {
			// The clock was set while the read waited: what ended it was the expiration of the cancellation.
			if (result === EXPIRATIONS_SIZE && this.#takeCancellation(process, descriptor)) {
				setResult(stopped, ECANCELED);
			}
			return undefined;
		};
		this.#options.calls.follow(stopped, { isWait: false, finished });
	}

	/** The clock has been changed. */
	step(before: WallClock): void {
		for (const [process, { armed }] of this.#processes) {
			for (const descriptor of armed.keys()) this.#rearm(process, descriptor, before);
		}
	}

	#of(process: number): ProcessTimerfds {
		let timerfds = this.#processes.get(process);
		if (timerfds === undefined) {
			timerfds = { armed: new Map(), watched: new Set() };
			this.#processes.set(process, timerfds);
		}
		return timerfds;
	}

	#rearm(process: number, descriptor: number, before: WallClock): void {
		const timers = this.#of(process).armed;
		const armed = timers.get(descriptor);
		if (armed === undefined) return;
		const from = hostRealtime();
		const again = BorrowedTimerfd.with(process, descriptor, (timerfd, state): ArmedTimer | undefined => {
			const to = hostRealtime();
			if (state.clock !== armed.clock || state.flags !== armed.flags) return undefined;
			const isArmed = isAsArmed(armed, state, { from, to });
			const deadline = isArmed ? nextExpiration(armed, state, { before, hostNow: to }) : armed.deadline;
			const hostTime = this.#options.deadlines.hostTime(deadline, armed.clock);
			if (isCancelledOnSet(armed)) {
				arm(timerfd, { ...armed, interval: AT_ONCE }, AT_ONCE);
				return { ...armed, deadline, hostTime, given: hostTime, isCancelled: true };
			}
			if (!isArmed) return undefined;
			arm(timerfd, armed, hostTime);
			if (state.ticks > 0n) timerfd.setTicks(state.ticks);
			return { ...armed, deadline, hostTime, given: hostTime };
		});
		if (again === undefined) timers.delete(descriptor);
		else timers.set(descriptor, again);
	}

	/** @returns whether a timer is cancelled; then it is no longer, and waits for its time as before */
	#takeCancellation(process: number, descriptor: number): boolean {
		const timers = this.#of(process).armed;
		const armed = timers.get(descriptor);
		if (armed?.isCancelled !== true) return false;
		const taken = BorrowedTimerfd.with(process, descriptor, (timerfd, state) => {
			if (state.clock !== armed.clock || state.flags !== armed.flags) return false;
			arm(timerfd, armed, armed.hostTime);
			return true;
		});
		if (taken === true) timers.set(descriptor, { ...armed, given: armed.hostTime, isCancelled: false });
		else timers.delete(descriptor);
		return taken === true;
	}
}
