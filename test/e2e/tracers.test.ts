/** Programs of a run that trace other programs of it get their slot: what they show, and what becomes of the clock. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { CLI, native, runUnder, type RunSettings, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const NOBODY = 65534;
const SHIFTED = "@2038-01-19T03:14:07Z";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-tracers-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const bash = (script: string, ...args: readonly string[]): readonly string[] => ["bash", "-c", script, "bash", ...args];

const GDB = ["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off"];

/**
 * Asserts that stderr has one line of ours for a process that the tracer attaches to and one for what it makes of itself, at most, and
 * nothing else.
 */
const assertSaid = (stderr: string, tracer: string): void => {
	const lines = stderr.split("\n").filter((line) => line !== "");
	assert.ok(lines.length === 1 || lines.length === 2, stderr);
	for (const line of lines) {
		assert.match(line, /^vsyscall: \S+ \(pid \d+\) is let go to another tracer, /);
		assert.ok(line.includes(`/${tracer} (pid `), line);
	}
};

suite("a program that traces what it starts", () => {
	test("strace sees every system call, and the status is the program's", TIMEOUT, async (t) => {
		if (!has(t, "strace")) return;
		const file = join(directory, "strace");
		const finished = await runUnder(SHIFTED, ["strace", "-f", "-o", file, ...bash("(exit 3); exit $(($? + 4))")]);
		assert.deepEqual([finished.exitCode, finished.stdout], [7, ""]);
		assertSaid(finished.stderr, "strace");
		const calls = readFileSync(file, "utf8");
		assert.match(calls, /execve\("[^"]*bash"/);
		assert.match(calls, /exited with 3/);
		assert.match(calls, /exited with 7/);
	});

	test("gdb runs a program to its end", TIMEOUT, async (t) => {
		if (!has(t, "gdb", "gcc")) return;
		const program = build("glibc", "exit-seven.c");
		const finished = await runUnder(SHIFTED, [...GDB, "-ex", "run", "-ex", "info sharedlibrary", program]);
		assert.equal(finished.exitCode, 0);
		assert.match(finished.stdout, /exited with code 07/);
		assert.match(finished.stdout, /ld-linux/);
		assert.match(finished.stderr, /^vsyscall: \S+gdb \(pid \d+\) is let go to another tracer, \S+gdb \(pid \d+\)/m);
	});

	test("gdb runs a program on the clock", TIMEOUT, async (t) => {
		if (!has(t, "gdb")) return;
		for (const shell of ["on", "off"]) {
			const start = ["-ex", `set startup-with-shell ${shell}`, "-ex", "run", "--args", "date", "-u", "+year-%Y"];
			const { stdout, exitCode } = await runUnder(SHIFTED, [...GDB, ...start]);
			assert.match(stdout, /^year-2038$/m);
			assert.equal(exitCode, 0);
		}
	});

	test("gdb steps into a program, which is on the clock then", TIMEOUT, async (t) => {
		if (!has(t, "gdb", "gcc")) return;
		const commands = ["starti", "break main", "continue", "next", "continue"].flatMap((command) => ["-ex", command]);
		const { stdout, stderr } = await runUnder(SHIFTED, [...GDB, ...commands, build("glibc", "debugged.c")]);
		assert.match(stdout, /^Breakpoint 1, main/m);
		const line = stdout.split("\n").find((text) => text.startsWith("{")) ?? "";
		const { auxv, kernel } = JSON.parse(line) as { readonly auxv: string; readonly kernel: string };
		assert.equal(auxv, kernel);
		assert.doesNotMatch(stderr, /could not be covered/);
	});

	test("everything under strace -f is on the clock, a hundred times", TIMEOUT, async (t) => {
		if (!has(t, "strace", "bash")) return;
		const script = "for ((i = 0; i < 50; i++)); do date -u +%Y; (exec busybox date -u +%Y); done | sort | uniq -c";
		const finished = await runUnder(SHIFTED, ["strace", "-f", "-o", "/dev/null", ...bash(script)]);
		assert.deepEqual([finished.stdout.trim(), finished.exitCode], ["100 2038", 0]);
		assertSaid(finished.stderr, "strace");
	});

	test("a program that cannot open our files under strace is named", TIMEOUT, async (t) => {
		if (!has(t, "strace", "unshare") || !isRoot(t)) return;
		const script = "mount -t tmpfs none /proc && date -u +%Y";
		const { stderr, exitCode } = await runUnder(SHIFTED, [
			"strace",
			"-f",
			"-o",
			"/dev/null",
			"unshare",
			"-m",
			...bash(script),
		]);
		assert.equal(exitCode, 0);
		assert.match(
			stderr,
			/date \(pid \d+\) could not be covered under another tracer \(our files cannot be opened there\)/,
		);
	});

	test("as an ordinary user, and in a run inside of a run", TIMEOUT, async (t) => {
		if (!has(t, "strace", "bash") || !isRoot(t)) return;
		const traced = ["strace", "-f", "-o", "/dev/null", ...bash("date -u +%Y; (date -u +%Y)")];
		const user = await runUnder(SHIFTED, traced, { uid: NOBODY, gid: NOBODY, cwd: "/" });
		assert.deepEqual([user.stdout, user.exitCode], ["2038\n2038\n", 0]);
		assertSaid(user.stderr, "strace");
		const inner = [process.execPath, CLI, "run", "--clock", SHIFTED, "--", ...traced];
		const nested = await runUnder("+1d", inner);
		assert.deepEqual([nested.stdout, nested.exitCode], ["2038\n2038\n", 0]);
		assertSaid(nested.stderr, "strace");
	});

	test("a hundred times TRACEME and exec, one line", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "trace-me.c");
		const { stdout, stderr, exitCode } = await runUnder(SHIFTED, [program, "100"]);
		assert.deepEqual([stdout, exitCode], ["100\n", 0]);
		assertSaid(stderr, basename(program));
	});
});

suite("a program that looks at itself from outside, by a task that nobody is to trace", () => {
	test(
		"a hundred leak checks, while threads wait for times of the wall clock, and the one at the end",
		TIMEOUT,
		async (t) => {
			if (!has(t, "gcc")) return;
			const program = build("glibc", "leak-check.c", ["-fsanitize=leak"]);
			const expected = await native([program]);
			assert.equal(expected.stdout, "0 wrong, 0 failed, 0 leaks\n");
			assert.match(expected.stderr, /^SUMMARY: LeakSanitizer: 77 byte/m);
			const { stdout, stderr, exitCode } = await runUnder(SHIFTED, [program]);
			assert.deepEqual([stdout, exitCode], [expected.stdout, expected.exitCode]);
			assert.match(stderr, /^SUMMARY: LeakSanitizer: 77 byte/m);
			assert.doesNotMatch(stderr, /vsyscall:/);
		},
	);

	for (const what of ["registers", "killed"]) {
		const says = { registers: "the registers of both tasks are as they were", killed: "a hundred that are killed" }[
			what
		];
		test(says ?? what, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const program = build("glibc", "untraced-clone.c");
			const expected = await native([program, what, String(new Date().getUTCFullYear())]);
			assert.deepEqual([expected.stdout, expected.exitCode], ["ok\n", 0]);
			const { stdout, stderr, exitCode } = await runUnder(SHIFTED, [program, what, "2038"]);
			assert.deepEqual([stdout, stderr, exitCode], ["ok\n", "", 0]);
		});
	}
});

suite("a program that attaches to another one of the run", () => {
	test("a hundred children that wait, compute or are stopped, by ATTACH and by SEIZE", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "attach.c");
		const expected = await native([program, "102"]);
		assert.equal(expected.stdout, "102\n3 1\n");
		const { stdout, exitCode } = await runUnder(SHIFTED, [program, "102"]);
		assert.deepEqual([stdout, exitCode], [expected.stdout, 0]);
	});

	test("gdb finds our image in a program with threads, which goes on", TIMEOUT, async (t) => {
		if (!has(t, "gdb", "gcc")) return;
		const program = build("glibc", "debugged.c");
		const script = `
			exec 3< <("$0" loop time)
			read -u 3 line
			pid=$!
			echo "$line"
			"$@" -p $pid -ex 'info auxv' 2>/dev/null
			kill $pid
			wait $pid
			echo "ended with $?"`;
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, program, ...GDB]);
		const { auxv } = JSON.parse(finished.stdout.split("\n")[0] ?? "") as { readonly auxv: string };
		assert.match(finished.stdout, new RegExp(`AT_SYSINFO_EHDR .* 0x${auxv}$`, "m"));
		assert.match(finished.stdout, /^ended with 143$/m);
		assertSaid(finished.stderr, "gdb");
	});

	const TELLER = `
		while read line; do date -u +%Y; done`;
	/** Asks a program for the time before, under and after strace. */
	const ASKED = `
		coproc bash -c "$0"
		ask() { echo >&"\${COPROC[1]}"; read -u "\${COPROC[0]}" year; echo "$year"; }
		pid=$COPROC_PID
		ask
		strace -qq -o "$1" -p $pid & tracer=$!
		until [ "$(sed -n 's/^TracerPid:\t//p' /proc/$pid/status)" = $tracer ]; do sleep 0.01; done
		ask >"$1.under"
		kill -INT $tracer; wait $tracer
		until [ "$(sed -n 's/^TracerPid:\t//p' /proc/$pid/status)" != 0 ]; do sleep 0.01; done
		ask
		kill -9 $pid; wait $pid 2>/dev/null
		exit 5`;

	test("it is taken back when strace has detached, and what it starts is covered again", TIMEOUT, async (t) => {
		if (!has(t, "strace", "bash")) return;
		const file = join(directory, "attached");
		const finished = await runUnder(SHIFTED, ["bash", "-c", ASKED, TELLER, file]);
		assert.deepEqual([finished.stdout, finished.exitCode], ["2038\n2038\n", 5]);
		assertSaid(finished.stderr, "strace");
		assert.ok(readFileSync(file, "utf8").length > 0);
	});

	test("the first process of the run: its status is still the run's", TIMEOUT, async (t) => {
		if (!has(t, "strace", "bash")) return;
		const script = `
			strace -qq -o "$0" -p $$ &
			until [ "$(sed -n 's/^TracerPid:\t//p' /proc/$$/status)" = $! ]; do :; done
			exit 9`;
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, join(directory, "lead")]);
		assert.deepEqual([finished.stdout, finished.exitCode, finished.signal], ["", 9, null]);
		assertSaid(finished.stderr, "strace");
	});

	test("clock ps says who is let go, once", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "strace", "bash")) return;
		const settings: RunSettings = { env: { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") } };
		await vsyscall(["clock", "create", "shop", SHIFTED], settings);
		const script = `
			sleep 60 & pid=$!
			strace -qq -o /dev/null -p $pid & tracer=$!
			until [ "$(sed -n 's/^TracerPid:\t//p' /proc/$pid/status)" = $tracer ]; do sleep 0.01; done
			"$@" clock ps shop --json
			kill -INT $tracer; wait $tracer
			until [ "$(sed -n 's/^TracerPid:\t//p' /proc/$pid/status)" != 0 ]; do sleep 0.01; done
			"$@" clock ps shop --json
			kill $pid`;
		const command = ["bash", "-c", script, "bash", process.execPath, CLI];
		const { stdout, exitCode } = await vsyscall(["run", "--clock", "shop", "--", ...command], settings);
		assert.equal(exitCode, 0);
		interface Row {
			readonly command: readonly string[];
			readonly covered: boolean;
			readonly reason?: string;
		}
		const [under = [], behind = []] = stdout.split(/(?<=^\])\n/m).map((text) => JSON.parse(text || "[]") as Row[]);
		const sleeper = (rows: readonly Row[]): readonly Row[] => rows.filter(({ command: [name] }) => name === "sleep");
		assert.equal(sleeper(under).length, 1);
		assert.equal(sleeper(under)[0]?.covered, false);
		assert.match(sleeper(under)[0]?.reason ?? "", /another tracer.*strace/);
		assert.deepEqual(
			sleeper(behind).map(({ covered }) => covered),
			[true],
		);
	});
});
