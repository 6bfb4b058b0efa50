/**
 * Timers that expire at an absolute time of the wall clock: POSIX timers here, timerfds in timerfds.ts.
 *
 * They are armed with the host's time; what the program meant is remembered (armed-timer.ts), and a change of the clock arms them
 * anew. Lengths of time, and intervals, stay the host's. A POSIX timer belongs to its process: one of the threads makes the calls, at
 * its next stop (timer-script.ts).
 */
import type { WallClock } from "../../clock/clock.ts";
import { resume } from "../../linux/ptrace.ts";
import { ByteReader } from "../../bytes.ts";
import type { TimeCallName } from "../../syscalls/time-calls.ts";
import type { ArmedTimer } from "./armed-timer.ts";
import type { Followed } from "./followed-calls.ts";
import type { StoppedCall } from "./stopped-call.ts";
import { TimerArming, type TimerArmingOptions } from "./timer-arming.ts";
import { Timerfds, type TimerfdsOptions } from "./timerfds.ts";

/** By timer id; one that is on the wall clock and not armed has no `armed`. */
export type PosixTimers = Map<number, { readonly clock: number; readonly armed: ArmedTimer | undefined }>;

export interface TimersOptions extends TimerArmingOptions, Pick<TimerfdsOptions, "watchReads"> {
	/** A process has armed a POSIX timer while the clock was changed under it. */
	readonly rearmPosix: (process: number, before: WallClock) => void;
}

const TIMER_ID_SIZE = 4;

export class Timers {
	readonly #options: TimersOptions;
	readonly #arming: TimerArming;
	readonly #timerfds: Timerfds;
	readonly #posix = new Map<number, PosixTimers>();
	readonly #handlers: Readonly<Partial<Record<TimeCallName, (stopped: StoppedCall, process: number) => void>>> = {
		timer_create: (stopped, process) => this.#create(stopped, process),
		timer_delete: (stopped, process) => this.#delete(stopped, process),
		timer_settime: (stopped, process) => this.#settime(stopped, process),
		timer_gettime: (stopped, process) => this.#arming.gettime(stopped, this.posix(process).get(stopped.int(0))?.armed),
		timerfd_settime: (stopped, process) => this.#timerfds.settime(stopped, process),
		timerfd_gettime: (stopped, process) => this.#timerfds.gettime(stopped, process),
		read: (stopped, process) => this.#timerfds.read(stopped, process),
	};

	constructor(options: TimersOptions) {
		this.#options = options;
		this.#arming = new TimerArming(options);
		this.#timerfds = new Timerfds({ ...options, arming: this.#arming });
	}

	/** The POSIX timers of a process that are on the wall clock. */
	posix(process: number): PosixTimers {
		let timers = this.#posix.get(process);
		if (timers === undefined) {
			timers = new Map();
			this.#posix.set(process, timers);
		}
		return timers;
	}

	/** fork(2): POSIX timers are not inherited. */
	forked(parent: number, child: number): void {
		this.#timerfds.forked(parent, child);
	}

	/** execve(2): POSIX timers end; timerfds stay, or their descriptors are closed, which shows when they are looked for. */
	exec(process: number): void {
		this.#posix.delete(process);
	}

	ended(process: number): void {
		this.#posix.delete(process);
		this.#timerfds.ended(process);
	}

	/** A call that has to do with timers. The task is resumed. @returns false for any other call */
	stopped(stopped: StoppedCall, process: number): boolean {
		const handle = this.#handlers[stopped.call.name];
		handle?.(stopped, process);
		return handle !== undefined;
	}

	/** The clock has been changed. @returns the processes whose POSIX timers are to be armed anew */
	step(before: WallClock): readonly number[] {
		this.#arming.step();
		this.#timerfds.step(before);
		return [...this.#posix]
			.filter(([, timers]) => [...timers.values()].some(({ armed }) => armed !== undefined))
			.map(([process]) => process);
	}

	#create(stopped: StoppedCall, process: number): void {
		const clock = stopped.int(0);
		const finished: Followed["finished"] = (result) => {
			const id = result === 0n ? stopped.read(stopped.argument(2), TIMER_ID_SIZE) : undefined;
			if (id !== undefined) this.posix(process).set(new ByteReader(id).i32(0), { clock, armed: undefined });
			return undefined;
		};
		this.#options.calls.follow(stopped, { isWait: false, finished });
	}

	#delete(stopped: StoppedCall, process: number): void {
		this.posix(process).delete(stopped.int(0));
		resume(stopped.tid, 0);
	}

	#settime(stopped: StoppedCall, process: number): void {
		const id = stopped.int(0);
		const timers = this.posix(process);
		const timer = timers.get(id);
		if (timer === undefined) {
			resume(stopped.tid, 0);
			return;
		}
		const { clock, armed: old } = timer;
		this.#arming.settime(stopped, { clock, flags: 0, old }, (armed, before) => {
			timers.set(id, { clock, armed });
			if (before !== undefined) this.#options.rearmPosix(process, before);
			return undefined;
		});
	}
}
