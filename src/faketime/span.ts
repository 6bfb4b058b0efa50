/**
 * The variables of faketime that mean something some seconds after the start, or at the n-th call that asks for the time.
 *
 *     FAKETIME_START_AFTER_SECONDS, …_NUMCALLS                     when the time begins to be faked
 *     FAKETIME_STOP_AFTER_SECONDS, …_NUMCALLS                      when it ceases to be
 *     FAKETIME_SPAWN_SECONDS, …_NUMCALLS, FAKETIME_SPAWN_TARGET    when a command of the shell is started, and which
 *
 * A number of calls is that of the first call which is meant: with a start at 3 two calls get the real time, and so do with a stop at 3
 * all but two (fake_clock_gettime of libfaketime 0.9.10, and what it was seen to do).
 */
import { quoted } from "../clock/clock-spec-error.ts";
import type { Moment, Span } from "../clock/span.ts";
import { nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { faketimeError } from "./error.ts";
import type { Variables } from "./variables.ts";

/** The part of a run in which the time is faked; "never" when it ends before it begins. */
export type FakedSpan = Span | "never";

export type Spawned = {
	readonly command: string;
	/** The first of them, counted from the start of the run. */
	readonly moments: readonly Moment[];
};

const SECONDS = {
	start: "FAKETIME_START_AFTER_SECONDS",
	stop: "FAKETIME_STOP_AFTER_SECONDS",
	spawn: "FAKETIME_SPAWN_SECONDS",
} as const;
const CALLS = {
	start: "FAKETIME_START_AFTER_NUMCALLS",
	stop: "FAKETIME_STOP_AFTER_NUMCALLS",
	spawn: "FAKETIME_SPAWN_NUMCALLS",
} as const;
const TARGET = "FAKETIME_SPAWN_TARGET";

/** Those that are read here. */
export const SPAN_VARIABLES: readonly string[] = [...Object.values(SECONDS), ...Object.values(CALLS), TARGET];

type Event = keyof typeof SECONDS;

/** -1 stands for nothing. */
const numberIn = (variables: Variables, name: string, meaning: string): number | undefined => {
	const text = variables[name] ?? "";
	if (text === "" || text === "-1") return undefined;
	if (/^\d{1,12}$/.test(text)) return Number(text);
	throw faketimeError(`${name}=${quoted(text)}: expected ${meaning}, or -1 for none`);
};
const secondsOf = (variables: Variables, event: Event): number | undefined =>
	numberIn(variables, SECONDS[event], "whole seconds after the start");
const callOf = (variables: Variables, event: Event): number | undefined =>
	numberIn(variables, CALLS[event], "the number of a call");

/** None when that is the start. */
const momentsOf = (variables: Variables, event: Event): readonly Moment[] => {
	const [seconds, call] = [secondsOf(variables, event) ?? 0, callOf(variables, event) ?? 0];
	return [
		...(seconds > 0 ? [{ delay: nanoseconds(BigInt(seconds) * NANOSECONDS_PER_SECOND) }] : []),
		...(call > 1 ? [{ reads: call - 1 }] : []),
	];
};

/** The stop that is not behind the start, if one is. */
const idleStop = (variables: Variables): string | undefined => {
	const [startSecond, stopSecond] = [secondsOf(variables, "start") ?? 0, secondsOf(variables, "stop")];
	if (stopSecond !== undefined && stopSecond <= startSecond) return SECONDS.stop;
	const [startCall, stopCall] = [callOf(variables, "start") ?? 1, callOf(variables, "stop")];
	return stopCall !== undefined && stopCall <= Math.max(startCall, 1) ? CALLS.stop : undefined;
};

/**
 * Undefined when the time is faked all the time.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when a variable is no such number.
 */
export const readFakedSpan = (variables: Variables): FakedSpan | undefined => {
	if (idleStop(variables) !== undefined) return "never";
	const [begins, ends] = [momentsOf(variables, "start"), momentsOf(variables, "stop")];
	return begins.length === 0 && ends.length === 0 ? undefined : { begins, ends };
};

/** Whether the n-th call is one that starts the command: the original does not look when it does not fake the time. */
const isSpawnSeen = (variables: Variables, call: number): boolean =>
	call >= (callOf(variables, "start") ?? 0) && call < (callOf(variables, "stop") ?? Infinity);

/** @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when a variable is no such number. */
export const readSpawned = (variables: Variables): Spawned | undefined => {
	const [seconds, call] = [secondsOf(variables, "spawn"), callOf(variables, "spawn")];
	const moments = [
		...(seconds === undefined ? [] : [{ delay: nanoseconds(BigInt(seconds) * NANOSECONDS_PER_SECOND) }]),
		...(call === undefined || !isSpawnSeen(variables, call) ? [] : [{ reads: Math.max(call - 1, 0) }]),
	];
	const command = variables[TARGET] ?? "";
	return moments.length === 0 || command === "" ? undefined : { command, moments };
};

const spawnWarnings = (variables: Variables): readonly string[] => {
	const call = callOf(variables, "spawn");
	const given = [secondsOf(variables, "spawn") ?? [], call ?? []].flat();
	const hasTarget = (variables[TARGET] ?? "") !== "";
	if (given.length === 0) {
		return hasTarget ? [`${TARGET} without ${SECONDS.spawn} or ${CALLS.spawn} starts nothing`] : [];
	}
	if (!hasTarget) {
		return [`${call === undefined ? SECONDS.spawn : CALLS.spawn} without ${TARGET} starts nothing`];
	}
	return call === undefined || isSpawnSeen(variables, call)
		? []
		: [`${CALLS.spawn}=${call} is a call whose time is the real one: nothing is started there`];
};

/** What is said when they do not do what they seem to. */
export const spanWarnings = (variables: Variables): readonly string[] => {
	const warnings: string[] = [];
	const stop = idleStop(variables);
	if (stop !== undefined) {
		warnings.push(`${stop}=${variables[stop] ?? ""} is not behind the start: the time is the real one all along`);
	}
	warnings.push(...spawnWarnings(variables));
	const counted = Object.values(CALLS).filter((name) => numberIn(variables, name, "") !== undefined);
	if (counted.length > 0) {
		warnings.push(
			`${counted.join(", ")}: reads of the wall clock are counted, by all processes of the run together; the original counts in each process, and calls for other clocks too`,
		);
	}
	return warnings;
};
