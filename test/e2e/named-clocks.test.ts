/** Named clocks from the command line: programs that share one, and what steers it while they run. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { findTool, has, isRoot } from "../helpers/requirements.ts";
import { startTeller } from "../helpers/teller.ts";
import { assertNothingLeft, type RunSettings, runCommand, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-named-"));
after(() => rmSync(directory, { recursive: true, force: true }));

let count = 0;

/** Settings with a directory of clocks that nobody else uses. */
const fresh = (): RunSettings => ({ env: { VSYSCALL_RUNTIME_DIR: join(directory, String(count++)) } });

const clock = async (settings: RunSettings, ...words: readonly string[]): Promise<string> => {
	const { stdout, stderr, exitCode } = await vsyscall(["clock", ...words], settings);
	assert.equal(stderr, "");
	assert.equal(exitCode, 0);
	return stdout.trimEnd();
};

const refusal = async (settings: RunSettings, ...words: readonly string[]): Promise<string> => {
	const { stdout, stderr, exitCode } = await vsyscall(words, settings);
	assert.equal(stdout, "");
	assert.equal(exitCode, 125);
	assert.match(stderr, /^vsyscall: [^\n]*\n$/);
	return stderr;
};

const SCRIPT = "while read line; do date +%s; done";

const seconds = (iso: string): number => Date.parse(iso) / 1000;

const NEW_YEAR = "2027-01-31T23:59:00Z";

suite("programs on one clock", () => {
	test("see every change at their next read", TIMEOUT, async () => {
		const settings = fresh();
		await clock(settings, "create", "shop", `@${NEW_YEAR} frozen`);
		const tellers = [
			startTeller("shop", ["bash", "-c", SCRIPT], settings),
			startTeller("shop", ["sh", "-c", SCRIPT], settings),
		];
		const ask = (): Promise<number[]> => Promise.all(tellers.map((teller) => teller.ask()));
		const start = seconds(NEW_YEAR);
		assert.deepEqual(await ask(), [start, start]);
		assert.equal(await clock(settings, "advance", "shop", "30d"), "2027-03-02T23:59:00Z");
		assert.deepEqual(await ask(), [start + 30 * 86_400, start + 30 * 86_400]);
		assert.equal(await clock(settings, "set", "shop", "@2040-01-01T00:00Z frozen"), "2040-01-01T00:00:00Z");
		assert.deepEqual(await ask(), [2_208_988_800, 2_208_988_800]);
		await clock(settings, "reset", "shop");
		for (const shown of await ask()) assert.ok(Math.abs(shown - Date.now() / 1000) < 5);
		const pids = JSON.parse(await clock(settings, "ps", "shop", "--json")) as { pid: number; covered: boolean }[];
		assert.equal(pids.length, 2);
		assert.ok(pids.every(({ covered }) => covered));
		assert.match(await refusal(settings, "clock", "rm", "shop"), /2 processes are on the clock shop/);
		for (const teller of tellers) assert.equal((await teller.end()).exitCode, 0);
		await clock(settings, "rm", "shop");
		assert.equal(await clock(settings, "list"), "");
	});

	test("also when they cannot open a path", TIMEOUT, async (t) => {
		if (!has(t, "busybox")) return;
		if (!isRoot(t)) return;
		const settings = fresh();
		const root = join(directory, "root");
		mkdirSync(root);
		copyFileSync(findTool("busybox") ?? "", join(root, "busybox"));
		await clock(settings, "create", "shop", `@${NEW_YEAR} frozen`);
		const script = "while read line; do /busybox date +%s; done";
		const teller = startTeller(
			"shop",
			["chroot", "--userspec=65534:65534", root, "/busybox", "sh", "-c", script],
			settings,
		);
		assert.equal(await teller.ask(), seconds(NEW_YEAR));
		await clock(settings, "advance", "shop", "1h");
		assert.equal(await teller.ask(), seconds(NEW_YEAR) + 3600);
		assert.equal((await teller.end()).exitCode, 0);
	});

	test("cannot write to its page", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const settings = fresh();
		await clock(settings, "create", "shop", "+1d");
		const run = await vsyscall(["run", "--clock", "shop", "--", build("glibc", "page-protection.c")], settings);
		assert.equal(run.stdout, "mprotect: EACCES\n");
	});

	test("keep its time when it is removed", TIMEOUT, async () => {
		const settings = fresh();
		await clock(settings, "create", "shop", `@${NEW_YEAR} frozen`);
		const teller = startTeller("shop", ["sh", "-c", SCRIPT], settings);
		await teller.ask();
		await clock(settings, "rm", "--force", "shop");
		assert.equal(await teller.ask(), seconds(NEW_YEAR));
		await teller.end();
	});
});

suite("a clock", () => {
	test("that is frozen stands, and goes on from there", TIMEOUT, async () => {
		const settings = fresh();
		await clock(settings, "create", "shop", `@${NEW_YEAR}`);
		const stands = await clock(settings, "freeze", "shop");
		assert.equal((await clock(settings, "show", "shop")).split("  ")[0], stands);
		assert.match(await clock(settings, "show", "shop"), /frozen$/);
		const goesOn = await clock(settings, "resume", "shop");
		assert.ok(goesOn >= stands);
		assert.ok(seconds(goesOn) - seconds(stands) < 5);
	});

	test("is waited for, whoever moves it", TIMEOUT, async () => {
		const settings = fresh();
		await clock(settings, "create", "shop", `@${NEW_YEAR} frozen`);
		const waiting = startVsyscall(["clock", "wait-until", "shop", "@2027-02-01T00:00Z"], settings);
		await clock(settings, "advance", "shop", "30s");
		const [{ stdout, exitCode }] = await Promise.all([
			waiting.finished,
			startVsyscall(["clock", "advance", "shop", "1m"], settings).finished,
		]);
		await assertNothingLeft(waiting.mark);
		assert.deepEqual([stdout, exitCode], ["2027-02-01T00:00:30Z\n", 0]);
	});

	test("is listed and shown as JSON", TIMEOUT, async () => {
		const settings = fresh();
		await clock(settings, "create", "shop", `@${NEW_YEAR} frozen`);
		await clock(settings, "create", "bank", "+1h");
		const listed = JSON.parse(await clock(settings, "list", "--json")) as Record<string, unknown>[];
		assert.deepEqual(
			listed.map(({ name, spec, processes }) => [name, spec, processes]),
			[
				["bank", "+1h", 0],
				["shop", `@${NEW_YEAR} frozen`, 0],
			],
		);
		const shown = JSON.parse(await clock(settings, "show", "shop", "--json")) as Record<string, unknown>;
		assert.deepEqual([shown["name"], shown["time"], shown["kind"]], ["shop", NEW_YEAR, "frozen"]);
	});

	test("leaves nothing in the file system but its page", TIMEOUT, async () => {
		const settings = fresh();
		await clock(settings, "create", "shop");
		await vsyscall(["run", "--clock", "shop", "--", "true"], settings);
		const files = await runCommand(["ls", "-lA", settings.env?.["VSYSCALL_RUNTIME_DIR"] ?? ""]);
		assert.match(files.stdout, /^total \d+\n-rw------- .* 4096 .* shop\.clock\n$/);
	});

	test("names the processes that could not be put on it", TIMEOUT, async (t) => {
		if (!has(t, "strace")) return;
		const settings = fresh();
		await clock(settings, "create", "shop", "+1d");
		const command = ["bash", "-c", "sleep 5 & strace -o /dev/null -p $! & wait"];
		const started = startVsyscall(["run", "--clock", "shop", "--", ...command], settings);
		let listed = "";
		while (!listed.includes("tracer")) listed = await clock(settings, "ps", "shop");
		assert.match(listed, /is let go to another tracer, .*strace/);
		await started.finished;
		await assertNothingLeft(started.mark);
	});
});

suite("bad input changes nothing:", () => {
	const cases: readonly (readonly [words: string, pattern: RegExp])[] = [
		["clock show shpo", /no clock is called shpo \(there is shop\)/],
		[
			"run --clock shpo -- true",
			/shpo is neither a clock spec \(for example .*\) nor the name of a clock \(there is shop\)/,
		],
		["clock create shop", /there is a clock called shop already/],
		["clock create a/b", /"a\/b" cannot be the name of a clock/],
		["clock show a/b", /"a\/b" cannot be the name of a clock/],
		["clock rm ../shop", /"\.\.\/shop" cannot be the name of a clock/],
		["run --clock ./shop -- true", /unknown word "\.\/shop"/],
		["clock set shop @2040-13-01", /clock/],
		["clock set shop +99999y", /longer than 20000 years/],
		["clock set shop +9000y", /outside the years -9999 to 9999/],
		["clock set shop %/etc/passwd", /cannot follow a file/],
		["clock advance shop -1d", /forward/],
		["clock advance shop 30x", /unknown unit "x"/],
		["clock advance shop 99999y", /longer than 20000 years/],
		["clock advance shop 9000y", /outside the years -9999 to 9999; it stays at 2027-01-31T23:59:00Z/],
		["clock rate shop 2", /not yet: a rate/],
		["clock wait-until shop soon", /soon/],
		["clock turn shop", /unknown command/],
		["clock advance shop", /missing required argument/],
	];
	for (const [words, pattern] of cases) {
		test(words, TIMEOUT, async () => {
			const settings = fresh();
			await clock(settings, "create", "shop", `@${NEW_YEAR} frozen`);
			const page = readFileSync(join(settings.env?.["VSYSCALL_RUNTIME_DIR"] ?? "", "shop.clock"));
			const run = await vsyscall(words.split(" "), settings);
			assert.match(run.stderr, pattern);
			assert.match(run.stderr, /^vsyscall: [^\n]*\n$/);
			assert.deepEqual([run.stdout, run.exitCode], ["", 125]);
			assert.deepEqual(readFileSync(join(settings.env?.["VSYSCALL_RUNTIME_DIR"] ?? "", "shop.clock")), page);
		});
	}

	test("without a verb: how it is used", TIMEOUT, async () => {
		const { stderr, exitCode } = await vsyscall(["clock"], fresh());
		assert.match(stderr, /^Usage: vsyscall clock/);
		assert.equal(exitCode, 125);
	});
});
