/** The timestamp files of faketime, changed while programs run on them. The oracle is the original. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, suite, test } from "node:test";
import { has } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	native,
	type Started,
	startCommand,
	startVsyscall,
	vsyscall,
} from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-faketime-files-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const HOME = join(directory, "home");
const FILE = join(directory, "stamp");
const variables = { HOME, FAKETIME_TIMESTAMP_FILE: FILE, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" };
const preloaded = { ...variables, LD_PRELOAD: "/usr/$LIB/faketime/libfaketime.so.1" };

beforeEach(() => {
	rmSync(HOME, { recursive: true, force: true });
	mkdirSync(HOME);
	rmSync(FILE, { force: true });
});

/** Says for each line of its input the seconds since 1970. */
const TELLER = ["python3", "-uc", "import sys, time\nfor line in sys.stdin: print(time.time())"] as const;

/** A program that tells what it reads, as often as it is asked. */
class Told {
	readonly #started: Started;
	readonly #lines: ((line: string) => void)[] = [];
	#rest = "";

	constructor(started: Started) {
		this.#started = started;
		started.child.stdout?.on("data", (text: string) => {
			const lines = (this.#rest + text).split("\n");
			this.#rest = lines.pop() ?? "";
			for (const line of lines) this.#lines.shift()?.(line);
		});
	}

	ask(): Promise<number> {
		return new Promise((resolve) => {
			this.#lines.push((line) => resolve(Number(line)));
			this.#started.child.stdin?.write("\n");
		});
	}

	/** Asks until it tells a time in this range of seconds. */
	async until(first: number, last: number): Promise<number> {
		for (let attempt = 0; attempt < 500; attempt++) {
			const time = await this.ask();
			if (time >= first && time < last) return time;
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
		assert.fail(`never between ${first} and ${last}: ${await this.ask()}`);
	}

	async end(): Promise<string> {
		this.#started.child.stdin?.end();
		const { stderr } = await this.#started.finished;
		await assertNothingLeft(this.#started.mark);
		return stderr;
	}
}

const ours = (env: Readonly<Record<string, string>> = variables): Told =>
	new Told(startVsyscall(["faketime", "--", ...TELLER], { env, interactive: true }));
const theirs = (): Told => new Told(startCommand(TELLER[0], TELLER.slice(1), { env: preloaded, interactive: true }));

const DAY = 86_400;
/** 2040-01-01T00:00:00Z */
const THEN = 2_208_988_800;
const nowAnd = (seconds: number): readonly [number, number] => {
	const now = Date.now() / 1000 + seconds;
	return [now - 30, now + 30];
};

suite("a timestamp file is watched", () => {
	test("each change is on the clock, as in the original", TIMEOUT, async (t) => {
		if (!has(t, "faketime")) return;
		writeFileSync(FILE, "+1d\n");
		const both = [theirs(), ours()];
		const all = (first: number, last: number): Promise<unknown> =>
			Promise.all(both.map((program) => program.until(first, last)));
		await all(...nowAnd(DAY));
		writeFileSync(FILE, "# two days\n+2d\n");
		await all(...nowAnd(2 * DAY));
		// A date begins when it is written.
		writeFileSync(FILE, "@2040-01-01 00:00:00\n");
		await all(THEN, THEN + 20);
		writeFileSync(FILE, "2040-06-01 00:00:00\n");
		await all(THEN + 152 * DAY, THEN + 152 * DAY + 0.001);
		// An empty file is one that is just being written.
		writeFileSync(FILE, "");
		await new Promise((resolve) => setTimeout(resolve, 200));
		await all(THEN + 152 * DAY, THEN + 152 * DAY + 0.001);
		writeFileSync(`${FILE}.new`, "-1d\n");
		renameSync(`${FILE}.new`, FILE);
		await all(...nowAnd(-DAY));
		rmSync(FILE);
		await all(...nowAnd(0));
		writeFileSync(join(HOME, ".faketimerc"), "+3d\n");
		await all(...nowAnd(3 * DAY));
		writeFileSync(FILE, "+4d\n");
		await all(...nowAnd(4 * DAY));
		for (const program of both) await program.end();
	});

	test("the same text written again begins nothing anew, as in the original", TIMEOUT, async (t) => {
		if (!has(t, "faketime")) return;
		writeFileSync(FILE, "@2040-01-01 00:00:00\n");
		const both = [theirs(), ours()];
		for (const program of both) await program.until(THEN + 1, THEN + 30);
		writeFileSync(FILE, "@2040-01-01 00:00:00\n");
		await new Promise((resolve) => setTimeout(resolve, 200));
		for (const program of both) assert.ok((await program.ask()) >= THEN + 1);
		for (const program of both) await program.end();
	});

	test("what is none is said, and the clock stays", TIMEOUT, async () => {
		writeFileSync(FILE, "+1d\n");
		const program = ours();
		await program.until(...nowAnd(DAY));
		writeFileSync(FILE, "rubbish\n");
		await new Promise((resolve) => setTimeout(resolve, 300));
		await program.until(...nowAnd(DAY));
		writeFileSync(FILE, "+2d\n");
		await program.until(...nowAnd(2 * DAY));
		assert.match(
			await program.end(),
			/\nvsyscall: the clock stays as it is: faketime timestamp "rubbish": it is not a date .*\n$/,
		);
	});

	test("a file whose time is followed is followed from then on, and not any more", TIMEOUT, async () => {
		const followed = join(directory, "followed");
		const touch = (date: string): Promise<unknown> => native(["touch", "-d", date, followed]);
		await touch("2040-01-01T00:00:00Z");
		writeFileSync(FILE, "+1d\n");
		const program = ours({ ...variables, FAKETIME_FOLLOW_FILE: followed });
		await program.until(...nowAnd(DAY));
		writeFileSync(FILE, "%\n");
		await program.until(THEN, THEN + 30);
		await touch("2040-01-02T00:00:00Z");
		await program.until(THEN + DAY, THEN + DAY + 30);
		writeFileSync(FILE, "+2d\n");
		await program.until(...nowAnd(2 * DAY));
		await touch("2040-01-03T00:00:00Z");
		await new Promise((resolve) => setTimeout(resolve, 200));
		await program.until(...nowAnd(2 * DAY));
		assert.match(await program.end(), /FAKETIME_NO_CACHE/);
	});

	test("a directory that does not exist yet is looked at, too", TIMEOUT, async () => {
		const late = join(directory, "late");
		const program = ours({ HOME, FAKETIME_TIMESTAMP_FILE: join(late, "stamp") });
		await program.until(...nowAnd(0));
		mkdirSync(late);
		writeFileSync(join(late, "stamp"), "+5d\n");
		await program.until(...nowAnd(5 * DAY));
		assert.equal(await program.end(), "");
	});

	test("FAKETIME and a timestamp in the command line are before the files", TIMEOUT, async () => {
		const script = `echo +9d > '${FILE}'; sleep 0.3; date +%Y`;
		const given = await vsyscall(["faketime", "-f", "@2040-06-01 00:00:00", "sh", "-c", script], { env: { HOME } });
		assert.equal(given.stdout, "2040\n");
		const env = { HOME, FAKETIME: "@2040-06-01 00:00:00", FAKETIME_TIMESTAMP_FILE: FILE };
		assert.equal((await vsyscall(["faketime", "--", "sh", "-c", script], { env })).stdout, "2040\n");
	});
});

suite("FAKETIME_UPDATE_TIMESTAMP_FILE", () => {
	const env = { HOME, FAKETIME_TIMESTAMP_FILE: FILE, FAKETIME_UPDATE_TIMESTAMP_FILE: "1" };

	test("a time that a program sets is written down as an offset, which the original reads", TIMEOUT, async (t) => {
		if (!has(t, "faketime")) return;
		const set = await vsyscall(["faketime", "--", "date", "-s", "1999-12-24 16:00:00"], { env });
		assert.equal(set.exitCode, 0, set.stderr);
		const text = readFileSync(FILE, "utf8");
		assert.match(text, /^-\d+\.\d{9}\n$/);
		const before = Date.now() / 1000;
		const year = await native(["date", "+%s"], { env: preloaded });
		const shown = Number(year.stdout);
		assert.ok(Math.abs(shown - (before + Number(text))) < 30, `${shown} and ${text}`);
		assert.ok(Math.abs(shown - Date.parse("1999-12-24T16:00:00Z") / 1000) < 60, String(shown));
	});

	test("it is the clock of the run and of others, and is not set again", TIMEOUT, async () => {
		const other = ours({ HOME, FAKETIME_TIMESTAMP_FILE: FILE });
		await other.until(...nowAnd(0));
		const script = `date -s @${THEN} > /dev/null; a=$(cat '${FILE}'); sleep 0.3; date +%s; [ "$a" = "$(cat '${FILE}')" ] && echo same`;
		const { stdout, stderr } = await vsyscall(["faketime", "--", "sh", "-c", script], { env });
		const [shown, same] = stdout.split("\n");
		assert.ok(Number(shown) >= THEN && Number(shown) < THEN + 30, stdout);
		assert.deepEqual([same, stderr], ["same", ""]);
		await other.until(THEN, THEN + 60);
		await other.end();
	});

	test("a clock that stood ticks when it has been set, as an offset does", TIMEOUT, async () => {
		const script = `date -s @${THEN} > /dev/null; sleep 1.1; date +%s`;
		const { stdout } = await vsyscall(["faketime", "-f", "2035-01-01 00:00:00", "sh", "-c", script], { env });
		assert.ok(Number(stdout) > THEN && Number(stdout) < THEN + 30, stdout);
		assert.match(readFileSync(FILE, "utf8"), /^\+\d+\.\d{9}\n$/);
	});

	test("without it the file stays as it is", TIMEOUT, async () => {
		writeFileSync(FILE, "+1d\n");
		const off = { ...env, FAKETIME_UPDATE_TIMESTAMP_FILE: "0" };
		const script = `date -s @${THEN} > /dev/null; date +%s`;
		const { stdout } = await vsyscall(["faketime", "--", "sh", "-c", script], { env: off });
		assert.ok(Number(stdout) >= THEN && Number(stdout) < THEN + 30, stdout);
		assert.equal(readFileSync(FILE, "utf8"), "+1d\n");
	});

	test("a time that is not one is not written", TIMEOUT, async () => {
		const script =
			"import time\ntry: time.clock_settime(time.CLOCK_REALTIME, 9e9)\nexcept OSError as error: print(error.errno)";
		const { stdout } = await vsyscall(["faketime", "--", "python3", "-c", script], { env });
		assert.equal(stdout, "22\n");
		assert.throws(() => readFileSync(FILE), { code: "ENOENT" });
	});

	test("a file that cannot be written is said, and the clock is set", TIMEOUT, async () => {
		const impossible = { ...env, FAKETIME_TIMESTAMP_FILE: join(directory, "nowhere", "stamp") };
		const script = `date -s @${THEN} > /dev/null; date +%s`;
		const { stdout, stderr } = await vsyscall(["faketime", "--", "sh", "-c", script], { env: impossible });
		assert.ok(Number(stdout) >= THEN && Number(stdout) < THEN + 30, stdout);
		assert.match(stderr, /^vsyscall: the time that was set is not in the timestamp file: ENOENT.*\n$/);
	});

	test("in a run inside of a run it is an offset to the time of the outer one", TIMEOUT, async () => {
		const inner = ["faketime", "--", "date", "-s", "@4102444800"];
		const { exitCode, stderr } = await vsyscall(
			["run", "--clock", "@2040-01-01Z", "--", process.execPath, CLI, ...inner],
			{ env },
		);
		assert.equal(exitCode, 0, stderr);
		const offset = Number(readFileSync(FILE, "utf8"));
		assert.ok(Math.abs(offset - (4_102_444_800 - THEN)) < 60, String(offset));
	});
});
