/** faketime's command line and variables. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FaketimeArguments, readFaketimeArguments } from "../../src/faketime/arguments.ts";
import { type FaketimeSettings, readFaketimeVariables, timestampIn } from "../../src/faketime/variables.ts";
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND } from "../../src/units.ts";

const run = (given: Partial<FaketimeArguments & { kind: "run" }>): FaketimeArguments => ({
	kind: "run",
	timestamp: "T",
	isAdvanced: false,
	dateProgram: "date",
	pid: undefined,
	command: ["prog"],
	withoutEffect: [],
	...given,
});

const rows: readonly (readonly [name: string, args: string, expected: FaketimeArguments])[] = [
	["a timestamp and a program", "T prog", run({})],
	["arguments of the program", "T prog -f -m --help", run({ command: ["prog", "-f", "-m", "--help"] })],
	["the advanced forms", "-f +1d prog", run({ timestamp: "+1d", isAdvanced: true })],
	["an offset back is no option", "-f -15d prog", run({ timestamp: "-15d", isAdvanced: true })],
	["a program that reads dates", "--date-prog gdate T prog", run({ dateProgram: "gdate" })],
	["what asks for the monotonic clocks to be real", "--exclude-monotonic T prog", run({})],
	["options without effect", "-m --disable-shm T prog", run({ withoutEffect: ["-m", "--disable-shm"] })],
	["another process id", "-p 12 T prog", run({ pid: "12" })],
	["-- before the program", "T -- prog", run({})],
	["-- in the place of the timestamp", "-- prog", run({ timestamp: undefined })],
	["-- in the place of the timestamp, once", "-- -- prog", run({ timestamp: undefined, command: ["--", "prog"] })],
	["help", "-h", { kind: "help" }],
	["help in full, behind options", "-m --help", { kind: "help" }],
	["the version", "-v", { kind: "version" }],
	["the version in full", "--version", { kind: "version" }],
];

for (const [name, args, expected] of rows) {
	test(`faketime's arguments: ${name} (${args})`, () => {
		assert.deepEqual(readFaketimeArguments(args.split(" ")), expected);
	});
}

const refusals: readonly (readonly [name: string, args: readonly string[], message: RegExp])[] = [
	["nothing", [], /^there is no timestamp: expected \[OPTIONS\] TIMESTAMP PROGRAM/],
	["options alone", ["-f"], /^there is no timestamp/],
	["no program", ["T"], /^there is no program: expected/],
	["no program behind --", ["T", "--"], /^there is no program: expected/],
	["no program without a timestamp", ["--"], /^there is no program: expected/],
	["an unknown option", ["-z", "T", "prog"], /^unknown option "-z": expected/],
	["an unknown long option", ["--rate", "T", "prog"], /^unknown option "--rate": expected/],
	["a process id that is missing", ["-p"], /^-p needs the id of a process$/],
	["a date program that is missing", ["--date-prog"], /^--date-prog needs the path of a program/],
];

for (const [name, args, message] of refusals) {
	test(`faketime's arguments: ${name} is refused (${args.join(" ")})`, () => {
		assert.throws(() => readFaketimeArguments(args), { code: "ERR_VSYSCALL_FAKETIME", message });
	});
}

const seconds = (count: bigint): Nanoseconds => nanoseconds(count * NANOSECONDS_PER_SECOND);

const counted = (...events: readonly string[]): string =>
	`${events.map((event) => `FAKETIME_${event}_NUMCALLS`).join(", ")}: reads of the wall clock are counted, by all processes of the run together; the original counts in each process, and calls for other clocks too`;

const settings = (given: Partial<FaketimeSettings>): FaketimeSettings => ({
	timestamp: undefined,
	timestampFiles: ["/etc/faketimerc"],
	format: "%Y-%m-%d %T",
	followFile: undefined,
	followsAbsolutely: false,
	only: undefined,
	skip: undefined,
	span: undefined,
	spawned: undefined,
	pretence: undefined,
	updatedFile: undefined,
	withoutEffect: [],
	warnings: [],
	...given,
});

const variableRows: readonly (readonly [name: string, Record<string, string>, Partial<FaketimeSettings>])[] = [
	["none", {}, {}],
	["others", { PATH: "/bin", TZ: "UTC" }, {}],
	["FAKETIME", { FAKETIME: "+1d" }, { timestamp: "+1d" }],
	["an empty FAKETIME", { FAKETIME: "" }, { timestamp: "" }],
	[
		"files, in their order",
		{ FAKETIME_TIMESTAMP_FILE: "/t", HOME: "/home/u" },
		{ timestampFiles: ["/t", "/home/u/.faketimerc", "/etc/faketimerc"] },
	],
	["FAKETIME_FMT", { FAKETIME_FMT: "%s" }, { format: "%s" }],
	["FAKETIME_FOLLOW_FILE", { FAKETIME_FOLLOW_FILE: "/f" }, { followFile: "/f" }],
	["FAKETIME_FOLLOW_ABSOLUTE", { FAKETIME_FOLLOW_ABSOLUTE: "1" }, { followsAbsolutely: true }],
	["FAKETIME_FOLLOW_ABSOLUTE, off", { FAKETIME_FOLLOW_ABSOLUTE: "0" }, {}],
	["FAKETIME_ONLY_CMDS", { FAKETIME_ONLY_CMDS: "javadoc,ctags" }, { only: "javadoc,ctags" }],
	["FAKETIME_SKIP_CMDS, with empty names", { FAKETIME_SKIP_CMDS: ",a,,b," }, { skip: "a,b" }],
	["a list of no names", { FAKETIME_ONLY_CMDS: "," }, {}],
	[
		"those that ask for what is so",
		{ FAKETIME_DONT_FAKE_MONOTONIC: "1", DONT_FAKE_MONOTONIC: "1", NO_FAKE_STAT: "1" },
		{},
	],
	[
		"those without effect, by name",
		{ FAKETIME_SHARED: "x", FAKETIME_NO_CACHE: "1", FAKETIME_DEBUG: "1", FAKETIME_DONT_RESET: "1" },
		{ withoutEffect: ["FAKETIME_DEBUG", "FAKETIME_DONT_RESET", "FAKETIME_NO_CACHE", "FAKETIME_SHARED"] },
	],
	[
		"those that are off",
		{ FAKERANDOM_SEED: "", FAKE_UTIME: "0", FAKETIME_START_AFTER_NUMCALLS: "-1", FAKETIME_UPDATE_TIMESTAMP_FILE: "0" },
		{},
	],
	["a start", { FAKETIME_START_AFTER_SECONDS: "60" }, { span: { begins: [{ delay: seconds(60n) }], ends: [] } }],
	["a stop", { FAKETIME_STOP_AFTER_SECONDS: "300" }, { span: { begins: [], ends: [{ delay: seconds(300n) }] } }],
	[
		"a start and a stop, both counted from the start of the program",
		{ FAKETIME_START_AFTER_SECONDS: "60", FAKETIME_STOP_AFTER_SECONDS: "300" },
		{ span: { begins: [{ delay: seconds(60n) }], ends: [{ delay: seconds(300n) }] } },
	],
	["-1 for neither", { FAKETIME_START_AFTER_SECONDS: "-1", FAKETIME_STOP_AFTER_SECONDS: "-1" }, {}],
	[
		"a stop that is not behind the start",
		{ FAKETIME_START_AFTER_SECONDS: "5", FAKETIME_STOP_AFTER_SECONDS: "5" },
		{
			span: "never",
			warnings: ["FAKETIME_STOP_AFTER_SECONDS=5 is not behind the start: the time is the real one all along"],
		},
	],
	[
		"the first call that is faked, and the first that is not any more",
		{ FAKETIME_START_AFTER_NUMCALLS: "3", FAKETIME_STOP_AFTER_NUMCALLS: "10" },
		{ span: { begins: [{ reads: 2 }], ends: [{ reads: 9 }] }, warnings: [counted("START_AFTER", "STOP_AFTER")] },
	],
	["the first call of all", { FAKETIME_START_AFTER_NUMCALLS: "1" }, { warnings: [counted("START_AFTER")] }],
	[
		"a call and seconds",
		{ FAKETIME_START_AFTER_NUMCALLS: "3", FAKETIME_START_AFTER_SECONDS: "5", FAKETIME_STOP_AFTER_NUMCALLS: "-1" },
		{
			span: { begins: [{ delay: seconds(5n) }, { reads: 2 }], ends: [] },
			warnings: [counted("START_AFTER")],
		},
	],
	[
		"a stop at the first call",
		{ FAKETIME_STOP_AFTER_NUMCALLS: "0" },
		{
			span: "never",
			warnings: [
				"FAKETIME_STOP_AFTER_NUMCALLS=0 is not behind the start: the time is the real one all along",
				counted("STOP_AFTER"),
			],
		},
	],
	[
		"a program that is started at a call",
		{ FAKETIME_SPAWN_TARGET: "true", FAKETIME_SPAWN_NUMCALLS: "3", FAKETIME_SPAWN_SECONDS: "5" },
		{ spawned: { command: "true", moments: [{ delay: seconds(5n) }, { reads: 2 }] }, warnings: [counted("SPAWN")] },
	],
	[
		"a program that is started at a call which is not faked",
		{ FAKETIME_SPAWN_TARGET: "true", FAKETIME_SPAWN_NUMCALLS: "2", FAKETIME_START_AFTER_NUMCALLS: "3" },
		{
			span: { begins: [{ reads: 2 }], ends: [] },
			warnings: [
				"FAKETIME_SPAWN_NUMCALLS=2 is a call whose time is the real one: nothing is started there",
				counted("START_AFTER", "SPAWN"),
			],
		},
	],
	[
		"a program that is started later",
		{ FAKETIME_SPAWN_TARGET: "echo 'a b'", FAKETIME_SPAWN_SECONDS: "5" },
		{ spawned: { command: "echo 'a b'", moments: [{ delay: seconds(5n) }] } },
	],
	[
		"a program without its time",
		{ FAKETIME_SPAWN_TARGET: "echo" },
		{ warnings: ["FAKETIME_SPAWN_TARGET without FAKETIME_SPAWN_SECONDS or FAKETIME_SPAWN_NUMCALLS starts nothing"] },
	],
	[
		"the time of a program without the program",
		{ FAKETIME_SPAWN_SECONDS: "0" },
		{ warnings: ["FAKETIME_SPAWN_SECONDS without FAKETIME_SPAWN_TARGET starts nothing"] },
	],
	["another process id", { FAKETIME_FAKEPID: "0x20" }, { pretence: { fileTimes: false, pid: 32, seed: undefined } }],
	["an empty one", { FAKETIME_FAKEPID: "" }, {}],
	["a seed", { FAKERANDOM_SEED: "0x1F" }, { pretence: { fileTimes: false, pid: undefined, seed: 31n } }],
	[
		"a seed that is too large",
		{ FAKERANDOM_SEED: "0xffffffffffffffff" },
		{
			pretence: { fileTimes: false, pid: undefined, seed: 2n ** 63n - 1n },
			warnings: [
				"FAKERANDOM_SEED=0xffffffffffffffff is out of the range of 64 bits with a sign, and taken for 9223372036854775807",
			],
		},
	],
	[
		"a seed of nothing",
		{ FAKERANDOM_SEED: "0" },
		{
			pretence: { fileTimes: false, pid: undefined, seed: 0n },
			warnings: ["FAKERANDOM_SEED=0 gives nothing but zeros"],
		},
	],
	[
		"times of files",
		{ FAKE_UTIME: "1", NO_FAKE_STAT: "1" },
		{ pretence: { fileTimes: true, pid: undefined, seed: undefined } },
	],
	[
		"a timestamp file that is kept up",
		{ FAKETIME_UPDATE_TIMESTAMP_FILE: "1", FAKETIME_TIMESTAMP_FILE: "/t" },
		{ timestampFiles: ["/t", "/etc/faketimerc"], updatedFile: "/t" },
	],
	[
		"one that is misspelt",
		{ FAKETIME_FORMAT: "%s" },
		{ warnings: ["FAKETIME_FORMAT is no variable of faketime's and is ignored"] },
	],
	[
		"the library",
		{ LD_PRELOAD: "/usr/lib/faketime/libfaketime.so.1" },
		{ warnings: ["LD_PRELOAD has libfaketime, which moves the time once more: unset it"] },
	],
];

for (const [name, variables, expected] of variableRows) {
	test(`faketime's variables: ${name}`, () => {
		assert.deepEqual(readFaketimeVariables(variables), settings(expected));
	});
}

const REFUSED = ["FAKETIME_SAVE_FILE", "FAKETIME_LOAD_FILE"];

for (const name of REFUSED) {
	test(`faketime's variables: ${name} is refused`, () => {
		const message = new RegExp(`^${name} is not served: .*; unset it$`);
		assert.throws(() => readFaketimeVariables({ [name]: "1" }), { code: "ERR_VSYSCALL_FAKETIME", message });
	});
}

const faults: readonly (readonly [name: string, Record<string, string>, message: RegExp])[] = [
	[
		"a word for a call",
		{ FAKETIME_STOP_AFTER_NUMCALLS: "few" },
		/^FAKETIME_STOP_AFTER_NUMCALLS="few": expected the number of a call, or -1 for none$/,
	],
	[
		"a fraction of a second",
		{ FAKETIME_START_AFTER_SECONDS: "1.5" },
		/^FAKETIME_START_AFTER_SECONDS="1\.5": expected whole seconds after the start, or -1 for none$/,
	],
	["a word", { FAKETIME_STOP_AFTER_SECONDS: "soon" }, /^FAKETIME_STOP_AFTER_SECONDS="soon": expected whole seconds/],
	[
		"seconds before the start",
		{ FAKETIME_SPAWN_SECONDS: "-2" },
		/^FAKETIME_SPAWN_SECONDS="-2": expected whole seconds/,
	],
	[
		"a process id that is none",
		{ FAKETIME_FAKEPID: "self" },
		/^FAKETIME_FAKEPID="self": expected the id of a process, from 1 to 2147483647$/,
	],
	[
		"a seed that is no number",
		{ FAKERANDOM_SEED: "42x" },
		/^FAKERANDOM_SEED="42x": expected a whole number of 64 bits/,
	],
	["a process id of no process", { FAKETIME_FAKEPID: "0" }, /^FAKETIME_FAKEPID="0": expected the id of a process/],
	[
		"a file to keep up that has no name",
		{ FAKETIME_UPDATE_TIMESTAMP_FILE: "1" },
		/^FAKETIME_UPDATE_TIMESTAMP_FILE needs the name of the file in FAKETIME_TIMESTAMP_FILE$/,
	],
];

for (const [name, variables, message] of faults) {
	test(`faketime's variables: ${name} is refused`, () => {
		assert.throws(() => readFaketimeVariables(variables), { code: "ERR_VSYSCALL_FAKETIME", message });
	});
}

const NEEDLESS = [
	"FAKETIME_NO_CACHE FAKETIME_CACHE_DURATION FAKETIME_XRESET FAKETIME_DONT_RESET FAKETIME_SHARED FAKETIME_DISABLE_SHM",
	"FAKETIME_FLSHM FAKETIME_SHM_DIR FAKETIME_FORCE_MONOTONIC_FIX FAKETIME_WAIT_MS FAKETIME_IGNORE_SYMBOLS",
].flatMap((names) => names.split(" "));

for (const name of NEEDLESS) {
	test(`faketime's variables: ${name} is without effect`, () => {
		assert.deepEqual(readFaketimeVariables({ [name]: "1" }).withoutEffect, [name]);
	});
}

const fileRows: readonly (readonly [name: string, content: string, expected: string | undefined])[] = [
	["the first line", "+1d\n+2d\n", "+1d"],
	["behind comments, empty and indented lines", "# a\n; b\n\n +9d\n+2d x1\n", "+2d x1"],
	["with ends of lines as on Windows", "+1d\r\n", "+1d"],
	["nowhere", "# a\n", undefined],
];

for (const [name, content, expected] of fileRows) {
	test(`a file of faketime's has its timestamp: ${name}`, () => assert.equal(timestampIn(content), expected));
}
