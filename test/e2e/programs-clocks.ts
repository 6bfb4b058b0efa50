/**
 * What a program under a clock must print, and whether it did.
 *
 * A program prints one reading per line, `CLOCK TIME`. The host's clocks are read before and after; from these two readings
 * follows the span in which the program's must lie: exact arithmetic on bigint nanoseconds, no tolerance. A time printed with
 * n digits stands for the whole span of times that are cut to it.
 *
 *     realtime 2110737753.197112       between 2110737753.197112000 and 2110737753.197112999
 *     coarse 2036-11-23T20:02:33Z
 *     monotonic 5321.000000017
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Temporal } from "temporal-polyfill";
import type { Finished } from "../helpers/vsyscall.ts";

/** Nanoseconds; both ends belong to it. */
export interface Span {
	readonly from: bigint;
	readonly to: bigint;
}

export interface HostTimes {
	readonly realtime: Span;
	readonly monotonic: Span;
	readonly boottime: Span;
}

/** What the host's clocks show, as exactly as Node and /proc tell. */
export const readHostTimes = (): HostTimes => {
	const milliseconds = BigInt(Date.now());
	const monotonic = process.hrtime.bigint();
	const [, seconds = "", hundredths = ""] = /^(\d+)\.(\d\d) /.exec(readFileSync("/proc/uptime", "latin1")) ?? [];
	const centiseconds = BigInt(seconds + hundredths);
	return {
		realtime: { from: milliseconds * 1_000_000n, to: milliseconds * 1_000_000n + 999_999n },
		monotonic: { from: monotonic, to: monotonic },
		boottime: { from: centiseconds * 10_000_000n, to: centiseconds * 10_000_000n + 9_999_999n },
	};
};

/** The host's times around a run. */
export interface Bracket {
	/** CLOCK_REALTIME when the run anchored its clock. */
	readonly anchor: Span;
	/** The clocks when the program read them. */
	readonly realtime: Span;
	readonly monotonic: Span;
	readonly boottime: Span;
}

/** @param started the host's times around the start of the run, for a program that is asked later */
export const bracketOf = (
	before: HostTimes,
	after: HostTimes,
	started: { readonly before: HostTimes; readonly after: HostTimes } = { before, after },
): Bracket => ({
	anchor: { from: started.before.realtime.from, to: started.after.realtime.to },
	realtime: { from: before.realtime.from, to: after.realtime.to },
	monotonic: { from: before.monotonic.from, to: after.monotonic.to },
	boottime: { from: before.boottime.from, to: after.boottime.to },
});

/** A clock spec and, worked out without our own sources, what it means. */
export interface ClockCase {
	readonly spec: string;
	readonly isFrozen: boolean;
	/** What the wall shows at the anchor. */
	readonly at: (anchor: bigint) => bigint;
}

const instantNanoseconds = (text: string): bigint => Temporal.Instant.from(text).epochNanoseconds;

export const hostClock: ClockCase = { spec: "host", isFrozen: false, at: (anchor) => anchor };

/** Ahead of the host by calendar years, or behind it. */
export const yearsAhead = (years: number): ClockCase => ({
	spec: `${years < 0 ? "-" : "+"}${Math.abs(years)}y`,
	isFrozen: false,
	at: (anchor) =>
		Temporal.Instant.fromEpochNanoseconds(anchor).toZonedDateTimeISO("UTC").add({ years }).epochNanoseconds,
});

export const nanosecondsAhead = (distance: bigint): ClockCase => ({
	spec: `${distance < 0n ? "-" : "+"}${distance < 0n ? -distance : distance}ns`,
	isFrozen: false,
	at: (anchor) => anchor + distance,
});

/** @param time an ISO 8601 time with `Z` */
export const startingAt = (time: string): ClockCase => {
	const start = instantNanoseconds(time);
	return { spec: `@${time}`, isFrozen: false, at: () => start };
};

export const frozen = (clock: ClockCase): ClockCase => ({
	...clock,
	spec: clock.spec === "host" ? "frozen" : `${clock.spec} frozen`,
	isFrozen: true,
});

/** The clocks that every program is run under. */
export const PROGRAM_CLOCKS: readonly ClockCase[] = [
	yearsAhead(10),
	startingAt("2038-01-19T03:14:07Z"),
	frozen(startingAt("2038-01-19T03:14:07.123456789Z")),
];

/** Clocks for programs whose times have 32 bits: the last second of theirs is 2038-01-19T03:14:07Z. */
export const NARROW_CLOCKS: readonly ClockCase[] = [
	yearsAhead(10),
	startingAt("2038-01-01T00:00:00Z"),
	frozen(startingAt("2038-01-19T03:14:07.123456789Z")),
];

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const greatest = (a: bigint, b: bigint): bigint => (a > b ? a : b);

/** Where the wall clock was in a bracket. */
export const wallSpan = ({ at, isFrozen }: ClockCase, { anchor, realtime }: Bracket): Span => {
	const [first, last] = [at(anchor.from), at(anchor.to)];
	if (isFrozen) return { from: first, to: last };
	const offsets = [first - anchor.from, last - anchor.to] as const;
	// A fixed start is nearer to the host's time the later the anchor is, a calendar offset may jump at the end of a month.
	return {
		from: greatest(realtime.from + least(...offsets), first),
		to: realtime.to + greatest(...offsets),
	};
};

export interface Reading {
	readonly clock: string;
	readonly text: string;
	/** The times that are printed as this text. */
	readonly span: Span;
}

const digitsSpan = (nanoseconds: bigint, digits: number): Span => ({
	from: nanoseconds,
	to: nanoseconds + 10n ** BigInt(9 - digits) - 1n,
});

/** @param digits of the fraction, where the text may lack zeros at its end */
export const parseTime = (text: string, digits?: number): Span => {
	const decimal = /^(\d+)(?:\.(\d{1,9}))?$/.exec(text);
	if (decimal !== null) {
		const [, seconds = "", fraction = ""] = decimal;
		return digitsSpan(BigInt(seconds + fraction.padEnd(9, "0")), digits ?? fraction.length);
	}
	const printed = /:\d\d(?:[.,](\d{1,9}))?/.exec(text)?.[1] ?? "";
	return digitsSpan(instantNanoseconds(text), digits ?? printed.length);
};

/** @throws {AssertionError} for a line that is no reading */
export const parseReadings = (stdout: string): readonly Reading[] =>
	stdout
		.split("\n")
		.filter((line) => line !== "")
		.map((line) => {
			const [clock = "", ...words] = line.split(" ");
			const text = words.join(" ");
			assert.match(text, /^\d/, `not a reading: ${line}`);
			return { clock, text, span: parseTime(text) };
		});

/** A coarse clock shows the last tick: at most 1/HZ ago, and HZ is at least 100. */
const TICK = 10_000_000n;

const spanOf = (clock: string, wall: Span, bracket: Bracket, isFrozen: boolean): Span | undefined => {
	const { monotonic, boottime } = bracket;
	switch (clock) {
		case "realtime":
		// Printed less the host's distance from UTC.
		case "tai":
			return wall;
		case "coarse":
			return isFrozen ? wall : { from: wall.from - TICK, to: wall.to };
		case "monotonic":
			return monotonic;
		case "monotonic-coarse":
			return { from: monotonic.from - TICK, to: monotonic.to };
		case "boottime":
			return boottime;
		case "elapsed":
			return { from: 0n, to: monotonic.to - monotonic.from };
		default:
			return undefined;
	}
};

/** Asserts that each reading is a time at which its clock stood within the bracket. */
export const assertReadings = (readings: readonly Reading[], clock: ClockCase, bracket: Bracket): void => {
	const wall = wallSpan(clock, bracket);
	for (const reading of readings) {
		const span = spanOf(reading.clock, wall, bracket, clock.isFrozen);
		assert.ok(span !== undefined, `no such clock: ${reading.clock}`);
		assert.ok(
			reading.span.from <= span.to && reading.span.to >= span.from,
			`${reading.clock} ${reading.text} under ${clock.spec}: ${reading.span.from} is not in ${span.from} .. ${span.to}`,
		);
	}
};

/** Asserts that a program ended well and said nothing on stderr. @returns what it printed */
export const cleanOutput = ({ exitCode, signal, stderr, stdout }: Finished): string => {
	assert.deepEqual({ exitCode, signal, stderr }, { exitCode: 0, signal: null, stderr: "" }, stdout);
	return stdout;
};

/** A text with every number replaced: what two runs of a program have in common. */
export const shapeOf = (text: string): string => text.replaceAll(/\d+/g, "N");
