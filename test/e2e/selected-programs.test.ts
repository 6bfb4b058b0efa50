/** `--only` and `--skip`: which programs of a run are on its clock. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { probeHostVsyscall } from "../../src/linux/host-vsyscall.ts";
import { parseSelection } from "../../src/supervisor/selection.ts";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { native, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 60_000 };
const CLOCK = "@2001-02-03T04:05:06Z frozen";
/** What a program prints that is on the clock. */
const MEANT = "2001";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-selected-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const script = (name: string): string => {
	const path = join(directory, name);
	writeFileSync(path, "#!/bin/bash\nprintf '%(%Y)T\\n' -1\n");
	chmodSync(path, 0o755);
	return path;
};

/** For each line that the command prints: is it of a program that is on the clock? */
const meant = async (option: string, ...command: readonly string[]): Promise<readonly boolean[]> => {
	const { stdout, stderr, exitCode } = await vsyscall(["run", "--clock", CLOCK, option, "--", ...command]);
	assert.deepEqual([stderr, exitCode], ["", 0]);
	return stdout
		.trimEnd()
		.split("\n")
		.map((line) => line === MEANT);
};

const BASH_AND_DATE = ["bash", "-c", "printf '%(%Y)T\\n' -1; date +%Y; (printf '%(%Y)T\\n' -1)"] as const;

suite("the programs of a run", TIMEOUT, () => {
	test("--only: its child is on the clock, the first one and its forks are not", async () => {
		assert.deepEqual(await meant("--only=date", ...BASH_AND_DATE), [false, true, false]);
	});

	test("--only: the other way round", async () => {
		assert.deepEqual(await meant("--only=bash", ...BASH_AND_DATE), [true, false, true]);
	});

	test("--skip: the opposite, and a list", async () => {
		assert.deepEqual(await meant("--skip=date", ...BASH_AND_DATE), [true, false, true]);
		assert.deepEqual(await meant("--skip=cat,bash,date", ...BASH_AND_DATE), [false, false, false]);
	});

	test("a program in another program's name is looked at anew", async () => {
		assert.deepEqual(await meant("--only=date", "bash", "-c", "exec date +%Y"), [true]);
		assert.deepEqual(await meant("--skip=date", "bash", "-c", "exec date +%Y"), [false]);
	});

	for (const name of ["tells-year", "tells-the-year-in-a-long-name"]) {
		test(`a script is known by its own name and its interpreter's: ${name}`, async () => {
			const path = script(name);
			assert.deepEqual(await meant(`--only=${name}`, path), [true]);
			assert.deepEqual(await meant("--only=bash", path), [true]);
			assert.deepEqual(await meant(`--only=${name.slice(0, -1)}`, path), [false]);
		});
	}

	test("system calls are answered as the vDSO does", async (t) => {
		if (!has(t, "python3")) return;
		const SYS_time = 201;
		const calls = `ctypes.CDLL(None).syscall(${SYS_time}, None), time.time()`;
		const code = `import ctypes, time\nfor t in ${calls}: print(time.gmtime(t).tm_year)`;
		assert.deepEqual(await meant("--skip=python3", "python3", "-c", code), [false, false]);
		assert.deepEqual(await meant("--only=python3", "python3", "-c", code), [true, true]);
	});

	test("a program that is not meant sets the clock of the run, which it does not see", async () => {
		const code = "date -s 2002-01-01 >/dev/null; printf '%(%Y)T\\n' -1; date +%Y";
		const { stdout, exitCode } = await vsyscall(["run", "--clock", CLOCK, "--skip=date", "--", "bash", "-c", code]);
		assert.match(stdout, /^2002\n20[2-9]\d\n$/);
		assert.equal(exitCode, 0);
	});

	test("--verbose names those that are not meant", async () => {
		const { stderr } = await vsyscall(["run", "--verbose", "--clock", CLOCK, "--skip=true", "--", "true"]);
		assert.match(stderr, /^vsyscall: \S+ \(pid \d+\) is not meant: real time$/m);
	});

	test("the vsyscall page of a program that is not meant is the host's", async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "legacy.c");
		const name = program.slice(program.lastIndexOf("/") + 1);
		const args = [
			"run",
			"--clock",
			CLOCK,
			"--vsyscall=emulate",
			`--skip=${name}`,
			"--",
			"bash",
			"-c",
			`${program}; exit $?`,
		];
		const { stdout, exitCode } = await vsyscall(args);
		if (probeHostVsyscall() === "none") assert.deepEqual([stdout, exitCode], ["", 139]);
		else assert.equal(exitCode, (await native([program])).exitCode);
		assert.doesNotMatch(stdout, /98117\d{4}/);
	});
});

const wrong: readonly (readonly [string, readonly string[], string])[] = [
	["both", ["--only=a", "--skip=b"], "--only and --skip exclude each other: give one of them"],
	["an empty list", ["--only="], "--only= has an empty name: give names of programs, for example --only=make,cc"],
	[
		"an empty name",
		["--skip=a,,b"],
		"--skip=a,,b has an empty name: give names of programs, for example --skip=make,cc",
	],
	[
		"a path",
		["--only=/bin/a"],
		"--only compares names without their directory, not /bin/a: for example --only=make,cc",
	],
];

for (const [name, options, line] of wrong) {
	test(`a selection that is wrong ends with one line: ${name}`, TIMEOUT, async () => {
		const { stderr, exitCode } = await vsyscall(["run", ...options, "--", "true"]);
		assert.deepEqual([stderr, exitCode], [`vsyscall: ${line}\n`, 125]);
	});
}

test("without lists every program is meant", () => assert.equal(parseSelection({}), undefined));
