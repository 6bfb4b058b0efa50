/** `vsyscall faketime` on real programs, with the original as the oracle. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { has } from "../helpers/requirements.ts";
import { CLI, native, runCommand, type RunSettings, vsyscall } from "../helpers/vsyscall.ts";

const SECOND = 1_000_000_000n;
const DATE = ["date", "+%s%N"] as const;

const directory = mkdtempSync(join(tmpdir(), "vsyscall-faketime-"));
after(() => rmSync(directory, { recursive: true }));
/** No timestamp file of the user's. */
const HOME = { HOME: directory };

/** The original would move the time once more if it were found in the environment. */
const settings = (env: Readonly<Record<string, string>> = {}): RunSettings => ({ env: { ...HOME, ...env } });

/** [what it is, arguments, variables, does it stand?] */
type Row = readonly [name: string, args: readonly string[], env?: Readonly<Record<string, string>>, stands?: "stands"];

const rows: readonly Row[] = [
	["a date for date(1)", ["2008-12-24 08:15:42"]],
	["a date for date(1) in words", ["last friday 5 pm"]],
	["a date for date(1) in local time", ["2026-07-01 12:00"], { TZ: "Europe/Paris" }],
	["a distance for date(1)", ["2 days ago"]],
	["a date that stands", ["-f", "2020-12-24 20:30:00"], {}, "stands"],
	[
		"a date that stands, with a fraction, in local time",
		["-f", "2026-07-01 12:00:00.5"],
		{ TZ: "Europe/Paris" },
		"stands",
	],
	["a date that ticks", ["-f", "@2020-12-24 20:30:00"]],
	["a date with short numbers", ["-f", "2020-1-4 2:3:0"], {}, "stands"],
	["seconds", ["-f", "-120"]],
	["hours with a fraction", ["-f", "+1.5h"]],
	["years of 365 days", ["-f", "-20y"]],
	["two units", ["-f", "+2h30m"]],
	["two units without m", ["-f", "+1d2h"]],
	["two offsets", ["-f", "+1d+2h"]],
	["a week", ["-f", "+1w"]],
	["a month", ["-f", "+1 month"]],
	["seconds in full", ["-f", "+5 seconds"]],
	["a step of 0", ["-f", "@2020-12-24 20:30:00 i0"], {}, "stands"],
	["nothing", ["-f", ""]],
	["a format", ["-f", "1663468944.5"], { FAKETIME_FMT: "%s" }, "stands"],
	["a format with the name of a month", ["-f", "@24 Dec 2020 20:30"], { FAKETIME_FMT: "%d %b %Y %H:%M" }],
];

const nanosecondsOf = ({ stdout, stderr }: { stdout: string; stderr: string }): bigint => {
	assert.match(stdout, /^-?\d+\n$/, stderr);
	return BigInt(stdout.trim());
};

describe("the time of faketime and ours are the same", () => {
	for (const [name, args, env, stands] of rows) {
		test(`${name}: ${args.join(" ")}`, async (t) => {
			if (!has(t, "faketime")) return;
			const begin = process.hrtime.bigint();
			const theirs = nanosecondsOf(await native(["faketime", ...args, ...DATE], settings(env)));
			const ours = nanosecondsOf(await vsyscall(["faketime", ...args, ...DATE], settings(env)));
			const distance = ours < theirs ? theirs - ours : ours - theirs;
			// The original asks date(1) for whole seconds.
			const rounding = args.length === 1 ? SECOND : 0n;
			const passed = process.hrtime.bigint() - begin;
			assert.ok(distance <= (stands === undefined ? passed + rounding : 0n), `${theirs} and ${ours}`);
		});
	}
});

const FAR: Readonly<Record<string, string>> = { FAKETIME: "@2040-06-01 00:00:00" };
const year = async (command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> =>
	(await runCommand(command, settings(env))).stdout.trim();

test("a link named faketime is faketime", async () => {
	const link = join(directory, "faketime");
	symlinkSync(CLI, link);
	assert.equal(await year([link, "-f", "@2040-06-01 00:00:00", "date", "+%Y"]), "2040");
	assert.equal(await year([link, "2040-06-01", "date", "+%Y"]), "2040");
	assert.match(await year([link, "--version"]), /^vsyscall \d/);
	assert.match(await year([link, "--help"]), /^Usage: vsyscall faketime /);
});

test("a static program is on the clock too", async (t) => {
	if (!has(t, "busybox")) return;
	assert.equal((await vsyscall(["faketime", "2040-06-01", "busybox", "date", "+%Y"], settings())).stdout, "2040\n");
});

const yearOf = (env: Readonly<Record<string, string>>): Promise<string> =>
	year([process.execPath, CLI, "faketime", "--", "date", "+%Y"], env);

test("the timestamp comes from FAKETIME, then from files, then it is real time", async () => {
	const file = join(directory, "stamp");
	writeFileSync(file, "# a comment\n@2041-06-01 00:00:00\n");
	writeFileSync(join(directory, ".faketimerc"), "@2042-06-01 00:00:00\n");
	assert.equal(await yearOf({ ...FAR, FAKETIME_TIMESTAMP_FILE: file }), "2040");
	assert.equal(await yearOf({ FAKETIME_TIMESTAMP_FILE: file }), "2041");
	assert.equal(await yearOf({ FAKETIME_TIMESTAMP_FILE: join(directory, "none") }), "2042");
	rmSync(join(directory, ".faketimerc"));
	const real = [String(new Date().getUTCFullYear()), await yearOf({}), String(new Date().getUTCFullYear())];
	assert.ok(new Set(real).size <= 2 && (real[1] === real[0] || real[1] === real[2]));
});

test("the arguments and the exit status of the program are its own", async () => {
	const { exitCode, stdout } = await vsyscall(
		["faketime", "-f", "+1d", "sh", "-c", 'echo "$@"; exit 7', "sh", "-f", "--help", "--"],
		settings(),
	);
	assert.deepEqual([exitCode, stdout], [7, "-f --help --\n"]);
});

const lines: readonly (readonly [
	name: string,
	args: readonly string[],
	exitCode: number,
	stderr: string,
	env?: Readonly<Record<string, string>>,
])[] = [
	[
		"two units",
		["-f", "+2h30m", "true"],
		0,
		'vsyscall: faketime reads "+2h30m" as +2m; by the calendar it is vsyscall run --clock +2h30m\n',
	],
	[
		"variables that do nothing",
		["-m", "-f", "+1d", "true"],
		0,
		"vsyscall: without effect, as nothing is preloaded: -m, FAKETIME_NO_CACHE\n",
		{ FAKETIME_NO_CACHE: "1" },
	],
	[
		"a rate",
		["-f", "+1d x2", "true"],
		125,
		"vsyscall: not yet: the rate x2 moves sleeps and timeouts too, and waits do not follow the clock yet\n",
	],
	[
		"an offset for date(1)",
		["+15d", "true"],
		125,
		`vsyscall: faketime timestamp "+15d": date: invalid date '+15d'; without -f the timestamp "+15d" is read by date(1): put -f in front of it for faketime's own forms\n`,
	],
	[
		"a date program that does not exist",
		["--date-prog", "/nonexistent", "now", "true"],
		125,
		'vsyscall: "/nonexistent" cannot be started: spawnSync /nonexistent ENOENT; name GNU date with --date-prog\n',
	],
	[
		"a date program that is none",
		["--date-prog", "true", "now", "true"],
		125,
		'vsyscall: faketime timestamp "now": true does not answer as GNU date\n',
	],
	[
		"no program",
		["-f", "+1d"],
		125,
		"vsyscall: there is no program: expected [OPTIONS] TIMESTAMP PROGRAM [ARGUMENT...], for example faketime -f '+30d' date\n",
	],
	["a program that is not there", ["-f", "+1d", "/nonexistent"], 127, "vsyscall: /nonexistent was not found\n"],
];

for (const [name, args, exitCode, stderr, env] of lines) {
	test(`what faketime says: ${name}`, async () => {
		const finished = await vsyscall(["faketime", ...args], settings(env));
		assert.deepEqual([finished.exitCode, finished.stderr], [exitCode, stderr]);
	});
}

test("the programs that are faked are chosen by variables", async (t) => {
	if (!has(t, "faketime")) return;
	const command = ["-f", "@2040-06-01 00:00:00", "bash", "-c", "printf '%(%Y)T\\n' -1; date +%Y"] as const;
	for (const env of [{ FAKETIME_ONLY_CMDS: "date" }, { FAKETIME_SKIP_CMDS: "cat,date" }]) {
		const theirs = await native(["faketime", ...command], settings(env));
		assert.equal((await vsyscall(["faketime", ...command], settings(env))).stdout, theirs.stdout);
	}
	const both = settings({ FAKETIME_ONLY_CMDS: "a", FAKETIME_SKIP_CMDS: "b" });
	assert.equal((await vsyscall(["faketime", ...command], both)).exitCode, 125);
});
