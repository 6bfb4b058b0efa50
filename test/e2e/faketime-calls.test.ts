/** The variables of faketime that count calls. The oracle is the original, for programs whose reads are known. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { assertNothingLeft, native, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const HOME = { HOME: "/nonexistent", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
const CLOCK = ["-f", "@2037-06-01 00:00:00"] as const;
const NOTICE =
	/^vsyscall: FAKETIME_\w+(?:, FAKETIME_\w+)*: reads of the wall clock are counted, by all processes of the run together; the original counts in each process, and calls for other clocks too\n$/;

/** The original fails when one of the same process id was killed and has left its semaphore (`sem_open` with O_EXCL): then another tries. */
const original = async (command: readonly string[], env: Env): ReturnType<typeof native> => {
	const finished = await native(command, { env });
	return finished.exitCode === 0 ? finished : native(command, { env });
};

type Env = Readonly<Record<string, string>>;
const start = (call: number): Env => ({ FAKETIME_START_AFTER_NUMCALLS: String(call) });
const stop = (call: number): Env => ({ FAKETIME_STOP_AFTER_NUMCALLS: String(call) });

const rows: readonly (readonly [env: Env, ways: string, expected: string])[] = [
	[start(0), "cccc", "FFFF"],
	[start(1), "cccc", "FFFF"],
	[start(3), "ccgtcc", "rrFFFF"],
	[start(5), "gggttc", "rrrrFF"],
	[start(3), "mcmcmc", "mrmrmF"],
	[stop(0), "cccc", "rrrr"],
	[stop(1), "tttt", "rrrr"],
	[stop(3), "ccgtcc", "FFrrrr"],
	[stop(2), "mgmgmg", "mFmrmr"],
	[{ ...start(2), ...stop(4) }, "cgtcgt", "rFFrrr"],
	[{ ...start(4), ...stop(2) }, "cccccc", "rrrrrr"],
	[{ ...start(3), ...stop(3) }, "cccccc", "rrrrrr"],
	[{ ...start(2), FAKETIME_STOP_AFTER_SECONDS: "0" }, "cccc", "rrrr"],
	[{ ...start(2), FAKETIME_STOP_AFTER_SECONDS: "90" }, "cccc", "rFFF"],
	[{ ...stop(3), FAKETIME_START_AFTER_SECONDS: "90" }, "cccc", "rrrr"],
];
const named = (env: Env): string =>
	Object.entries(env)
		.map(([name, value]) => `${name.replace("FAKETIME_", "")}=${value}`)
		.join(" ");

suite("the first call that is faked, and the last, are those of the original", () => {
	for (const [env, ways, expected] of rows) {
		test(`${named(env)}: ${ways} -> ${expected}`, TIMEOUT, async (t) => {
			if (!has(t, "faketime", "gcc")) return;
			const command = ["faketime", ...CLOCK, build("glibc", "faked-reads.c"), ways];
			const theirs = await original(command, { ...HOME, ...env });
			assert.equal(theirs.stdout, `${expected}\n`);
			assert.equal((await vsyscall(command, { env: { ...HOME, ...env } })).stdout, theirs.stdout);
		});
	}
});

const everywhere: readonly Toolchain[] = [
	"glibc-static",
	"musl-static",
	"glibc-32",
	"glibc-32-static",
	"glibc-32-time64",
];

/** The third to the fifth of six readings, in seconds. */
const shown = async (timestamp: string): Promise<readonly number[]> => {
	const command = ["faketime", "-f", timestamp, build("glibc", "faked-reads.c"), "cccccc", "seconds"];
	const { stdout } = await vsyscall(command, { env: { ...HOME, TZ: "UTC", ...start(3), ...stop(6) } });
	return stdout.split(" ").map(Number).slice(2, 5);
};

/** The interpreter itself: what is called python3 may be a script, whose shell reads the clock as well. */
const python = async (): Promise<string> =>
	(await native(["python3", "-c", "import sys; print(sys.executable)"])).stdout.trim();

suite("reads are counted, however they are made", () => {
	for (const toolchain of everywhere) {
		test(`by a program of ${toolchain}`, TIMEOUT, async (t) => {
			if (!has(t, "gcc", "musl-gcc")) return;
			const command = ["faketime", ...CLOCK, build(toolchain, "faked-reads.c"), "cgtCGmcgt"];
			const { stdout, stderr } = await vsyscall(command, { env: { ...HOME, ...start(3), ...stop(7) } });
			assert.equal(stdout, "rrFFFmFrr\n");
			assert.match(stderr, NOTICE);
		});
	}

	test("by the processes of a run together", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "faked-reads.c");
		const script = `${program} cc; ${program} cfc; ${program} cfc`;
		const { stdout } = await vsyscall(["faketime", ...CLOCK, "sh", "-c", script], {
			env: { ...HOME, ...start(4), ...stop(8) },
		});
		assert.equal(stdout, "rr\nrFF\nFFr\n");
	});

	test("once each, when processes read at the same time", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "faked-reads.c");
		const script = `for i in 1 2 3 4; do ${program} ${"cgtC".repeat(50)} & done; wait`;
		const { stdout } = await vsyscall(["faketime", ...CLOCK, "sh", "-c", script], {
			env: { ...HOME, ...start(101), ...stop(601) },
		});
		const count = (letter: string): number => stdout.split(letter).length - 1;
		assert.deepEqual([count("F"), count("r")], [500, 300]);
		for (const line of stdout.trimEnd().split("\n")) assert.match(line, /^r*F*r*$/);
	});

	test("of a clock that the program sets meanwhile", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = ["faketime", "-f", "+1d", build("glibc", "faked-reads.c"), "cscccc"];
		assert.equal((await vsyscall(command, { env: { ...HOME, ...stop(4) } })).stdout, "rsFFrr\n");
	});

	test("of a clock that stands, and of one that steps", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const then = 2_127_427_200;
		assert.deepEqual(await shown("2037-06-01 00:00:00"), [then, then, then]);
		assert.deepEqual(await shown("@2037-06-01 00:00:00 i10"), [then, then + 10, then + 20]);
	});

	test("a program that reads on and on is not held up when they have been", TIMEOUT, async () => {
		const script =
			"import time\nend = time.monotonic() + 1; n = 0\nwhile time.monotonic() < end: time.time(); n += 1\nprint(n)";
		const reads = async (env: Env): Promise<number> =>
			Number(
				(await vsyscall(["faketime", ...CLOCK, await python(), "-c", script], { env: { ...HOME, ...env } })).stdout,
			);
		const [asked, free] = [await reads(stop(100_000_000)), await reads(stop(100))];
		assert.ok(free > 4 * asked, `${free} and ${asked}`);
	});
});

const spawning = (call: number, env: Env = {}): Env => ({
	...HOME,
	...env,
	FAKETIME_SPAWN_NUMCALLS: String(call),
	FAKETIME_SPAWN_TARGET: "echo started >&2",
});

suite("a command that is started at a call", () => {
	const spawns: readonly (readonly [call: number, env: Env, ways: string, started: boolean])[] = [
		[0, {}, "c", true],
		[1, {}, "cc", true],
		[3, {}, "cgt", true],
		[4, {}, "cgt", false],
		[3, start(3), "ccc", true],
		[2, start(3), "cccc", false],
		[2, stop(3), "cccc", true],
		[3, stop(3), "cccc", false],
	];
	for (const [call, env, ways, started] of spawns) {
		test(
			`${named({ ...env, SPAWN: String(call) })}: ${ways} ${started ? "starts it" : "does not"}, as in the original`,
			TIMEOUT,
			async (t) => {
				if (!has(t, "faketime", "gcc")) return;
				const command = ["faketime", ...CLOCK, build("glibc", "faked-reads.c"), ways];
				const theirs = await original(command, spawning(call, env));
				const ours = startVsyscall(command, { env: spawning(call, env) });
				const { stdout, stderr } = await ours.finished;
				await assertNothingLeft(ours.mark);
				assert.equal(theirs.stderr, started ? "started\n" : "");
				assert.deepEqual([stdout, /^started$/m.test(stderr)], [theirs.stdout, started]);
			},
		);
	}

	test("is a part of the run, which waits for it", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const env = { ...spawning(2), FAKETIME_SPAWN_TARGET: "sleep 0.5; date +%Y" };
		const { stdout } = await vsyscall(["faketime", ...CLOCK, build("glibc", "faked-reads.c"), "ccc"], { env });
		assert.equal(stdout, "FFF\n2037\n");
	});
});

suite("run takes a number of reads, too", () => {
	const flags: readonly (readonly [flags: readonly string[], expected: string])[] = [
		[["--after", "2reads"], "rrFFFF"],
		[["--after", "0reads"], "FFFFFF"],
		[["--for", "1read"], "Frrrrr"],
		[["--after", "2reads", "--for", "3reads"], "rrFFFr"],
		[["--after", "2reads", "--for", "90s"], "rrFFFF"],
		[["--after", "90s", "--for", "2reads"], "rrrrrr"],
	];
	for (const [given, expected] of flags) {
		test(`${given.join(" ")}: ${expected}`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const command = ["run", "--clock", "@2037-06-01", ...given, "--", build("glibc", "faked-reads.c"), "cgtCcg"];
			const { stdout, stderr } = await vsyscall(command);
			assert.deepEqual([stdout, stderr], [`${expected}\n`, ""]);
		});
	}

	test("counted from when the clock comes", TIMEOUT, async () => {
		const script = "import time\ntime.time(); time.sleep(1.5)\nprint(*(time.time() > 2114380800 for i in range(4)))";
		const command = [
			"run",
			"--clock",
			"@2037-06-01",
			"--after",
			"700ms",
			"--for",
			"2reads",
			"--",
			"python3",
			"-c",
			script,
		];
		assert.equal((await vsyscall(command)).stdout, "True True False False\n");
	});
});
