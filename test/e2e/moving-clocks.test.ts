/** Clocks that drift, step or follow a file, as programs see them. The oracle is the arithmetic of the clock and the host's own time. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { runUnder, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-moving-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** What the fixture prints: every way to ask for the wall, in turn, in nanoseconds. */
const readings = async (clock: string, rounds: number): Promise<readonly bigint[]> => {
	const run = await runUnder(clock, [build("glibc", "wall-reads.c"), String(rounds)]);
	assert.equal(run.stderr, "");
	return run.stdout.trimEnd().split("\n").map(BigInt);
};

const SECOND = 1_000_000_000n;
const START = 1_893_456_000n * SECOND;

suite("a clock that steps", () => {
	test("moves by its step with each read, whatever way it is read", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const shown = await readings("@2030-01-01T00:00Z step=1s", 3);
		// The C library may have read the clock before main.
		const first = shown[0] ?? 0n;
		assert.ok(first >= START && first < START + 10n * SECOND, String(first));
		assert.deepEqual(
			shown,
			shown.map((_, index) => first + BigInt(index) * SECOND),
		);
	});

	test("is counted by all processes of a named clock together", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const settings = { env: { VSYSCALL_RUNTIME_DIR: join(directory, "step") } };
		await vsyscall(["clock", "create", "shop", "@2030-01-01T00:00Z step=1s"], settings);
		const program = build("glibc-static", "wall-reads.c");
		const run = (): Promise<{ stdout: string }> => vsyscall(["run", "--clock", "shop", "--", program, "5"], settings);
		const one = (await run()).stdout.trimEnd().split("\n").map(BigInt);
		const two = (await run()).stdout.trimEnd().split("\n").map(BigInt);
		assert.ok((two[0] ?? 0n) > (one.at(-1) ?? 0n));
		assert.equal(new Set([...one, ...two]).size, one.length + two.length);
	});
});

suite("a clock that drifts", () => {
	for (const [ppm, ratio] of [
		["500000", 1.5],
		["-500000", 0.5],
		["900000", 1.9],
	] as const) {
		test(`drift=${ppm} runs ${ratio} times as fast, and only the wall does`, TIMEOUT, async () => {
			const script =
				"import time; a, m = time.time_ns(), time.monotonic_ns(); time.sleep(0.5); b, n = time.time_ns(), time.monotonic_ns(); print((b - a) / (n - m), (n - m) / 1e9)";
			const { stdout } = await runUnder(`drift=${ppm}`, ["python3", "-c", script]);
			const [speed = 0, slept = 0] = stdout.split(" ").map(Number);
			assert.ok(Math.abs(speed / ratio - 1) < 0.02, stdout);
			assert.ok(slept > 0.49 && slept < 5, stdout);
		});
	}

	test("never goes back, on any path", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		for (const clock of ["drift=499999", "drift=500000", "drift=-999999", "+1000y drift=100"]) {
			const shown = await readings(clock, 2000);
			shown.forEach((value, index) => assert.ok(value >= (shown[index - 1] ?? value) - 20_000_000n));
		}
	});
});

suite("a clock that follows a file", () => {
	test("shows its time of modification, and a new one when that changes", TIMEOUT, async () => {
		const file = join(directory, "stamp");
		const script = `touch -d 2035-05-05T00:00:00Z '${file}'; for ((i = 0; i < 200; i++)); do [ "$(date +%Y)" = 2035 ] && break; sleep 0.02; done; date +%F`;
		const prepare = await vsyscall(["run", "--", "touch", "-d", "2031-01-01T00:00:00Z", file]);
		assert.equal(prepare.exitCode, 0);
		const run = await runUnder(`%${file}`, ["bash", "-c", `date +%F; ${script}`]);
		assert.deepEqual([run.stdout, run.stderr], ["2031-01-01\n2035-05-05\n", ""]);
		const frozen = await runUnder(`%${file} frozen`, ["date", "-u", "+%FT%T"]);
		assert.equal(frozen.stdout, "2035-05-05T00:00:00\n");
	});

	test("that replaces another of its name", TIMEOUT, async () => {
		const file = join(directory, "replaced");
		const script = `touch -d 2040-01-01T00:00:00Z '${file}.new'; mv '${file}.new' '${file}'; for ((i = 0; i < 200; i++)); do [ "$(date +%Y)" = 2040 ] && break; sleep 0.02; done; date +%F`;
		await vsyscall(["run", "--", "touch", file]);
		const run = await runUnder(`%${file} frozen`, ["bash", "-c", script]);
		assert.equal(run.stdout, "2040-01-01\n");
	});

	test("needs the file", TIMEOUT, async () => {
		const run = await runUnder(`%${directory}/none`, ["true"]);
		assert.equal(run.exitCode, 125);
		assert.match(run.stderr, /^vsyscall: the clock cannot follow .*ENOENT.*\n$/);
	});

	test("cannot have a name", TIMEOUT, async () => {
		const settings = { env: { VSYSCALL_RUNTIME_DIR: join(directory, "followed") } };
		const run = await vsyscall(["clock", "create", "shop", "%/etc/hostname"], settings);
		assert.equal(run.exitCode, 125);
		assert.match(run.stderr, /a clock with a name cannot follow a file/);
	});
});
