/** Many processes, threads and signals, and the races between them: the same results as natively, a hundred times over. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { type Finished, native, runUnder } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 180_000 };
const SHIFTED = "@2038-01-19T03:14:07Z";
const REPEATS = 100;
const LONG = { timeoutMs: 120_000 };

const ended = (stdout: string, exitCode = 0): Finished => ({ stdout, stderr: "", exitCode, signal: null });
/** What `uniq -c` says of equal lines. */
const counted = (count: number, line: string): Finished => ended(`${String(count).padStart(7)} ${line}\n`);
/** The smallest program: exits with status 0. */
const tiny = (): string => build("glibc-static", "exit-zero.S", ["-nostdlib"]);
const storms = (): string => build("glibc", "storms.c");
const shapes = (): string => build("glibc", "thread-shapes.c");

/** Runs a bash script natively and under the clock, and asserts the same outcome. */
const assertSame = async (script: string, ...args: readonly string[]): Promise<Finished> => {
	const command = ["bash", "-c", script, "bash", ...args];
	const expected = await native(command, LONG);
	assert.deepEqual(await runUnder(SHIFTED, command, LONG), expected);
	return expected;
};

suite("storms end as they do natively", () => {
	test("2,000 short processes of a shell loop", TIMEOUT, async () => {
		const script = "for ((i = 0; i < 2000; i++)); do /bin/echo $i $((i % 7)); done | cksum; exit 5";
		assert.equal((await assertSame(script)).exitCode, 5);
	});

	test("each of 200 short processes shows the clock", TIMEOUT, async () => {
		const script = "for ((i = 0; i < 200; i++)); do date -u +%Y; done | sort | uniq -c";
		assert.deepEqual(await runUnder(SHIFTED, ["bash", "-c", script]), ended("    200 2038\n"));
	});

	test("statuses and signals of 500 children at once", TIMEOUT, async () => {
		const child = "if ((i % 5 == 0)); then kill -9 $BASHPID; else exit $((i % 200)); fi";
		const script = `exec 2>/dev/null; for ((i = 0; i < 500; i++)); do (${child}) & pids+=($!); done; for p in \${pids[@]}; do wait $p; echo $?; done`;
		const { stdout } = await assertSame(script);
		assert.equal(stdout.split("\n").filter((line) => line === "137").length, 100 + 2);
	});

	test("make -j2 of 200 C files", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "make")) return;
		const directory = mkdtempSync(join(tmpdir(), "vsyscall-make-"));
		const numbers = Array.from({ length: 200 }, (_, index) => index);
		for (const number of numbers) {
			writeFileSync(join(directory, `f${number}.c`), `int f${number}(int x) { return x + ${number}; }\n`);
		}
		const declarations = numbers.map((number) => `int f${number}(int);`).join("\n");
		const sum = numbers.map((number) => `f${number}(1)`).join(" + ");
		writeFileSync(
			join(directory, "main.c"),
			`${declarations}\nint printf(const char *, ...);\nint main(void) { printf("%d\\n", ${sum}); return 0; }\n`,
		);
		const objects = ["main.o", ...numbers.map((number) => `f${number}.o`)].join(" ");
		writeFileSync(join(directory, "Makefile"), `sum: ${objects}\n\tgcc -o $@ $^\n%.o: ../%.c\n\tgcc -O0 -c -o $@ $<\n`);
		const results = async (name: string, run: (command: readonly string[], cwd: string) => Promise<Finished>) => {
			const cwd = join(directory, name);
			mkdirSync(cwd);
			const { exitCode, stderr, stdout } = await run(["make", "-s", "-j2", "-f", "../Makefile"], cwd);
			const files = readdirSync(cwd)
				.toSorted()
				.map((file) => readFileSync(join(cwd, file)).toString("base64"));
			const { stdout: shown } = await native(["./sum"], { cwd });
			return { exitCode, stderr, stdout, files, shown };
		};
		const expected = await results("a", (command, cwd) => native(command, { ...LONG, cwd }));
		const built = await results("b", (command, cwd) => runUnder(SHIFTED, command, { ...LONG, cwd }));
		rmSync(directory, { recursive: true });
		assert.deepEqual(
			[expected.exitCode, expected.files.length, expected.shown],
			[0, 202, `${(199 * 200) / 2 + 200}\n`],
		);
		assert.deepEqual(built, expected);
	});

	const kinds: readonly (readonly [name: string, kind: string, count: number, good: number])[] = [
		["1,000 threads, each of which reads the clock", "threads", 1000, 1000],
		["1,000 vforks", "vforks", 1000, 1000],
		["fork and exec by 8 threads", "fork-race", 60, 480],
		["SIGALRM at 1 kHz for 1 s in a loop that reads the clock", "alarms", 1000, 1000],
	];
	for (const [name, kind, count, good] of kinds) {
		test(name, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const command = [storms(), kind, String(count), tiny()];
			const expected = ended(`${good} good, 0 steps back\n`);
			assert.deepEqual(await native(command, LONG), expected);
			const started = process.hrtime.bigint();
			assert.deepEqual(await runUnder(SHIFTED, command, LONG), expected);
			const seconds = Number(process.hrtime.bigint() - started) / 1e9;
			assert.ok(seconds < 60, `${seconds} s`);
		});
	}

	test("threads, vforks and alarms at the same time", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = '"$0" threads 400 & "$0" vforks 200 "$1" & "$0" alarms 400 & "$0" fork-race 10 "$1" & wait';
		const { stdout } = await runUnder(SHIFTED, ["bash", "-c", script, storms(), tiny()], LONG);
		assert.deepEqual(
			stdout.trimEnd().split("\n").toSorted(),
			[200, 400, 400, 80].map((n) => `${n} good, 0 steps back`).toSorted(),
		);
	});
});

suite(`races, ${REPEATS} times each`, () => {
	const loop = `for ((i = 0; i < ${REPEATS}; i++)); do`;

	test("exec from a thread that is not the leader while 8 others run", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = `${loop} "$0" exec-from-thread 8 /bin/date -u +%Y; done | uniq -c`;
		assert.deepEqual(await runUnder(SHIFTED, ["bash", "-c", script, shapes()], LONG), counted(REPEATS, "2038"));
	});

	test("exec from a thread when the leader has ended", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = `${loop} "$0" leader-first-exec /bin/date -u +%Y; done | uniq -c`;
		assert.deepEqual(await runUnder(SHIFTED, ["bash", "-c", script, shapes()], LONG), counted(REPEATS, "2038"));
	});

	test("the leader ends before its threads", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = `${loop} "$0" leader-first; echo "status $?"; done | sort | uniq -c`;
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, shapes()], LONG);
		assert.deepEqual(
			finished,
			ended(`${counted(REPEATS, "status 7").stdout}${counted(REPEATS, "thread shifted").stdout}`),
		);
	});

	test("fork and exec by 8 threads", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = `${loop} "$0" fork-race 2 "$1"; done | uniq -c`;
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, storms(), tiny()], LONG);
		assert.deepEqual(finished, counted(REPEATS, "16 good, 0 steps back"));
	});

	test("SIGKILL of a child right after its start", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		// Around 0 to 2 ms: in fork, in exec, in our install, in the loader.
		const script = `exec 2>/dev/null; ${loop} "$0" 10000 0 >/dev/null & for ((j = 0; j < i * 20; j++)); do :; done; kill -9 $!; wait $!; echo $?; done | uniq -c`;
		const program = build("glibc", "reads-clock.c");
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, program], LONG);
		assert.deepEqual({ ...finished, stderr: "" }, counted(REPEATS, "137"));
	});

	test("SIGKILL of the first process right after its start", TIMEOUT, async () => {
		for (let round = 0; round < REPEATS; round++) {
			// A child of the program's kills it from behind, at a moment that differs.
			const script = `(for ((j = 0; j < ${round * 10}; j++)); do :; done; kill -9 $$) & exec sleep 300`;
			const finished = await runUnder(SHIFTED, ["bash", "-c", script]);
			assert.deepEqual(finished, { stdout: "", stderr: "", exitCode: null, signal: "SIGKILL" });
		}
	});

	test("SIGKILL of a process group that forks", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = `exec 2>/dev/null; { set -m; ${loop} "$0" fork-race 1000 "$1" >/dev/null & for ((j = 0; j < i * 100; j++)); do :; done; kill -9 -$!; wait $!; echo $?; done; } | uniq -c; date -u +%Y`;
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, storms(), tiny()], LONG);
		assert.deepEqual({ ...finished, stderr: "" }, ended(`${counted(REPEATS, "137").stdout}2038\n`));
	});

	test("SIGKILL of a parent that forks, whose children end by themselves", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = `exec 2>/dev/null; ${loop} "$0" fork-race 1000 "$1" >/dev/null & for ((j = 0; j < i * 100; j++)); do :; done; kill -9 $!; wait $!; echo $?; done | uniq -c; date -u +%Y`;
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, storms(), tiny()], LONG);
		assert.deepEqual({ ...finished, stderr: "" }, ended(`${counted(REPEATS, "137").stdout}2038\n`));
	});
});
