/**
 * The environment variables of faketime, by what becomes of them here (libfaketime's README, releases 0.9.10 to 0.9.12).
 */
import { faketimeError } from "./error.ts";

export type Variables = Readonly<Record<string, string | undefined>>;

export type FaketimeSettings = {
	/** The timestamp, when no command line gives it. */
	readonly timestamp: string | undefined;
	/** Files that may hold it when FAKETIME does not, in their order; the first that exists counts. */
	readonly timestampFiles: readonly string[];
	/** How dates are written, for strptime(3). */
	readonly format: string;
	/** The file whose time of last modification "%" stands for. */
	readonly followFile: string | undefined;
	/** That time does not tick. */
	readonly followsAbsolutely: boolean;
	/** Lists of the programs that are faked, or are not, separated by commas. */
	readonly only: string | undefined;
	readonly skip: string | undefined;
	/** Variables that are set and change nothing here. */
	readonly withoutEffect: readonly string[];
	readonly warnings: readonly string[];
};

export const DEFAULT_FORMAT = "%Y-%m-%d %T";

const READ = new Set([
	"FAKETIME",
	"FAKETIME_TIMESTAMP_FILE",
	"FAKETIME_FMT",
	"FAKETIME_FOLLOW_FILE",
	"FAKETIME_FOLLOW_ABSOLUTE",
	"FAKETIME_ONLY_CMDS",
	"FAKETIME_SKIP_CMDS",
]);
/** They ask for what is so anyway: monotonic clocks and the times of files are the host's. */
const KEPT = new Set(["FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"]);
/** They work around the mechanism of preloading: caches, shared memory, start again in each process. */
const NEEDLESS = new Set([
	"FAKETIME_NO_CACHE",
	"FAKETIME_CACHE_DURATION",
	"FAKETIME_XRESET",
	"FAKETIME_DONT_RESET",
	"FAKETIME_SHARED",
	"FAKETIME_DISABLE_SHM",
	"FAKETIME_FLSHM",
	"FAKETIME_SHM_DIR",
	"FAKETIME_FORCE_MONOTONIC_FIX",
	"FAKETIME_WAIT_MS",
	"FAKETIME_IGNORE_SYMBOLS",
]);
const DEBUGGING = /^FAKETIME_DEBUG/;

const NO_TRIGGER = "a clock starts with the run and does not look at what the program does";
const NO_FILE_TIMES = "the times of files are the host's";
/** What they ask for would be missed in silence. */
const NOT_YET: ReadonlyMap<string, string> = new Map([
	["FAKETIME_START_AFTER_SECONDS", NO_TRIGGER],
	["FAKETIME_STOP_AFTER_SECONDS", NO_TRIGGER],
	["FAKETIME_START_AFTER_NUMCALLS", NO_TRIGGER],
	["FAKETIME_STOP_AFTER_NUMCALLS", NO_TRIGGER],
	["FAKETIME_SPAWN_TARGET", NO_TRIGGER],
	["FAKETIME_SPAWN_SECONDS", NO_TRIGGER],
	["FAKETIME_SPAWN_NUMCALLS", NO_TRIGGER],
	["FAKE_UTIME", NO_FILE_TIMES],
	["FAKETIME_UPDATE_TIMESTAMP_FILE", "a time that the program sets is not written back"],
	["FAKETIME_FAKEPID", "process ids are the host's"],
	["FAKERANDOM_SEED", "random numbers are the host's"],
	["FAKETIME_SAVE_FILE", "readings are not recorded"],
	["FAKETIME_LOAD_FILE", "recorded readings are not played back"],
]);

/** Names as the original takes them, by strtok(3): empty ones are none. */
const namesOf = (list: string | undefined): string | undefined =>
	list?.replace(/,+/g, ",").replace(/^,|,$/g, "") || undefined;

/** Unset, empty, or switched off. */
const isOff = (value: string | undefined): boolean => value === undefined || value === "" || value === "0";

const refuseUnserved = (variables: Variables): void => {
	for (const [name, reason] of NOT_YET) {
		if (!isOff(variables[name])) throw faketimeError(`not yet: ${name}: ${reason}; unset it`);
	}
};

const isKnown = (name: string): boolean => READ.has(name) || KEPT.has(name) || NOT_YET.has(name);
const isNeedless = (name: string): boolean => NEEDLESS.has(name) || DEBUGGING.test(name);

const warningsOf = (variables: Variables, names: readonly string[]): readonly string[] => {
	const unknown = names.filter((name) => name.startsWith("FAKETIME") && !isKnown(name) && !isNeedless(name));
	const warnings = unknown.map((name) => `${name} is no variable of faketime's and is ignored`);
	if (!/libfaketime/.test(variables["LD_PRELOAD"] ?? "")) return warnings;
	return [...warnings, "LD_PRELOAD has libfaketime, which moves the time once more: unset it"];
};

/** @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when a variable asks for what is not served. */
export const readFaketimeVariables = (variables: Variables): FaketimeSettings => {
	refuseUnserved(variables);
	const names = Object.keys(variables)
		.filter((name) => variables[name] !== undefined)
		.toSorted((left, right) => (left < right ? -1 : 1));
	const home = variables["HOME"];
	const homeFile = home === undefined ? "" : `${home}/.faketimerc`;
	const files = [variables["FAKETIME_TIMESTAMP_FILE"] ?? "", homeFile, "/etc/faketimerc"];
	return {
		timestamp: variables["FAKETIME"],
		timestampFiles: files.filter((file) => file !== ""),
		format: variables["FAKETIME_FMT"] ?? DEFAULT_FORMAT,
		followFile: variables["FAKETIME_FOLLOW_FILE"],
		followsAbsolutely: !isOff(variables["FAKETIME_FOLLOW_ABSOLUTE"]),
		only: namesOf(variables["FAKETIME_ONLY_CMDS"]),
		skip: namesOf(variables["FAKETIME_SKIP_CMDS"]),
		withoutEffect: names.filter(isNeedless),
		warnings: warningsOf(variables, names),
	};
};

/** The timestamp in such a file: its first line that is not empty and begins with neither a space nor "#" nor ";". */
export const timestampIn = (content: string): string | undefined =>
	content.split(/\r?\n/).find((line) => line !== "" && !/^[ #;]/.test(line));
