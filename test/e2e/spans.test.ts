/** Clocks that are there for a part of a run, as programs see them. The oracle is faketime, and CLOCK_MONOTONIC, which is the host's. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { spawn } from "../../src/index.ts";
import { has } from "../helpers/requirements.ts";
import { assertNothingLeft, native, type RunSettings, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-spans-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const HOME = { HOME: directory };
/** 2040-01-01T00:00:00Z in seconds. */
const THEN = 2_208_988_800;
/** Prints, for some seconds, "MONOTONIC WALL" in seconds. It waits without the clock. */
const watcher = (seconds: number): readonly string[] => [
	"python3",
	"-c",
	`import select, time
end = time.monotonic() + ${seconds}
while time.monotonic() < end:
    a = time.monotonic(); w = time.time(); b = time.monotonic()
    if b - a < 0.01: print(a, w, flush=True)
    select.select([], [], [], 0.02)`,
];

/** A stretch in which the wall goes on with CLOCK_MONOTONIC: its first and its last reading of the wall. */
interface Phase {
	readonly first: number;
	last: number;
	/** The wall minus CLOCK_MONOTONIC. */
	readonly origin: number;
}

const phasesOf = (stdout: string): readonly Phase[] => {
	const phases: Phase[] = [];
	for (const line of stdout.trimEnd().split("\n")) {
		const [monotonic = 0, wall = 0] = line.split(" ").map(Number);
		const current = phases.at(-1);
		if (current !== undefined && Math.abs(wall - monotonic - current.origin) < 0.05) current.last = wall;
		else phases.push({ first: wall, last: wall, origin: wall - monotonic });
	}
	return phases;
};

/** A phase of the host's wall; or of the clock's, with the bounds in seconds of what it shows at first and at last. */
type Expected = "host" | { readonly first: readonly [number, number]; readonly last?: number };

const assertPhases = (phases: readonly Phase[], expected: readonly Expected[]): void => {
	const text = JSON.stringify(phases);
	assert.equal(phases.length, expected.length, text);
	expected.forEach((kind, index) => {
		const { first = 0, last = 0 } = phases[index] ?? {};
		if (kind === "host") assert.ok(Math.abs(first - Date.now() / 1000) < 120, text);
		else assert.ok(first >= kind.first[0] && first < kind.first[1] && last < (kind.last ?? Infinity), text);
	});
};

/** Behind the start, for a program that is slow to begin. */
const LATE = 1.9;
const rows: readonly (readonly [name: string, flags: readonly string[], expected: readonly Expected[]])[] = [
	["behind a time", ["--after", "2s"], ["host", { first: [THEN, THEN + 1] }]],
	["for a time", ["--for", "2s"], [{ first: [THEN, THEN + LATE], last: THEN + 3 }, "host"]],
	[
		"between two times",
		["--after", "2s", "--for", "1500ms"],
		["host", { first: [THEN, THEN + 1], last: THEN + 2.5 }, "host"],
	],
	["from the start", ["--after", "0s"], [{ first: [THEN, THEN + 10] }]],
];

suite("a clock for a part of a run", () => {
	for (const [name, flags, expected] of rows) {
		test(`${name}: ${flags.join(" ")}`, TIMEOUT, async () => {
			const { stdout, stderr } = await vsyscall(["run", "--clock", "@2040-01-01Z", ...flags, "--", ...watcher(4.5)]);
			assert.equal(stderr, "");
			const phases = phasesOf(stdout);
			assertPhases(phases, expected);
			if (phases.length === 3) assert.ok(Math.abs((phases[2]?.origin ?? 0) - (phases[0]?.origin ?? 1)) < 0.05);
		});
	}

	test("a wait until a time of the wall ends when the clock comes", TIMEOUT, async () => {
		const script = `import ctypes, time
class timespec(ctypes.Structure): _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]
until = timespec(int(time.time()) + 3600, 0)
begin = time.monotonic()
result = ctypes.CDLL(None).clock_nanosleep(0, 1, ctypes.byref(until), None)
print(result, time.time() >= until.seconds, time.monotonic() - begin < 60)`;
		const flags = ["--clock", "+2h", "--after", "700ms"];
		assert.equal((await vsyscall(["run", ...flags, "--", "python3", "-c", script])).stdout, "0 True True\n");
	});

	test(
		"a program that is started meanwhile is on it, and so is one that is not covered by a library",
		TIMEOUT,
		async (t) => {
			if (!has(t, "busybox")) return;
			const script = "busybox date +%Y; sleep 1; busybox date +%Y";
			const { stdout } = await vsyscall([
				"run",
				"--clock",
				"@2040-06-01",
				"--after",
				"500ms",
				"--",
				"sh",
				"-c",
				script,
			]);
			assert.match(stdout, /^20(?!40)\d\d\n2040\n$/);
		},
	);

	test("the end of the run does not wait for the clock", TIMEOUT, async () => {
		const begin = performance.now();
		const { exitCode } = await vsyscall([
			"run",
			"--clock",
			"+1d",
			"--after",
			"25d",
			"--for",
			"60d",
			"--",
			"sh",
			"-c",
			"exit 7",
		]);
		assert.equal(exitCode, 7);
		assert.ok(performance.now() - begin < 60_000);
	});

	test("spawn takes it too", TIMEOUT, async () => {
		const child = spawn("sh", ["-c", "date +%Y; sleep 1; date +%Y"], { clock: "@2040-06-01", for: "500ms" });
		let stdout = "";
		child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
		await new Promise((resolve) => child.on("close", resolve));
		assert.match(stdout, /^2040\n20(?!40)\d\d\n$/);
		assert.throws(() => spawn("true", [], { clock: "+1d", for: "0s" }), { code: "ERR_VSYSCALL_SPAN" });
	});
});

const refusals: readonly (readonly [name: string, flags: readonly string[], message: RegExp])[] = [
	["no clock", ["--after", "1s"], /^vsyscall: --after needs a --clock: without one it is the host's all the time\n$/],
	[
		"a duration back",
		["--clock", "+1d", "--after=-1s"],
		/^vsyscall: --after=-1s leads back: a run has no time before its start\n$/,
	],
	["no time", ["--clock", "+1d", "--for", "0"], /^vsyscall: --for=0 is no time at all: leave out --clock\n$/],
	[
		"months",
		["--clock", "+1d", "--for", "1mo"],
		/^vsyscall: --for=1mo has months or years, whose length varies: give days, for example --for=30d\n$/,
	],
	["no duration", ["--clock", "+1d", "--for", "soon"], /^vsyscall: duration "soon": position 1: /],
	[
		"a named clock",
		["--clock", "shop", "--for", "1s"],
		/^vsyscall: --for changes the clock of one run, and shop is shared with others; vsyscall clock set shop SPEC changes it at any time\n$/,
	],
	[
		"a clock that leads out of the calendar",
		["--clock", "+9000y", "--after", "1s"],
		/^vsyscall: clock spec "\+9000y": .*years -9999 to 9999/,
	],
];

suite("a part of a run is refused", () => {
	for (const [name, flags, message] of refusals) {
		test(`${name}: ${flags.join(" ")}`, TIMEOUT, async () => {
			const env = { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") };
			const { exitCode, stderr, stdout } = await vsyscall(["run", ...flags, "--", "echo", "started"], { env });
			assert.match(stderr, message);
			assert.deepEqual([exitCode, stdout], [125, ""]);
		});
	}
});

const settings = (env: Readonly<Record<string, string>>): RunSettings => ({
	env: { ...HOME, FAKETIME_DONT_FAKE_MONOTONIC: "1", ...env },
});

suite("the seconds of faketime's variables", () => {
	/** A date is where the clock was at the start: two seconds later it shows that. */
	const spans: readonly (readonly [string, Readonly<Record<string, string>>, readonly Expected[]])[] = [
		["a start", { FAKETIME_START_AFTER_SECONDS: "2" }, ["host", { first: [THEN + 2, THEN + 4] }]],
		["a stop", { FAKETIME_STOP_AFTER_SECONDS: "2" }, [{ first: [THEN, THEN + LATE], last: THEN + 4 }, "host"]],
		[
			"both",
			{ FAKETIME_START_AFTER_SECONDS: "2", FAKETIME_STOP_AFTER_SECONDS: "3" },
			["host", { first: [THEN + 2, THEN + 4], last: THEN + 5 }, "host"],
		],
		[
			"a stop that is not behind the start",
			{ FAKETIME_START_AFTER_SECONDS: "1", FAKETIME_STOP_AFTER_SECONDS: "1" },
			["host"],
		],
		[
			"neither",
			{ FAKETIME_START_AFTER_SECONDS: "-1", FAKETIME_STOP_AFTER_SECONDS: "-1" },
			[{ first: [THEN, THEN + 10] }],
		],
	];
	for (const [name, env, expected] of spans) {
		test(`${name}: the original shows the same`, TIMEOUT, async (t) => {
			if (!has(t, "faketime")) return;
			const command = ["-f", "@2040-01-01 00:00:00", ...watcher(4.5)] as const;
			const started = startVsyscall(["faketime", ...command], settings(env));
			const theirs = await native(["faketime", ...command], settings(env));
			const ours = await started.finished;
			await assertNothingLeft(started.mark);
			assertPhases(phasesOf(theirs.stdout), expected);
			assertPhases(phasesOf(ours.stdout), expected);
		});
	}
});

const spawning = (seconds: string, command: string): RunSettings =>
	settings({ FAKETIME_SPAWN_SECONDS: seconds, FAKETIME_SPAWN_TARGET: command });

suite("a program that is started later", () => {
	const clock = ["-f", "@2040-06-01 00:00:00"] as const;
	/** Reads the clock all the time, without which the original starts nothing. */
	const reader = [
		"python3",
		"-c",
		'import select, time\nfor i in range(150): time.time(); select.select([], [], [], 0.02)\nprint("end")',
	];

	test("is started as the original does", TIMEOUT, async (t) => {
		if (!has(t, "faketime")) return;
		// In the original each process that runs for a second starts it, also what it has started itself: that must not go on.
		const command = spawning("1", 'unset FAKETIME_SPAWN_TARGET; echo "a  b"; date +%Y; echo $0 $#');
		const preloaded = { LD_PRELOAD: "/usr/$LIB/faketime/libfaketime.so.1", FAKETIME: clock[1] };
		const theirs = await native(reader, { env: { ...command.env, ...preloaded } });
		const ours = await vsyscall(["faketime", ...clock, ...reader], command);
		assert.deepEqual([ours.stdout, ours.stderr, ours.exitCode], [theirs.stdout, theirs.stderr, theirs.exitCode]);
		assert.equal(ours.stdout, "a  b\n2040\nsh 0\nend\n");
	});

	test("is not, when the run has ended before", TIMEOUT, async () => {
		const { stdout, exitCode } = await vsyscall(
			["faketime", ...clock, "sh", "-c", "exit 3"],
			spawning("2", "echo started"),
		);
		assert.deepEqual([stdout, exitCode], ["", 3]);
	});

	test("has a status of its own, and the run waits for it", TIMEOUT, async () => {
		const command = spawning("0", "sleep 0.5; echo later; kill -9 $$");
		const { stdout, exitCode } = await vsyscall(["faketime", ...clock, "sh", "-c", "sleep 0.3; exit 5"], command);
		assert.deepEqual([stdout, exitCode], ["later\n", 5]);
	});

	test("has the descriptors and the environment of the first", TIMEOUT, async () => {
		const facts = "ls /proc/self/fd | wc -l; echo $X; ulimit -n; grep -E 'SigIgn|SigBlk' /proc/self/status";
		const first = await vsyscall(["faketime", ...clock, "sh", "-c", facts], { env: { ...HOME, X: "ü" } });
		const env = { ...spawning("0", facts).env, X: "ü" };
		const later = await vsyscall(["faketime", ...clock, "sleep", "0.5"], { env });
		assert.equal(later.stdout, first.stdout);
	});
});
