/** Runs inside of runs: the clock, the page, signals, stops, and the end of either supervisor. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { build, fixturePath } from "../helpers/fixtures.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	type Finished,
	markedProcesses,
	native,
	runCommand,
	type Started,
	startCommand,
	vsyscall,
} from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 180_000 };
const LONG = { timeoutMs: 120_000 };

const directory = mkdtempSync(join(tmpdir(), "vsyscall-nested-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const run = (clock: string, ...flags: readonly string[]): readonly string[] => [
	process.execPath,
	CLI,
	"run",
	"--clock",
	clock,
	...flags,
	"--",
];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const nested = (clocks: readonly string[], command: readonly string[]): Promise<Finished> =>
	runCommand([...clocks.flatMap((clock) => run(clock)), ...command], LONG);

const clean = ({ stdout, stderr, exitCode }: Finished): string => {
	assert.deepEqual([stderr, exitCode], ["", 0]);
	return stdout;
};

const DAY = 86_400;

suite("the clock of a run inside of a run", () => {
	for (const [clocks, days] of [
		[["+1d", "+1d"], 2],
		[["+1d", "host"], 1],
		[["host", "+1d"], 1],
		[["host", "host"], 0],
		[["+10d", "-3d", "+1d"], 8],
		[["+1000d", "+10000d"], 11_000],
	] as const) {
		test(`${clocks.join(" > ")} is ${days} days ahead`, TIMEOUT, async () => {
			const before = Math.floor(Date.now() / 1000);
			const seconds = Number(clean(await nested(clocks, ["date", "+%s"])));
			const behind = Math.ceil(Date.now() / 1000);
			assert.ok(seconds >= before + days * DAY && seconds <= behind + days * DAY, String(seconds - before));
		});
	}

	for (const [clocks, expected] of [
		[["@2031-01-01Z frozen", "host"], "2031-01-01T00:00:00.000000000"],
		[["@2031-01-01Z frozen", "+1h"], "2031-01-01T01:00:00.000000000"],
		[["@2031-01-31Z frozen", "+1mo"], "2031-02-28T00:00:00.000000000"],
		[["@2031-01-01Z", "@2040-01-01Z frozen"], "2040-01-01T00:00:00.000000000"],
		[["@2031-01-01Z frozen", "+1d", "+1h"], "2031-01-02T01:00:00.000000000"],
	] as const) {
		test(`${clocks.join(" > ")} stands at ${expected}`, TIMEOUT, async () => {
			const stdout = clean(await nested(clocks, ["sh", "-c", 'for i in 1 2; do date -u "$0"; done', "+%FT%T.%N"]));
			assert.equal(stdout, `${expected}\n${expected}\n`);
		});
	}

	test("a clock that is made inside is anchored there", TIMEOUT, async () => {
		const settings = { env: { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") } };
		const create = [process.execPath, CLI, "clock", "create", "inside", "+1h"];
		await runCommand([...run("@2031-01-01Z frozen"), ...create], settings);
		const command = [...run("+1d"), ...run("inside"), "date", "-u", "+%FT%T"];
		assert.equal(clean(await runCommand(command, settings)), "2031-01-01T01:00:00\n");
		await vsyscall(["clock", "rm", "inside"], settings);
	});

	test("system calls and the vDSO are one sequence", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "time-syscalls.c");
		for (const clocks of [
			["+10y", "+10y"],
			["+10y", "host"],
			["@2031-01-01Z frozen", "+1d"],
		]) {
			const stdout = clean(await nested(clocks, [program, "order", "5000"]));
			assert.deepEqual(JSON.parse(stdout), { rounds: 5000, broken: 0, example: "" });
		}
	});

	test("a program that sets the clock moves that of the inner run only", TIMEOUT, async () => {
		const inner = [...run("+1d"), "sh", "-c", "date -s @2000000000 >/dev/null; date +%s"];
		const script = `"$@"; date +%Y`;
		const stdout = clean(await nested(["@2050-06-01Z"], ["sh", "-c", script, "sh", ...inner]));
		assert.match(stdout, /^200000000[0-9]\n2050\n$/);
	});

	test("waits until a time of the wall clock take as long as they say", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "wall-waits.c");
		const { result, ms } = JSON.parse(clean(await nested(["+10y", "-3d"], [program, "cond", "300"]))) as {
			readonly result: number;
			readonly ms: number;
		};
		assert.equal(result, (JSON.parse(clean(await native([program, "cond", "300"]))) as { result: number }).result);
		assert.ok(ms >= 299, String(ms));
	});
});

suite("the vsyscall page of a run inside of a run", () => {
	const FROZEN = "@2009-02-13T23:31:30Z frozen";
	for (const outer of ["auto", "emulate", "xonly", "none"]) {
		for (const mode of ["native", "emulate", "xonly"]) {
			test(`--vsyscall=${mode} inside of ${outer}`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				const command = [...run("+1d", `--vsyscall=${outer}`), ...run(FROZEN, "--stats", `--vsyscall=${mode}`)];
				const { stdout, stderr, exitCode } = await runCommand([...command, build("glibc-static", "legacy.c")]);
				assert.match(stdout, /^gettimeofday 0: 1234567890\.000000 .*\ntime 1234567890: 1234567890\n/);
				assert.equal(exitCode, 0);
				assert.match(stderr, /^vsyscall: vsyscall page: 3 call sites patched, 3 calls trapped/);
			});
		}
	}

	test("none inside of emulate, and the other way round", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "legacy.c");
		const refused = await runCommand([
			...run("host", "--vsyscall=emulate"),
			...run("host", "--vsyscall=none"),
			program,
		]);
		assert.equal(refused.signal, "SIGSEGV");
		const inherited = await runCommand([...run("host", "--vsyscall=none"), ...run("host"), program]);
		assert.equal(inherited.stdout.startsWith("gettimeofday 0: "), inherited.signal === null);
	});
});

suite("a run inside of a run ends", () => {
	test("with the status of its program, a hundred times", TIMEOUT, async () => {
		const script = `
			for ((i = 0; i < 100; i++)); do
				"$@" sh -c "exit $i" || [ $? = $i ] || echo "$i: $?"
			done
			echo end`;
		const stdout = clean(await nested(["+1d"], ["bash", "-c", script, "bash", ...run("+1d")]));
		assert.equal(stdout, "end\n");
	});

	test("by the signal of its program, three deep", TIMEOUT, async () => {
		const finished = await nested(["host", "+1d", "+1d"], ["sh", "-c", "kill -TERM $$"]);
		assert.deepEqual(finished, { stdout: "", stderr: "", exitCode: null, signal: "SIGTERM" });
	});

	test("when a signal is sent to the outermost supervisor alone, also under a clock that stands", TIMEOUT, async () => {
		const trap = "trap 'date -u +%F; exit 4' TERM; echo up; while :; do sleep 0.02; done";
		const command = [...run("@2031-01-01Z frozen"), ...run("host"), "bash", "-c", trap];
		const [file = "", ...args] = command;
		const started = startCommand(file, args);
		await firstOutput(started);
		started.child.kill("SIGTERM");
		const { stdout, stderr, exitCode } = await started.finished;
		assert.deepEqual([stdout, stderr, exitCode], ["up\n2031-01-01\n", "", 4]);
		await assertNothingLeft(started.mark);
	});

	test("a program that is not found, and one that cannot be traced, have their statuses", TIMEOUT, async () => {
		const missing = await nested(["+1d", "+1d"], ["/nosuch/program"]);
		assert.equal(missing.exitCode, 127);
		assert.match(missing.stderr, /^vsyscall: [^\n]*\/nosuch\/program[^\n]*\n$/);
	});
});

const firstOutput = async ({ child, finished }: Started): Promise<void> => {
	const seen = new Promise<"seen">((resolve) => child.stdout?.once("data", () => resolve("seen")));
	if ((await Promise.race([seen, finished])) !== "seen") assert.fail(JSON.stringify(await finished));
};

const childOf = (parent: number): number =>
	Number(readFileSync(`/proc/${parent}/task/${parent}/children`, "latin1").trim().split(" ")[0]);

test("an ordinary user has runs inside of runs, too", TIMEOUT, async (t) => {
	if (!isRoot(t)) return;
	const settings = { uid: 65534, gid: 65534, cwd: "/" };
	const command = [...run("@2031-01-01Z frozen"), ...run("+1d"), "date", "-u", "+%F"];
	assert.equal(clean(await runCommand(command, settings)), "2031-01-02\n");
});

suite("kill -9 of a supervisor", () => {
	for (const [name, which] of [
		["the outer", 0],
		["the inner", 1],
	] as const) {
		test(`${name}: what runs goes on with its clock to its end, 20 times`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const program = build("glibc", "reads-clock.c");
			for (let round = 0; round < 20; round++) {
				const inner = [...run("@2038-01-19T03:14:07Z"), program, "150", "2147483647"];
				const [file = "", ...args] = [...run("+1d"), ...inner];
				const started = startCommand(file, args);
				await firstOutput(started);
				await pause(Math.random() * 60);
				const pids = [started.child.pid ?? 0, childOf(started.child.pid ?? 0)];
				process.kill(pids[which] ?? 0, "SIGKILL");
				const finished = await Promise.race([started.finished, pause(10_000)]);
				for (let wait = 0; wait < 500 && markedProcesses(started.mark).length > 0; wait++) await pause(20);
				const left = markedProcesses(started.mark);
				for (const pid of left) process.kill(pid, "SIGKILL");
				assert.deepEqual(left, []);
				assert.equal(finished?.stdout, "up\n0 wrong\n");
				assert.equal(finished.stderr, "");
			}
		});
	}

	test("of the inner one gives its program back to the outer, which covers what it starts", TIMEOUT, async () => {
		const script = "echo $PPID; while read line; do date -u +%Y; done";
		const [file, ...args] = [...run("@2045-01-01Z"), ...run("@2050-01-01Z"), "bash", "-c", script];
		const started = startCommand(file, args, { interactive: true });
		let output = "";
		started.child.stdout?.on("data", (text: string) => (output += text));
		await firstOutput(started);
		started.child.stdin?.write("\n");
		for (let wait = 0; wait < 500 && !output.includes("2050\n"); wait++) await pause(20);
		process.kill(Number.parseInt(output, 10), "SIGKILL");
		await pause(300);
		started.child.stdin?.write("\n");
		for (let wait = 0; wait < 500 && !output.includes("2045\n"); wait++) await pause(20);
		started.child.stdin?.end();
		const { stdout } = await started.finished;
		assert.deepEqual(stdout.split("\n").slice(1), ["2050", "2045", ""]);
		await assertNothingLeft(started.mark);
	});
});

test("^C, ^Z and fg at a terminal, as with one run", TIMEOUT, async (t) => {
	if (!has(t, "python3", "bash")) return;
	for (const scenario of ["inside", "job", "hangup"]) {
		const command = [
			"python3",
			fixturePath("job-control.py"),
			scenario,
			...run("+1d"),
			...run("@2038-01-19T03:14:07Z"),
		];
		const finished = await runCommand(command, LONG);
		assert.deepEqual([scenario, finished.stdout], [scenario, "ok\n"]);
	}
});
