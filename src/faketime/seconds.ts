/**
 * The variables of faketime that mean something some seconds after the start.
 *
 *     FAKETIME_START_AFTER_SECONDS, FAKETIME_STOP_AFTER_SECONDS    when the time begins and ceases to be faked
 *     FAKETIME_SPAWN_SECONDS, FAKETIME_SPAWN_TARGET                when a command of the shell is started, and which
 */
import { quoted } from "../clock/clock-spec-error.ts";
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { faketimeError } from "./error.ts";
import type { Variables } from "./variables.ts";

/** The part of a run in which the time is faked; "never" when it ends before it begins. */
export type FakedSpan = { readonly after: Nanoseconds; readonly length: Nanoseconds | undefined } | "never";

export type Spawned = { readonly command: string; readonly delay: Nanoseconds };

const START = "FAKETIME_START_AFTER_SECONDS";
const STOP = "FAKETIME_STOP_AFTER_SECONDS";
const SPAWN = "FAKETIME_SPAWN_SECONDS";
const TARGET = "FAKETIME_SPAWN_TARGET";

/** Those that are read here. */
export const SECONDS_VARIABLES: readonly string[] = [START, STOP, SPAWN, TARGET];

/** -1 stands for nothing. */
const secondsOf = (variables: Variables, name: string): Nanoseconds | undefined => {
	const text = variables[name] ?? "";
	if (text === "" || text === "-1") return undefined;
	if (/^\d{1,12}$/.test(text)) return nanoseconds(BigInt(text) * NANOSECONDS_PER_SECOND);
	throw faketimeError(`${name}=${quoted(text)}: expected whole seconds after the start, or -1 for none`);
};

/**
 * Undefined when the time is faked all the time.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when a variable is no number of seconds.
 */
export const readFakedSpan = (variables: Variables): FakedSpan | undefined => {
	const [start, stop] = [secondsOf(variables, START), secondsOf(variables, STOP)];
	if (start === undefined && stop === undefined) return undefined;
	const after = start ?? nanoseconds(0n);
	if (stop === undefined) return { after, length: undefined };
	return stop <= after ? "never" : { after, length: nanoseconds(stop - after) };
};

/** @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when the variable is no number of seconds. */
export const readSpawned = (variables: Variables): Spawned | undefined => {
	const delay = secondsOf(variables, SPAWN);
	const command = variables[TARGET] ?? "";
	return delay === undefined || command === "" ? undefined : { command, delay };
};

/** What is said when they do not do what they seem to. */
export const secondsWarnings = (variables: Variables): readonly string[] => {
	const warnings: string[] = [];
	if (readFakedSpan(variables) === "never") {
		warnings.push(`${STOP}=${variables[STOP] ?? ""} is not behind the start: the time is the real one all along`);
	}
	const hasDelay = secondsOf(variables, SPAWN) !== undefined;
	if (hasDelay !== ((variables[TARGET] ?? "") !== "")) {
		warnings.push(hasDelay ? `${SPAWN} without ${TARGET} starts nothing` : `${TARGET} without ${SPAWN} starts nothing`);
	}
	return warnings;
};
