/**
 * The environment variables of faketime, by what becomes of them here (libfaketime's README, releases 0.9.10 to 0.9.12).
 */
import { faketimeError } from "./error.ts";
import type { Pretence } from "../syscalls/pretence.ts";
import { PRETENCE_VARIABLES, pretenceWarnings, readPretence } from "./pretence.ts";
import { type FakedSpan, readFakedSpan, readSpawned, SPAN_VARIABLES, type Spawned, spanWarnings } from "./span.ts";

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
	/** The part of the run in which the time is faked; undefined for all of it. */
	readonly span: FakedSpan | undefined;
	/** A command of the shell that is started once. */
	readonly spawned: Spawned | undefined;
	/** What programs are told beside the time; undefined for nothing. */
	readonly pretence: Pretence | undefined;
	/** The timestamp file that is kept up with a clock which programs set. */
	readonly updatedFile: string | undefined;
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
	"FAKETIME_UPDATE_TIMESTAMP_FILE",
	...SPAN_VARIABLES,
	...PRETENCE_VARIABLES,
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

/** What they ask for would be missed in silence, so they are refused. */
const REFUSED: ReadonlyMap<string, string> = new Map([
	["FAKETIME_SAVE_FILE", "readings are not recorded"],
	["FAKETIME_LOAD_FILE", "recorded readings are not played back"],
]);

/** Names as the original takes them, by strtok(3): empty ones are none. */
const namesOf = (list: string | undefined): string | undefined =>
	list?.replace(/,+/g, ",").replace(/^,|,$/g, "") || undefined;

/** Unset, empty, or switched off. */
const isOff = (value: string | undefined): boolean => value === undefined || value === "" || value === "0";

const refuseUnserved = (variables: Variables): void => {
	for (const [name, reason] of REFUSED) {
		if (!isOff(variables[name])) throw faketimeError(`${name} is not served: ${reason}; unset it`);
	}
};

const updatedFile = (variables: Variables): string | undefined => {
	if (isOff(variables["FAKETIME_UPDATE_TIMESTAMP_FILE"])) return undefined;
	const file = variables["FAKETIME_TIMESTAMP_FILE"] ?? "";
	if (file !== "") return file;
	throw faketimeError("FAKETIME_UPDATE_TIMESTAMP_FILE needs the name of the file in FAKETIME_TIMESTAMP_FILE");
};

const isKnown = (name: string): boolean => READ.has(name) || KEPT.has(name) || REFUSED.has(name);
const isNeedless = (name: string): boolean => NEEDLESS.has(name) || DEBUGGING.test(name);

const warningsOf = (variables: Variables, names: readonly string[]): readonly string[] => {
	const unknown = names.filter((name) => name.startsWith("FAKETIME") && !isKnown(name) && !isNeedless(name));
	const warnings = [
		...unknown.map((name) => `${name} is no variable of faketime's and is ignored`),
		...spanWarnings(variables),
		...pretenceWarnings(variables),
	];
	if (!/libfaketime/.test(variables["LD_PRELOAD"] ?? "")) return warnings;
	return [...warnings, "LD_PRELOAD has libfaketime, which moves the time once more: unset it"];
};

/**
 * @param pid the process id that an option gives
 * @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when a variable asks for what is not served.
 */
export const readFaketimeVariables = (variables: Variables, pid?: string): FaketimeSettings => {
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
		span: readFakedSpan(variables),
		spawned: readSpawned(variables),
		pretence: readPretence(variables, pid),
		updatedFile: updatedFile(variables),
		withoutEffect: names.filter(isNeedless),
		warnings: warningsOf(variables, names),
	};
};

/** The timestamp in such a file: its first line that is not empty and begins with neither a space nor "#" nor ";". */
export const timestampIn = (content: string): string | undefined =>
	content.split(/\r?\n/).find((line) => line !== "" && !/^[ #;]/.test(line));
