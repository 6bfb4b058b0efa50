/**
 * `vsyscall faketime`, and the command line itself when a link named `faketime` starts it: the arguments and variables of
 * faketime -> a clock spec -> a run.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { type ClockSpec, formatClockSpec } from "../clock/spec.ts";
import { quoted } from "../clock/clock-spec-error.ts";
import type { FaketimeArguments } from "../faketime/arguments.ts";
import { faketimeError } from "../faketime/error.ts";
import { dateWarnings, type FaketimeClock, readFaketimeTimestamp } from "../faketime/timestamp.ts";
import { type FaketimeSettings, readFaketimeVariables, timestampIn } from "../faketime/variables.ts";
import { hostRealtime } from "../linux/host-vdso.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import { nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { say } from "./messages.ts";
import { runProgram } from "./run.ts";

export const FAKETIME_HELP = `Usage: vsyscall faketime [options] TIMESTAMP PROGRAM [ARGUMENT...]
       vsyscall faketime [options] -- PROGRAM [ARGUMENT...]

starts a program, with everything that it starts, under the clock that
faketime would give it

TIMESTAMP is read by date(1), as in 'last friday 5 pm'; the clock ticks from
there. With -- in its place it comes from FAKETIME, FAKETIME_TIMESTAMP_FILE,
~/.faketimerc or /etc/faketimerc.

Options:
  -f                   TIMESTAMP is in faketime's own forms:
                       '@2030-01-01 00:00:00', '+30d', '-2h', '+1y i2'
  --date-prog PATH     a program that reads dates as GNU date does
  -m, --disable-shm, --exclude-monotonic
                       accepted; nothing here depends on them
  -v, --version        the version
  -h, --help           this text

Examples:
  vsyscall faketime 'last friday 5 pm' date
  vsyscall faketime -f +30d ./program
`;

/** The arguments of faketime, or undefined when something else is asked for. @param argv as process.argv */
export const faketimeCommandLine = (argv: readonly string[]): readonly string[] | undefined => {
	const [, script = "", ...args] = argv;
	if (basename(script) === "faketime") return args;
	return args[0] === "faketime" ? args.slice(1) : undefined;
};

/** What `date -d TIMESTAMP` says, as faketime asks it. */
const readDateString = (text: string, dateProgram: string): FaketimeClock => {
	const { status, stdout, stderr, error } = spawnSync(dateProgram, ["-d", text, "+%s %N"], { encoding: "utf8" });
	if (error !== undefined) {
		const reason = `${quoted(dateProgram)} cannot be started: ${error.message}; name GNU date with --date-prog`;
		throw faketimeError(reason, { cause: error });
	}
	const [, seconds, rest] = /^(-?\d+) (\d{9})\s*$/.exec(stdout) ?? [];
	if (status !== 0 || seconds === undefined || rest === undefined) {
		const said = (stderr.split("\n")[0] ?? "").trim() || `${dateProgram} does not answer as GNU date`;
		throw faketimeError([`faketime timestamp ${quoted(text)}: ${said}`, ...dateWarnings(text)].join("; "));
	}
	// %N counts forward from %s, before 1970 too.
	const at = nanoseconds(BigInt(seconds) * NANOSECONDS_PER_SECOND + BigInt(rest));
	const base = { kind: "start", time: { kind: "instant", at } } as const;
	return { spec: { kind: "clock", base, motion: { kind: "ticking" } }, warnings: dateWarnings(text) };
};

const readIfThere = (file: string): string | undefined => {
	try {
		return readFileSync(file, "utf8");
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === "ENOENT" || code === "ENOTDIR") return undefined;
		throw faketimeError(`${quoted(file)} cannot be read (${code ?? String(error)})`, { cause: error });
	}
};

/** The timestamp of the first source that there is; an empty one, real time, when there is none. */
const timestampFromSources = (settings: FaketimeSettings): string => {
	if (settings.timestamp !== undefined) return settings.timestamp;
	for (const file of settings.timestampFiles) {
		const content = readIfThere(file);
		if (content === undefined) continue;
		say(`${quoted(file)} is read once, at the start: a change of it does not change the clock`);
		return timestampIn(content) ?? "";
	}
	return "";
};

const clockOf = (request: FaketimeArguments & { kind: "run" }, settings: FaketimeSettings): ClockSpec => {
	const { timestamp, isAdvanced, dateProgram } = request;
	const isDate = timestamp !== undefined && !isAdvanced;
	const { spec, warnings } = isDate
		? readDateString(timestamp, dateProgram)
		: readFaketimeTimestamp(timestamp ?? timestampFromSources(settings), { ...settings, now: hostRealtime() });
	for (const warning of [...settings.warnings, ...warnings]) say(warning);
	const withoutEffect = [...request.withoutEffect, ...settings.withoutEffect];
	if (withoutEffect.length > 0) say(`without effect, as nothing is preloaded: ${withoutEffect.join(", ")}`);
	return spec;
};

/** Runs a program as faketime would. */
export const runFaketime = (request: FaketimeArguments & { kind: "run" }): Promise<ExitStatus> => {
	const settings = readFaketimeVariables(process.env);
	const clock = formatClockSpec(clockOf(request, settings));
	const { only, skip } = settings;
	return runProgram(request.command, {
		clock,
		only,
		skip,
		onFailure: "refuse",
		vsyscall: "auto",
		patch: true,
		reads: "exact",
	});
};
