/**
 * System calls that set the wall clock: they set that of the run, without privileges, and never the host's.
 *
 * Checks and their order are the kernel's (do_sys_settimeofday64, do_adjtimex, timekeeping_inject_offset, v6.18). What disciplines a
 * clock instead of setting it (frequency, tick, status, the distance of TAI) and the time zone belong to the host: -EPERM, as
 * the kernel says to everybody without CAP_SYS_TIME.
 */
import { wallTime } from "../../clock/clock.ts";
import { setWall } from "../../clock/steering.ts";
import * as linux from "../../linux/constants.ts";
import { syscallResult } from "../../linux/ffi.ts";
import { hostMonotonic } from "../../linux/host-vdso.ts";
import type { TimeCallName } from "../../syscalls/time-calls.ts";
import {
	hasValidNanoseconds,
	readTime,
	readWord,
	timeOf,
	timespecSize,
	wordSize,
	TIMEZONE_SIZE,
} from "../../syscalls/time-structures.ts";
import { ADJ_MICRO, ADJ_NANO, ADJ_SETOFFSET, STA_NANO, Timex, timexSize } from "../../syscalls/timex.ts";
import * as timexModes from "../../syscalls/timex.ts";
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND, splitNanoseconds } from "../../units.ts";
import type { WallReadings } from "./clock-reads.ts";
import type { RunClock } from "../run-clock.ts";
import type { StoppedCall } from "./stopped-call.ts";

const EPERM = -1n;
const EFAULT = -14n;
const EINVAL = -22n;
const NANOSECONDS_PER_MICROSECOND = 1000n;
const MICROSECONDS_PER_SECOND = 1_000_000n;
/** TIME_SETTOD_SEC_MAX, include/linux/time64.h: thirty years before the last second of ktime_t. */
const LAST_SECOND = 9_223_372_036n - 30n * 365n * 24n * 3600n;

/** timespec64_valid_settod, and do_settimeofday64's rule that the wall is not behind CLOCK_MONOTONIC. */
const canBeSet = (wall: Nanoseconds): boolean => {
	const { seconds } = splitNanoseconds(wall);
	return seconds >= 0n && seconds < LAST_SECOND && wall >= hostMonotonic();
};

export interface ClockSetting {
	readonly clock: RunClock;
	readonly readings: WallReadings;
}

/** @param wall what the clock is to show, of what it shows now */
const moveTo = ({ clock }: ClockSetting, wall: (shown: Nanoseconds) => Nanoseconds): bigint => {
	let result = 0n;
	clock.change((current, host) => {
		const next = wall(wallTime(current, host));
		if (canBeSet(next)) return setWall(current, next, host);
		result = EINVAL;
		return current;
	});
	return result;
};

const moveToTime = (setting: ClockSetting, wall: Nanoseconds): bigint => moveTo(setting, () => wall);

const clockSettime = (stopped: StoppedCall, setting: ClockSetting): bigint => {
	const { layout } = stopped.call;
	const bytes = stopped.read(stopped.argument(1), timespecSize(layout));
	if (bytes === undefined) return EFAULT;
	const words = readTime(bytes, 0, layout);
	return hasValidNanoseconds(words) ? moveToTime(setting, timeOf(words)) : EINVAL;
};

const stime = (stopped: StoppedCall, setting: ClockSetting): bigint => {
	const { layout } = stopped.call;
	const bytes = stopped.read(stopped.argument(0), wordSize(layout));
	if (bytes === undefined) return EFAULT;
	return moveToTime(setting, nanoseconds(readWord(bytes, 0, layout) * NANOSECONDS_PER_SECOND));
};

const settimeofday = (stopped: StoppedCall, setting: ClockSetting): bigint => {
	const { layout } = stopped.call;
	const [time, zone] = [stopped.argument(0), stopped.argument(1)];
	let wall: Nanoseconds | undefined;
	if (time !== 0n) {
		const bytes = stopped.read(time, timespecSize(layout));
		if (bytes === undefined) return EFAULT;
		const { seconds, fraction } = readTime(bytes, 0, layout);
		if (fraction < 0n || fraction > MICROSECONDS_PER_SECOND) return EINVAL;
		const words = { seconds, fraction: fraction * NANOSECONDS_PER_MICROSECOND };
		if (!hasValidNanoseconds(words)) return EINVAL;
		wall = timeOf(words);
	}
	if (zone !== 0n) return stopped.read(zone, TIMEZONE_SIZE) === undefined ? EFAULT : EPERM;
	return wall === undefined ? 0n : moveToTime(setting, wall);
};

type Movement = { readonly by: Nanoseconds } | { readonly refusal: bigint } | "none";

/** How far a struct timex moves the wall. */
const movement = (timex: Timex): Movement => {
	const { modes } = timex;
	if (modes === 0 || modes === timexModes.ADJ_OFFSET_SS_READ) return "none";
	if ((modes & timexModes.ADJ_ADJTIME) !== 0) {
		if ((modes & timexModes.ADJ_OFFSET) === 0) return { refusal: EINVAL };
		// adjtime(3) would take its time: the run's clock is there at once.
		return { by: nanoseconds(timex.get("offset") * NANOSECONDS_PER_MICROSECOND) };
	}
	if ((modes & ~(ADJ_SETOFFSET | ADJ_NANO | ADJ_MICRO)) !== 0) return { refusal: EPERM };
	if ((modes & ADJ_SETOFFSET) === 0) return "none";
	const unit = (modes & ADJ_NANO) === 0 ? NANOSECONDS_PER_MICROSECOND : 1n;
	const fraction = timex.get("timeFraction") * unit;
	if (fraction < 0n || fraction >= NANOSECONDS_PER_SECOND) return { refusal: EINVAL };
	return { by: nanoseconds(timex.get("timeSeconds") * NANOSECONDS_PER_SECOND + fraction) };
};

const adjust = (stopped: StoppedCall, address: bigint, setting: ClockSetting): bigint => {
	const { layout } = stopped.call;
	const bytes = stopped.read(address, timexSize(layout));
	if (bytes === undefined) return EFAULT;
	const timex = new Timex(layout, bytes);
	const { modes } = timex;
	const moved = movement(timex);
	if (moved !== "none") {
		const result = "by" in moved ? moveTo(setting, (shown) => nanoseconds(shown + moved.by)) : moved.refusal;
		if (result !== 0n) return result;
	}
	const host = new Timex("64");
	host.modes = modes === timexModes.ADJ_OFFSET_SS_READ ? modes : 0;
	const state = syscallResult(linux.SYS_adjtimex, host.bytes);
	if (state < 0) return BigInt(state);
	const { seconds, nanoseconds: rest } = splitNanoseconds(setting.readings.wall());
	const isNano = (host.get("status") & STA_NANO) !== 0n;
	host.set("timeSeconds", seconds);
	host.set("timeFraction", isNano ? rest : rest / NANOSECONDS_PER_MICROSECOND);
	if (modes === timexModes.ADJ_OFFSET_SINGLESHOT) host.set("offset", 0n);
	timex.take(host);
	return stopped.write(address, timex.bytes) ? BigInt(state) : EFAULT;
};

const SETS: Readonly<Partial<Record<TimeCallName, (stopped: StoppedCall, setting: ClockSetting) => bigint>>> = {
	clock_settime: clockSettime,
	settimeofday,
	stime,
	adjtimex: (stopped, setting) => adjust(stopped, stopped.argument(0), setting),
	clock_adjtime: (stopped, setting) => adjust(stopped, stopped.argument(1), setting),
};

/** What a call that sets the clock, or asks how it is disciplined, returns; undefined for a call that does neither. */
export const answerSet = (stopped: StoppedCall, setting: ClockSetting): bigint | undefined =>
	SETS[stopped.call.name]?.(stopped, setting);
