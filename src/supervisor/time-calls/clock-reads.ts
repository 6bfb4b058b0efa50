/**
 * System calls that read the wall clock, answered on the clock of the run: what the kernel stores, in its order (kernel/time/time.c
 * and posix-timers.c, v6.18).
 *
 * The image computes from the same page and the same host clocks, so a program that mixes system calls with the vDSO sees one
 * sequence: coarse reads show the host's coarse clock, and time() its second.
 */
import { hostCoarseRealtime, hostRealtime, hostTimezone } from "../../linux/host-vdso.ts";
import { CLOCK_REALTIME_COARSE, CLOCK_TAI, type TimeCallName } from "../../syscalls/time-calls.ts";
import { readWord, timespecBytes, timevalBytes, wordSize, writeWord } from "../../syscalls/time-structures.ts";
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND, splitNanoseconds } from "../../units.ts";
import type { RunClock } from "../run-clock.ts";
import type { StoppedCall } from "./stopped-call.ts";

const EFAULT = -14n;

/** The readings of the run's clock. */
export class WallReadings {
	readonly #clock: RunClock;
	readonly #taiSeconds: bigint;

	constructor(clock: RunClock, taiSeconds: bigint) {
		this.#clock = clock;
		this.#taiSeconds = taiSeconds;
	}

	wall(): Nanoseconds {
		return this.#clock.read(hostRealtime());
	}

	coarse(): Nanoseconds {
		return this.#clock.read(hostCoarseRealtime());
	}

	read(id: number): Nanoseconds {
		if (id === CLOCK_REALTIME_COARSE) return this.coarse();
		return nanoseconds(this.wall() + this.aheadOfRealtime(id));
	}

	/** How far a clock is ahead of CLOCK_REALTIME. */
	aheadOfRealtime(id: number): Nanoseconds {
		return nanoseconds(id === CLOCK_TAI ? this.#taiSeconds * NANOSECONDS_PER_SECOND : 0n);
	}
}

const clockGettime = (stopped: StoppedCall, readings: WallReadings): bigint => {
	const time = timespecBytes(stopped.call.layout, readings.read(stopped.int(0)));
	return stopped.write(stopped.argument(1), time) ? 0n : EFAULT;
};

const gettimeofday = (stopped: StoppedCall, readings: WallReadings): bigint => {
	const [time, zone] = [stopped.argument(0), stopped.argument(1)];
	if (time !== 0n && !stopped.write(time, timevalBytes(stopped.call.layout, readings.wall()))) return EFAULT;
	return zone === 0n || stopped.write(zone, hostTimezone()) ? 0n : EFAULT;
};

const time = (stopped: StoppedCall, readings: WallReadings): bigint => {
	const { layout } = stopped.call;
	const bytes = new Uint8Array(wordSize(layout));
	writeWord(bytes, 0, layout, splitNanoseconds(readings.coarse()).seconds);
	const address = stopped.argument(0);
	return address === 0n || stopped.write(address, bytes) ? readWord(bytes, 0, layout) : EFAULT;
};

const READS: Readonly<Partial<Record<TimeCallName, (stopped: StoppedCall, readings: WallReadings) => bigint>>> = {
	clock_gettime: clockGettime,
	gettimeofday,
	time,
};

/** What a read returns; undefined for a call that is none. */
export const answerRead = (stopped: StoppedCall, readings: WallReadings): bigint | undefined =>
	READS[stopped.call.name]?.(stopped, readings);
