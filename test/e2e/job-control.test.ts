/** Stops, terminals and signals: a shell above us, a shell below us, and whoever signals the supervisor alone. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { build, fixturePath } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	native,
	runUnder,
	type Started,
	startCommand,
	startVsyscall,
} from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 180_000 };
const SHIFTED = "@2038-01-19T03:14:07Z";
const RUN = [process.execPath, CLI, "run", "--clock", SHIFTED, "--"];

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** State letters of the process and of all its threads. */
const statesOf = (pid: number): string => {
	try {
		return readdirSync(`/proc/${pid}/task`)
			.map((tid) => readFileSync(`/proc/${pid}/task/${tid}/stat`, "latin1"))
			.map((stat) => stat.slice(stat.lastIndexOf(")") + 2)[0] ?? "?")
			.join("");
	} catch {
		return "";
	}
};

const until = async (claim: () => boolean, what: string): Promise<void> => {
	for (let attempt = 0; attempt < 500; attempt++) {
		if (claim()) return;
		await pause(20);
	}
	assert.fail(`not within 10 s: ${what}`);
};

/** Starts a shell script under the clock and waits for the number that it prints first: a process to signal. */
const startScript = async (
	script: string,
): Promise<Started & { readonly pid: number; readonly output: () => string }> => {
	const started = startVsyscall(["run", "--clock", SHIFTED, "--", "bash", "-c", script]);
	let output = "";
	started.child.stdout?.on("data", (text: string) => (output += text));
	await until(() => /^\d+\n/.test(output), `a pid in the output of: ${script}`);
	return { ...started, pid: Number.parseInt(output, 10), output: () => output };
};

suite("group-stops", () => {
	test("a parent is told when its child stops and goes on", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = [build("glibc", "group-stop.c")];
		const expected = await native(program);
		assert.match(expected.stdout, /still there 0\nstatus f\n$/);
		assert.doesNotMatch(expected.stdout, /state/);
		assert.deepEqual(await runUnder(SHIFTED, program), expected);
	});

	test("SIGSTOP from outside stops the program, SIGCONT lets it go on, again and again", TIMEOUT, async () => {
		const { pid, child, finished, mark } = await startScript("echo $$; while :; do :; done");
		for (let round = 0; round < 20; round++) {
			process.kill(pid, "SIGSTOP");
			await until(() => /^[tT]+$/.test(statesOf(pid)), "stopped");
			process.kill(pid, "SIGCONT");
			await until(() => /[RSD]/.test(statesOf(pid)), "running");
		}
		assert.equal(child.exitCode, null);
		process.kill(pid, "SIGKILL");
		assert.equal((await finished).signal, "SIGKILL");
		await assertNothingLeft(mark);
	});

	test("all threads of a process stop and go on", TIMEOUT, async (t) => {
		if (!has(t, "python3")) return;
		const program =
			"import os, threading, time\nfor i in range(7): threading.Thread(target=time.sleep, args=(300,), daemon=True).start()\nos.write(1, b'%d\\n' % os.getpid())\ntime.sleep(300)";
		const { pid, finished, mark } = await startScript(
			`exec /usr/bin/env python3 -c '${program.replaceAll("'", `'"'"'`)}'`,
		);
		for (let round = 0; round < 5; round++) {
			process.kill(pid, "SIGSTOP");
			await until(() => /^[tT]{8}$/.test(statesOf(pid)), "8 threads stopped");
			process.kill(pid, "SIGCONT");
			await until(() => /^S{8}$/.test(statesOf(pid)), "8 threads asleep");
		}
		process.kill(pid, "SIGTERM");
		assert.equal((await finished).signal, "SIGTERM");
		await assertNothingLeft(mark);
	});

	test("a stopped program can be killed", TIMEOUT, async () => {
		const { pid, finished, mark } = await startScript("echo $$; exec sleep 300");
		process.kill(pid, "SIGSTOP");
		await until(() => /^[tT]$/.test(statesOf(pid)), "stopped");
		process.kill(pid, "SIGKILL");
		assert.equal((await finished).signal, "SIGKILL");
		await assertNothingLeft(mark);
	});

	test("a program is stopped while it starts others", TIMEOUT, async () => {
		const { pid, finished, mark } = await startScript(
			"echo $$; for ((i = 0; i < 300; i++)); do /bin/true; done; date -u +%Y",
		);
		for (let round = 0; round < 30; round++) {
			process.kill(pid, "SIGSTOP");
			await pause(2);
			process.kill(pid, "SIGCONT");
			await pause(5);
		}
		const { stdout, stderr, exitCode } = await finished;
		assert.deepEqual([stdout, stderr, exitCode], [`${pid}\n2038\n`, "", 0]);
		await assertNothingLeft(mark);
	});
});

suite("at a terminal", () => {
	const scenarios: readonly (readonly [name: string, scenario: string])[] = [
		["an interactive bash under the supervisor: ^Z, jobs, bg, fg, ^C, ^\\, exit", "inside"],
		["the supervisor as a job: ^Z, bg, fg, ^C, ^\\, a program that handles ^C or stops itself", "job"],
		["the terminal goes away", "hangup"],
	];
	for (const [name, scenario] of scenarios) {
		test(name, TIMEOUT, async (t) => {
			if (!has(t, "python3", "bash")) return;
			const started = startCommand("python3", [fixturePath("job-control.py"), scenario, ...RUN], {
				timeoutMs: 170_000,
			});
			const { stdout, stderr } = await started.finished;
			await assertNothingLeft(started.mark);
			assert.deepEqual([stdout, stderr], ["ok\n", ""]);
		});
	}
});

suite("a signal to the supervisor alone", () => {
	for (const name of ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGQUIT"] as const) {
		test(`${name} reaches the program, which handles it`, TIMEOUT, async () => {
			const script = `trap 'echo caught ${name}; exit 9' ${name.slice(3)}; echo $$; while :; do sleep 0.05; done`;
			const { child, finished, mark, pid } = await startScript(script);
			child.kill(name);
			const { stdout, exitCode, signal } = await finished;
			assert.deepEqual([stdout, exitCode, signal], [`${pid}\ncaught ${name}\n`, 9, null]);
			await assertNothingLeft(mark);
		});

		test(`${name} ends a program that does not, and us by the same`, TIMEOUT, async () => {
			const { child, finished, mark } = await startScript("ulimit -c 0; echo $$; exec sleep 300");
			child.kill(name);
			const { exitCode, signal } = await finished;
			assert.deepEqual([exitCode, signal], [null, name]);
			await assertNothingLeft(mark);
		});
	}

	test("SIGTERM reaches a daemon when the first process has ended", TIMEOUT, async () => {
		const script = "setsid sh -c 'echo $$; exec sleep 300' & exit 4";
		const { child, finished, mark, pid } = await startScript(script);
		await until(() => readFileSync(`/proc/${pid}/stat`, "latin1").includes("(sleep)"), "the daemon");
		child.kill("SIGTERM");
		assert.equal((await finished).exitCode, 4);
		await assertNothingLeft(mark);
	});

	test("a signal reaches a daemon of many threads once", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const { child, finished, mark, pid } = await startScript(
			`exec ${build("glibc", "thread-shapes.c")} count-signals 8`,
		);
		child.kill("SIGUSR1");
		const { stdout, exitCode } = await finished;
		assert.deepEqual([stdout, exitCode], [`${pid}\nsignals 1\n`, 7]);
		await assertNothingLeft(mark);
	});

	test("timeout(1) ends the program", TIMEOUT, async (t) => {
		if (!has(t, "timeout")) return;
		const started = startCommand("timeout", ["0.7", ...RUN, "sleep", "300"]);
		assert.equal((await started.finished).exitCode, 124);
		await assertNothingLeft(started.mark);
	});

	test("^C at a script runner: SIGINT to the whole group arrives once", TIMEOUT, async () => {
		const script = `trap 'echo caught' INT; echo $$; for i in 1 2 3 4 5 6; do sleep 0.1; done; echo end`;
		const started = startCommand("setsid", [...RUN, "bash", "-c", script]);
		let output = "";
		started.child.stdout?.on("data", (text: string) => (output += text));
		await until(() => /^\d+\n/.test(output), "a pid");
		process.kill(-(started.child.pid ?? 0), "SIGINT");
		const { stdout, exitCode } = await started.finished;
		assert.match(stdout, /^\d+\ncaught\nend\n$/);
		assert.equal(exitCode, 0);
		await assertNothingLeft(started.mark);
	});
});
