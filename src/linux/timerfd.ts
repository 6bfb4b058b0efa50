/**
 * timerfds of other processes: what /proc/PID/fdinfo says of them (timerfd_show, fs/timerfd.c, v6.18), and timerfd_settime through a
 * borrowed descriptor.
 */
import { closeSync, readFileSync } from "node:fs";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { type Nanoseconds, joinNanoseconds } from "../units.ts";
import { borrowDescriptor } from "./borrowed-descriptor.ts";
import * as linux from "./constants.ts";
import { syscallResult } from "./ffi.ts";

export interface TimerfdState {
	readonly clock: number;
	/** Expirations that nobody has read. */
	readonly ticks: bigint;
	/** Of timerfd_settime. */
	readonly flags: number;
	/** Until the next expiration; 0 when there is none. */
	readonly left: Nanoseconds;
	readonly interval: Nanoseconds;
}

const STATE =
	/^clockid: (\d+)\nticks: (\d+)\nsettime flags: (\d+)\nit_value: \((\d+), (\d+)\)\nit_interval: \((\d+), (\d+)\)$/m;

const stateOf = (fdinfo: string): TimerfdState | undefined => {
	const [, clock, ticks = "", flags = "", ...times] = STATE.exec(fdinfo) ?? [];
	if (clock === undefined) return undefined;
	const [leftSeconds = 0n, left = 0n, intervalSeconds = 0n, interval = 0n] = times.map(BigInt);
	return {
		clock: Number(clock),
		ticks: BigInt(ticks),
		flags: Number.parseInt(flags, 8),
		left: joinNanoseconds(leftSeconds, left),
		interval: joinNanoseconds(intervalSeconds, interval),
	};
};

/** A timerfd of another process, borrowed for a moment: no descriptor of ours may outlive it, or epoll would go on reporting it. */
export class BorrowedTimerfd {
	readonly #fd: number;

	private constructor(fd: number) {
		this.#fd = fd;
	}

	/** Calls `use` with the timerfd; undefined when the descriptor is none, or out of reach. */
	static with<Result>(
		process: number,
		descriptor: number,
		use: (timerfd: BorrowedTimerfd, state: TimerfdState) => Result,
	): Result | undefined {
		const fd = borrowDescriptor(process, descriptor);
		if (fd < 0) return undefined;
		try {
			// Our own entry: it is right in every pid namespace.
			const state = stateOf(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"));
			return state === undefined ? undefined : use(new BorrowedTimerfd(fd), state);
		} catch {
			return undefined;
		} finally {
			closeSync(fd);
		}
	}

	/** @param itimerspec 32 bytes, with the host's time */
	settime(flags: number, itimerspec: Uint8Array): void {
		syscallResult(linux.SYS_timerfd_settime, this.#fd, flags, itimerspec, 0, SYSCALL_KEY);
	}

	/** Gives back expirations that settime has cleared: needs CONFIG_CHECKPOINT_RESTORE, else they are lost. */
	setTicks(ticks: bigint): void {
		syscallResult(linux.SYS_ioctl, this.#fd, linux.TFD_IOC_SET_TICKS, new BigUint64Array([ticks]));
	}
}
