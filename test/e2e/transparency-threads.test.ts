/** Programs that fork, exec and end in unusual orders: they do what they do natively, and every one sees the clock. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { assertNothingLeft, CLI, type Finished, native, runUnder, startCommand } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const SHIFTED = "@2038-01-19T03:14:07Z";
const DATE = ["/bin/date", "-u", "+%Y"];

const ended = (stdout: string, exitCode = 0): Finished => ({ stdout, stderr: "", exitCode, signal: null });
const shapes = (): string => build("glibc", "thread-shapes.c");

/** Parent and child print at once. */
const sorted = (finished: Finished): Finished => ({
	...finished,
	stdout: finished.stdout.split("\n").toSorted().join("\n"),
});

suite("one process replaces or ends itself", () => {
	for (const others of [0, 1, 8]) {
		test(`exec from a thread that is not the leader, with ${others} others`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const command = [shapes(), "exec-from-thread", String(others), ...DATE];
			assert.deepEqual(await runUnder(SHIFTED, command), ended("2038\n"));
		});
	}

	test("the leader ends first, a thread ends the process", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		assert.deepEqual(await runUnder(SHIFTED, [shapes(), "leader-first"]), ended("thread shifted\n", 7));
	});

	test("the leader ends first, a thread replaces the process", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		assert.deepEqual(await runUnder(SHIFTED, [shapes(), "leader-first-exec", ...DATE]), ended("2038\n"));
	});

	test("50 execs in a chain of two programs", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "musl-gcc")) return;
		const command = [shapes(), "chain", "50", build("musl-static", "thread-shapes.c")];
		assert.deepEqual(await runUnder(SHIFTED, command), ended("end shifted\n"));
	});

	test("50 execs in a chain of a position independent and a fixed program", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = [
			build("glibc-static-pie", "thread-shapes.c"),
			"chain",
			"50",
			build("glibc-static", "thread-shapes.c"),
		];
		assert.deepEqual(await runUnder(SHIFTED, command), ended("end shifted\n"));
	});
});

suite("one process makes another", () => {
	type Case = readonly [shape: string, output: string, isProgramGiven: boolean];
	const cases: readonly Case[] = [
		["vfork", "parent CLOCK\nYEAR\nstatus 0\n", true],
		["posix_spawn", "parent CLOCK\nYEAR\nstatus 0\n", true],
		["clone3", "child CLOCK\nYEAR\nstatus 0\n", true],
		["silent-clone", "child CLOCK\nstatus 500\n", false],
		["clone-parent", "sibling CLOCK\n", false],
	];
	for (const [shape, output, isProgramGiven] of cases) {
		test(shape, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			// The shell is there to be the parent of a sibling.
			const command = ["sh", "-c", '"$@"; :', "sh", shapes(), shape, ...(isProgramGiven ? DATE : [])];
			const expected = (clock: string, year: string): Finished =>
				sorted(ended(output.replace("CLOCK", clock).replace("YEAR", year)));
			const year = String(new Date().getUTCFullYear());
			assert.deepEqual(sorted(await native(command)), expected("real", year));
			assert.deepEqual(sorted(await runUnder(SHIFTED, command)), expected("shifted", "2038"));
		});
	}

	test(
		"a daemon outlives the first process: the run lasts as long, and ends as the first process did",
		TIMEOUT,
		async (t) => {
			if (!has(t, "gcc")) return;
			const directory = mkdtempSync(join(tmpdir(), "vsyscall-daemon-"));
			const file = join(directory, "time");
			const started = process.hrtime.bigint();
			assert.deepEqual(await runUnder(SHIFTED, [shapes(), "daemon", file]), ended("", 7));
			// The daemon writes 0.7 s after it was started; no run that did not wait for it could find the file.
			assert.ok(existsSync(file));
			assert.equal(readFileSync(file, "latin1"), "daemon shifted\n");
			assert.ok(process.hrtime.bigint() - started >= 700_000_000n);
			rmSync(directory, { recursive: true });
		},
	);

	test("a daemon of a shell, in a session of its own", TIMEOUT, async () => {
		const directory = mkdtempSync(join(tmpdir(), "vsyscall-daemon-"));
		const file = join(directory, "time");
		const script = `setsid sh -c 'sleep 0.5; date -u +%Y >"${file}"' >/dev/null 2>&1 </dev/null & kill -TERM $$`;
		const finished = await runUnder(SHIFTED, ["sh", "-c", script]);
		assert.equal(finished.signal, "SIGTERM");
		assert.equal(readFileSync(file, "latin1"), "2038\n");
		rmSync(directory, { recursive: true });
	});
});

test("children that we had before the run are not waited for, and those of the run are", TIMEOUT, async (t) => {
	if (!has(t, "bash")) return;
	const script = 'sleep 300 >/dev/null 2>&1 & echo $!; exec "$@"';
	const run = [
		process.execPath,
		CLI,
		"run",
		"--clock",
		"+1y",
		"--",
		"sh",
		"-c",
		"(sleep 0.3; echo late) & for i in 1 2 3 4 5; do (true) & done; exit 5",
	];
	const started = startCommand("bash", ["-c", script, "bash", ...run]);
	const { stdout, exitCode } = await started.finished;
	const [sleeper = "", late] = stdout.split("\n");
	process.kill(Number(sleeper), "SIGKILL");
	await assertNothingLeft(started.mark);
	assert.deepEqual([late, exitCode], ["late", 5]);
});
