/**
 * `vsyscall faketime`, and the command line itself when a link named `faketime` starts it: the arguments and variables of
 * faketime -> a clock spec -> a run.
 */
import { spawnSync } from "node:child_process";
import { basename } from "node:path";
import { wallTime } from "../clock/clock.ts";
import { quoted } from "../clock/clock-spec-error.ts";
import type { FaketimeArguments } from "../faketime/arguments.ts";
import { faketimeError } from "../faketime/error.ts";
import { dateWarnings, type FaketimeClock, readFaketimeTimestamp } from "../faketime/timestamp.ts";
import { formatOffset } from "../faketime/number.ts";
import { type FaketimeSettings, readFaketimeVariables } from "../faketime/variables.ts";
import { checkHost } from "../linux/host-check.ts";
import { hostRealtime } from "../linux/host-vdso.ts";
import { type ClockCourse, during } from "../supervisor/clock-course.ts";
import type { ExitStatus } from "../supervisor/exit-status.ts";
import type { ProgramCommand } from "../supervisor/launch.ts";
import type { Settlement } from "../supervisor/run-clock.ts";
import { TimestampFiles } from "../supervisor/timestamp-files.ts";
import { nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { say } from "./messages.ts";
import { clockOutside, courseOf, runOn } from "./run.ts";

export const FAKETIME_HELP = `Usage: vsyscall faketime [options] TIMESTAMP PROGRAM [ARGUMENT...]
       vsyscall faketime [options] -- PROGRAM [ARGUMENT...]

starts a program, with everything that it starts, under the clock that
faketime would give it

TIMESTAMP is read by date(1), as in 'last friday 5 pm'; the clock ticks from
there. With -- in its place it comes from FAKETIME, FAKETIME_TIMESTAMP_FILE,
~/.faketimerc or /etc/faketimerc; the files are watched.

Options:
  -f                   TIMESTAMP is in faketime's own forms:
                       '@2030-01-01 00:00:00', '+30d', '-2h', '+1y i2'
  -p PID               the process id that programs are told
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

/** What the settings say of a clock, beside its timestamp. */
const sayWarnings = (request: FaketimeArguments & { kind: "run" }, settings: FaketimeSettings): void => {
	for (const warning of settings.warnings) say(warning);
	const withoutEffect = [...request.withoutEffect, ...settings.withoutEffect];
	if (withoutEffect.length > 0) say(`without effect, as nothing is preloaded: ${withoutEffect.join(", ")}`);
};

const courseOfClock = ({ spec, warnings }: FaketimeClock): ClockCourse => {
	for (const warning of warnings) say(warning);
	return courseOf(spec);
};

/** What a clock that a program has set is to be, and where it is written down. */
const settleInto =
	(path: string, files: TimestampFiles): Settlement =>
	(clock, host) => {
		const offset = nanoseconds(wallTime(clock, host) - wallTime(clockOutside(), host));
		files.write(path, formatOffset(offset));
		return { kind: "offset", offset: nanoseconds(wallTime(clock, host) - host) };
	};

/** The clock for the part of the run in which it is faked. A date is where it starts with the run, also when it is shown later. */
const spanned = (course: ClockCourse, { span }: FaketimeSettings): ClockCourse => {
	if (span === undefined) return course;
	if (span === "never") return { clock: clockOutside(), source: undefined };
	return during(span, { within: () => course, outside: clockOutside, report: say });
};

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** As system(3) gives a command to the shell. */
const shellCommand = (text: string): ProgramCommand => ({
	file: bytesOf("/bin/sh"),
	args: ["sh", "-c", text].map(bytesOf),
});

/** Runs a program as faketime would. */
export const runFaketime = (request: FaketimeArguments & { kind: "run" }): Promise<ExitStatus> => {
	checkHost();
	const settings = readFaketimeVariables(process.env, request.pid);
	const { only, skip, spawned, updatedFile } = settings;
	const inOwnForm = (text: string): ClockCourse =>
		courseOfClock(readFaketimeTimestamp(text, { ...settings, now: hostRealtime() }));
	const files = new TimestampFiles({ paths: settings.timestampFiles, courseOf: inOwnForm, report: say });
	const open = (): ClockCourse => {
		const { timestamp = settings.timestamp, dateProgram } = request;
		if (timestamp === undefined) return files.course();
		const isDate = request.timestamp !== undefined && !request.isAdvanced;
		return isDate ? courseOfClock(readDateString(timestamp, dateProgram)) : inOwnForm(timestamp);
	};
	const clock = {
		...spanned(open(), settings),
		settle: updatedFile === undefined ? undefined : settleInto(updatedFile, files),
		further: spawned && { command: shellCommand(spawned.command), moments: spawned.moments },
		pretence: settings.pretence,
	};
	sayWarnings(request, settings);
	return runOn(clock, request.command, {
		only,
		skip,
		onFailure: "refuse",
		vsyscall: "auto",
		patch: true,
		reads: "exact",
		fastEntry: "auto",
		ioUring: "host",
	});
};
