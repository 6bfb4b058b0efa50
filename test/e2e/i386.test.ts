/** 32-bit programs in the tree of a run: covered like all others, from and to 64-bit ones, under every clock and every tracer. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, suite, test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { assertImageFacts } from "../helpers/image-facts.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { startTeller } from "../helpers/teller.ts";
import { native, type RunSettings, runCommand, runUnder, vsyscall } from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";

const TIMEOUT = { timeout: 120_000 };
const SHIFTED = "@2031-02-03T04:05:06Z";
const REPEATS = 100;
const NARROW: readonly Toolchain[] = ["glibc-32", "glibc-32-static", "glibc-32-time64"];
const directory = mkdtempSync(join(tmpdir(), "vsyscall-i386-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const tells = (toolchain: Toolchain): string => build(toolchain, "tells.c");

/** How many memory files the supervisor of a run has open when the program has ended. */
const memoryFiles = async (command: readonly string[]): Promise<number> => {
	const script = '"$@"; ls -l /proc/$PPID/fd | grep -c memfd';
	const { stdout } = await runUnder(SHIFTED, ["sh", "-c", script, "sh", ...command]);
	return Number(stdout.trim().split("\n").at(-1));
};

suite("a tree of both classes", () => {
	test("execs from 64 to 32 bit and back, and all of it is on the clock", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const [wide, narrow, still] = [tells("glibc"), tells("glibc-32"), tells("glibc-32-static")];
		// Each execs the next.
		const chain = [narrow, wide, still, wide, narrow, still].flatMap((program) => [program, "year"]);
		assert.equal(cleanOutput(await runUnder(SHIFTED, [...chain, "date", "-u", "+%Y"])), "2031\n".repeat(7));
	});

	test("a 32-bit program starts 64-bit children, and those 32-bit ones", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "bash")) return;
		const script = `"$0" year; (date -u +%Y); "$0" year & wait; "$0" year sh -c '"$0" year; date -u +%Y' "$0"`;
		const command = [tells("glibc-32-static"), "year", "bash", "-c", script, tells("glibc-32")];
		assert.equal(cleanOutput(await runUnder(SHIFTED, command)), "2031\n".repeat(7));
	});

	test(`the same ${REPEATS} times in one run`, TIMEOUT, async (t) => {
		if (!has(t, "gcc", "bash")) return;
		const [wide, narrow] = [tells("glibc"), tells("glibc-32")];
		const script = `for ((i = 0; i < ${REPEATS}; i++)); do "$0" year "$1" year "$0" year & "$1" year "$0" year; wait; done | sort | uniq -c`;
		const output = cleanOutput(await runUnder(SHIFTED, ["bash", "-c", script, narrow, wide]));
		assert.equal(output.trim(), `${5 * REPEATS} 2031`);
	});

	test("an exec out of a thread, and a storm of them, end as they do natively", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const storms = build("glibc-32", "storms.c");
		for (const kind of ["threads", "vforks", "fork-race", "alarms"]) {
			const command = [storms, kind, "100", tells("glibc-32-static"), "year"];
			const expected = await native(command);
			const { stdout, stderr, exitCode, signal } = await runUnder(SHIFTED, command);
			assert.deepEqual([stderr, exitCode, signal], ["", expected.exitCode, expected.signal], kind);
			assert.equal(stdout.split("\n").at(-2), expected.stdout.split("\n").at(-2), kind);
		}
	});

	test("a 32-bit process has no vsyscall page, its 64-bit child has one, on the clock", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "legacy.c");
		const expected = await runUnder(SHIFTED, [program]);
		assert.equal(expected.exitCode, 0);
		const found = await runUnder(SHIFTED, [build("glibc-32-static", "exec-argument.c"), program]);
		assert.deepEqual([found.stderr, found.exitCode], [expected.stderr, 0]);
		const maps = await runUnder(SHIFTED, [tells("glibc-32-static"), "maps"]);
		assert.doesNotMatch(maps.stdout, /vsyscall\]/);
	});

	test("each run builds nothing for 32-bit programs that it has not", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const [without, withOne] = [
			await memoryFiles(["true"]),
			await memoryFiles([build("glibc-32-static", "exit-seven.c")]),
		];
		assert.equal(withOne, without + 1);
	});
});

describe("the clock of a 32-bit program", () => {
	for (const toolchain of NARROW) {
		test(`is moved while it runs (${toolchain})`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const settings: RunSettings = { env: { VSYSCALL_RUNTIME_DIR: join(directory, toolchain) } };
			const clock = (...words: readonly string[]) => vsyscall(["clock", ...words], settings);
			await clock("create", "shop", "@2030-01-01T00:00Z frozen");
			const tellers = [toolchain, "glibc"] as const;
			const started = tellers.map((kind) => startTeller("shop", [tells(kind), "answers"], settings));
			const ask = () => Promise.all(started.map((one) => one.ask()));
			assert.deepEqual(await ask(), [1_893_456_000, 1_893_456_000]);
			await clock("advance", "shop", "1d");
			assert.deepEqual(await ask(), [1_893_542_400, 1_893_542_400]);
			await clock("set", "shop", "@2036-01-01T00:00Z");
			// time() is as old as the last tick, which can be of the second before.
			for (const shown of await ask()) assert.ok(shown >= 2_082_758_399 && shown < 2_082_758_460, String(shown));
			for (const one of started) assert.equal((await one.end()).exitCode, 0);
		});
	}

	for (const [clock, ratio] of [
		["drift=500000", 1.5],
		["drift=-500000", 0.5],
	] as const) {
		test(`goes ${ratio} times as fast under ${clock}, and only the wall does`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			for (const toolchain of NARROW) {
				const output = cleanOutput(await runUnder(clock, [tells(toolchain), "rate"]));
				assert.ok(Math.abs(Number(output) / ratio - 1) < 0.02, `${toolchain}: ${output}`);
			}
		});
	}

	test("is one clock with its system calls: they and the vDSO by turns never step back", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		for (const toolchain of NARROW) {
			for (const clock of ["host", "+10y", "-10y", "@2031-01-01T00:00:00Z frozen"]) {
				const command = [build(toolchain, "time-syscalls.c"), "order", "20000"];
				const output = cleanOutput(await runUnder(clock, command));
				assert.deepEqual(JSON.parse(output), { rounds: 20_000, broken: 0, example: "" }, `${toolchain}, ${clock}`);
			}
		}
	});

	test("is shown by the calls of both widths alike", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		for (const clock of ["host", "+10y", "-10y"]) {
			const command = [build("glibc-32", "time-syscalls.c"), "int80"];
			const expected = cleanOutput(await native(command));
			assert.equal(cleanOutput(await runUnder(clock, command)), expected, clock);
		}
	});

	test("meets the kernel's own errors", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = [build("glibc-32", "time-syscalls.c"), "errors"];
		const expected = cleanOutput(await native(command));
		for (const clock of ["host", "+10y"]) assert.equal(cleanOutput(await runUnder(clock, command)), expected, clock);
	});

	test("is set by it, and its 64-bit children see that", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const set = [build("glibc-32", "time-syscalls.c"), "set", "2000000000"];
		const output = cleanOutput(await runUnder("+10y", ["sh", "-c", `"$@"; date -u +%Y`, "sh", ...set]));
		assert.equal(output.split("\n").at(-2), "2033");
	});
});

suite("the image of 32-bit processes", () => {
	for (const toolchain of ["glibc-32", "glibc-32-static"] as const) {
		test(
			`has its address in both copies of the auxiliary vector, and the right rights (${toolchain})`,
			TIMEOUT,
			async (t) => {
				if (!has(t, "gcc")) return;
				await assertImageFacts(SHIFTED, build(toolchain, "image-facts.c"), /^stack f[0-9a-f]{4}000$/);
			},
		);
	}

	test("leaves the host's mapped, and stands in front of it", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const maps = cleanOutput(await runUnder(SHIFTED, [tells("glibc-32-static"), "maps"]));
		assert.match(maps, /memfd:vsyscall.*\n.*\n.*memfd:vsyscall.*\n.*\[vvar\]\n(.*\[vvar_vclock\]\n)?.*\[vdso\]\n/);
	});

	test(
		"is at an address that differs from exec to exec, and does not where that is switched off",
		TIMEOUT,
		async (t) => {
			if (!has(t, "gcc", "setarch", "bash")) return;
			const script = `for ((i = 0; i < 20; i++)); do "$0" --address; done | sort -u | wc -l`;
			const command = ["bash", "-c", script, build("glibc-32-static", "image-facts.c")];
			const distinct = Number(cleanOutput(await runUnder(SHIFTED, command)));
			assert.ok(distinct > 10, String(distinct));
			assert.equal(Number(cleanOutput(await runUnder(SHIFTED, ["setarch", "--addr-no-randomize", ...command]))), 1);
		},
	);

	test("is given where no path leads to it, and where there is no room in front of the host's", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "unshare", "bash") || !isRoot(t)) return;
		for (const command of [
			["unshare", "-p", "-f", "--mount-proc"],
			["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
			["bash", "-c", 'ulimit -s unlimited; exec "$@"', "bash"],
			["setarch", "-L"],
		]) {
			const finished = await runUnder(SHIFTED, [...command, tells("glibc-32"), "year"]);
			assert.equal(cleanOutput(finished), "2031\n", command.join(" "));
		}
	});
});

suite("under another tracer of the run", () => {
	test("gdb finds the image, its symbols, and the caller of a system call", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "gdb")) return;
		const program = build("glibc-32", "waits-in-read.c");
		const script = ["handle SIGALRM stop nopass", "run", "bt", "kill"];
		const words = script.flatMap((word) => ["-ex", word]);
		const { stdout } = await runUnder(SHIFTED, ["gdb", "-nx", "-q", "-batch", ...words, program]);
		assert.match(stdout, /in inner \(fd=3\)[^]*in outer \(fd=3\)[^]*in main/);
	});

	test("strace shows the clock of the run", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "strace")) return;
		const { stdout, exitCode } = await runUnder(SHIFTED, [
			"strace",
			"-f",
			"-o",
			"/dev/null",
			tells("glibc-32"),
			"year",
		]);
		assert.deepEqual([stdout, exitCode], ["2031\n", 0]);
	});

	test("a core file has the image", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "gdb", "bash")) return;
		const script = 'cd "$0" && ulimit -c unlimited && "$1" abort';
		const program = build("glibc-32", "waits-in-read.c");
		await runUnder(SHIFTED, ["bash", "-c", script, directory, program]);
		const found = await runCommand(["sh", "-c", 'ls "$0" | grep ^core || true', directory]);
		const [core] = found.stdout.trim().split("\n");
		// Where cores go is the host's business: only one that is here can be looked at.
		if (core === undefined || core === "") return;
		const words = ["-ex", "bt", "-ex", "info auxv"].concat(program, join(directory, core));
		const { stdout } = await runCommand(["gdb", "-nx", "-q", "-batch", ...words]);
		assert.match(stdout, /AT_SYSINFO_EHDR/);
	});
});
