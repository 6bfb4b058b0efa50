/**
 * Timers that expire at an absolute time of the wall clock: POSIX timers and timerfds.
 *
 * They are armed with the host's time; what the program meant is remembered (armed-timer.ts), and a change of the clock arms them
 * anew. Lengths of time, and intervals, stay the host's.
 *
 *     POSIX timer   belongs to a process: one of its threads makes the calls, at its next stop (timer-script.ts)
 *     timerfd       is a file: the supervisor borrows the descriptor, and nobody is stopped
 */
import type { WallClock } from "../clock/clock.ts";
import { hostRealtime } from "../linux/host-vdso.ts";
import { resume } from "../linux/ptrace.ts";
import { BorrowedTimerfd } from "../linux/timerfd.ts";
import { ByteReader } from "../bytes.ts";
import { CLOCK_REALTIME, CLOCK_TAI, type TimeCallName } from "../syscalls/time-calls.ts";
import { itimerspecBytes, NEVER, readTime, timeOf, timespecSize, writeDeadline } from "../syscalls/time-structures.ts";
import { nanoseconds } from "../units.ts";
import { type ArmedTimer, isAsArmed, nextExpiration } from "./armed-timer.ts";
import type { WallReadings } from "./clock-reads.ts";
import type { Deadlines } from "./deadlines.ts";
import type { FollowedCalls } from "./followed-calls.ts";
import type { StoppedCall } from "./stopped-call.ts";

/** Of a process, by timer id and by descriptor. A POSIX timer that is on the wall clock and not armed has no `armed`. */
export interface ProcessTimers {
	readonly posix: Map<number, { readonly clock: number; readonly armed: ArmedTimer | undefined }>;
	readonly timerfds: Map<number, ArmedTimer>;
}

export interface TimersOptions {
	readonly deadlines: Deadlines;
	readonly readings: WallReadings;
	readonly calls: FollowedCalls;
	readonly clock: () => WallClock;
	/** A process has armed a POSIX timer while the clock was changed under it. */
	readonly rearmPosix: (process: number, before: WallClock) => void;
}

const WALL_CLOCKS: readonly number[] = [CLOCK_REALTIME, CLOCK_TAI];

export class Timers {
	readonly #options: TimersOptions;
	readonly #processes = new Map<number, ProcessTimers>();
	readonly #handlers: Readonly<Partial<Record<TimeCallName, (stopped: StoppedCall, process: number) => void>>> = {
		timer_create: (stopped, process) => this.#create(stopped, process),
		timer_delete: (stopped, process) => this.#delete(stopped, process),
		timer_settime: (stopped, process) => this.#posixSettime(stopped, process),
		timer_gettime: (stopped, process) => this.#gettime(stopped, this.of(process).posix.get(stopped.int(0))?.armed),
		timerfd_settime: (stopped, process) => this.#timerfdSettime(stopped, process),
		timerfd_gettime: (stopped, process) => this.#gettime(stopped, this.of(process).timerfds.get(stopped.int(0))),
	};

	constructor(options: TimersOptions) {
		this.#options = options;
	}

	of(process: number): ProcessTimers {
		let timers = this.#processes.get(process);
		if (timers === undefined) {
			timers = { posix: new Map(), timerfds: new Map() };
			this.#processes.set(process, timers);
		}
		return timers;
	}

	/** fork(2): descriptors are inherited, POSIX timers are not. */
	forked(parent: number, child: number): void {
		const timers = this.#processes.get(parent);
		if (timers !== undefined) {
			this.#processes.set(child, { posix: new Map(), timerfds: new Map(timers.timerfds) });
		}
	}

	/** execve(2): POSIX timers end; timerfds stay, or their descriptors are closed, which shows when they are looked for. */
	exec(process: number): void {
		this.#processes.get(process)?.posix.clear();
	}

	ended(process: number): void {
		this.#processes.delete(process);
	}

	/** A call that has to do with timers. The task is resumed. @returns false for any other call */
	stopped(stopped: StoppedCall, process: number): boolean {
		const handle = this.#handlers[stopped.call.name];
		handle?.(stopped, process);
		return handle !== undefined;
	}

	/** The clock has been changed. @returns the processes whose POSIX timers are to be armed anew */
	step(before: WallClock): readonly number[] {
		for (const [process, { timerfds }] of this.#processes) {
			for (const descriptor of timerfds.keys()) this.#rearmTimerfd(process, descriptor, before);
		}
		return [...this.#processes]
			.filter(([, { posix }]) => [...posix.values()].some(({ armed }) => armed !== undefined))
			.map(([process]) => process);
	}

	#create(stopped: StoppedCall, process: number): void {
		const clock = stopped.int(0);
		const finished = (result: bigint): void => {
			const id = result === 0n ? stopped.read(stopped.argument(2), 4) : undefined;
			if (id !== undefined) this.of(process).posix.set(new ByteReader(id).i32(0), { clock, armed: undefined });
		};
		this.#options.calls.follow(stopped, { isWait: false, finished });
	}

	#delete(stopped: StoppedCall, process: number): void {
		this.of(process).posix.delete(stopped.int(0));
		resume(stopped.tid, 0);
	}

	#posixSettime(stopped: StoppedCall, process: number): void {
		const id = stopped.int(0);
		const { posix } = this.of(process);
		const timer = posix.get(id);
		if (timer === undefined) resume(stopped.tid, 0);
		else {
			const { clock } = timer;
			this.#settime(stopped, { clock, flags: 0, old: timer.armed }, (armed, before) => {
				posix.set(id, { clock, armed });
				if (before !== undefined) this.#options.rearmPosix(process, before);
			});
		}
	}

	#timerfdSettime(stopped: StoppedCall, process: number): void {
		const descriptor = stopped.int(0);
		const clock = BorrowedTimerfd.with(process, descriptor, (_, state) => state.clock);
		if (clock === undefined || !WALL_CLOCKS.includes(clock)) {
			resume(stopped.tid, 0);
			return;
		}
		const { timerfds } = this.of(process);
		const [flags, old] = [stopped.int(1), timerfds.get(descriptor)];
		this.#settime(stopped, { clock, flags, old }, (armed, before) => {
			timerfds.set(descriptor, armed);
			if (before !== undefined) this.#rearmTimerfd(process, descriptor, before);
		});
	}

	/** @param armed called when it is; with the clock that the deadline was converted under, if that has been changed meanwhile */
	#settime(
		stopped: StoppedCall,
		timer: { readonly clock: number; readonly flags: number; readonly old: ArmedTimer | undefined },
		armed: (armed: ArmedTimer, before: WallClock | undefined) => void,
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
		const { clock, flags } = timer;
		const under = this.#options.clock();
		const deadline = timeOf(value);
		const hostTime = deadlines.hostTime(deadline, clock);
		const interval = timeOf(readTime(bytes, 0, layout));
		writeDeadline(bytes, size, layout, hostTime);
		const finished = (result: bigint): void => {
			if (result !== 0n) return;
			this.#showLeft(stopped, stopped.argument(3), timer.old);
			const now = this.#options.clock();
			armed({ clock, deadline, hostTime, interval, flags }, isSameClock(now, under) ? undefined : under);
		};
		calls.follow(stopped, { isWait: false, instead: { argument: 2, bytes }, finished });
	}

	#gettime(stopped: StoppedCall, armed: ArmedTimer | undefined): void {
		if (armed?.hostTime !== NEVER) {
			resume(stopped.tid, 0);
			return;
		}
		const finished = (result: bigint): void => {
			if (result === 0n) this.#showLeft(stopped, stopped.argument(1), armed);
		};
		this.#options.calls.follow(stopped, { isWait: false, finished });
	}

	/** What a timer has left is a length of time, and right, but where the host was told never. */
	#showLeft(stopped: StoppedCall, address: bigint, armed: ArmedTimer | undefined): void {
		if (address === 0n || armed?.hostTime !== NEVER) return;
		const { layout } = stopped.call;
		const size = timespecSize(layout);
		const bytes = stopped.read(address, 2 * size);
		if (bytes === undefined) return;
		const [interval, left] = [timeOf(readTime(bytes, 0, layout)), timeOf(readTime(bytes, size, layout))];
		const to = hostRealtime();
		if (!isAsArmed(armed, { left, interval }, { from: to, to })) return;
		const { readings } = this.#options;
		const virtual = nanoseconds(armed.deadline - readings.read(armed.clock));
		stopped.write(address + BigInt(size), itimerspecBytes(layout, { interval, value: virtual }).subarray(size));
	}

	#rearmTimerfd(process: number, descriptor: number, before: WallClock): void {
		const { timerfds } = this.of(process);
		const armed = timerfds.get(descriptor);
		if (armed === undefined) return;
		const from = hostRealtime();
		const isStill = BorrowedTimerfd.with(process, descriptor, (timerfd, state) => {
			const to = hostRealtime();
			const isOurs = state.clock === armed.clock && state.flags === armed.flags;
			if (!isOurs || !isAsArmed(armed, state, { from, to })) return false;
			const deadline = nextExpiration(armed, state, { before, hostNow: to });
			const hostTime = this.#options.deadlines.hostTime(deadline, armed.clock);
			timerfds.set(descriptor, { ...armed, deadline, hostTime });
			const bytes = itimerspecBytes("64", { interval: armed.interval, value: hostTime });
			writeDeadline(bytes, timespecSize("64"), "64", hostTime);
			timerfd.settime(armed.flags, bytes);
			if (state.ticks > 0n) timerfd.setTicks(state.ticks);
			return true;
		});
		if (isStill !== true) timerfds.delete(descriptor);
	}
}

const isSameClock = (a: WallClock, b: WallClock): boolean => {
	if (a.kind === "offset" && b.kind === "offset") return a.offset === b.offset;
	if (a.kind === "frozen" && b.kind === "frozen") return a.at === b.at;
	return a.kind === b.kind;
};
