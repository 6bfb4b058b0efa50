/** `vsyscall bench` as a user runs it; what its figures come from is in test/bench. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, test } from "node:test";
import { GROUPS } from "../../src/bench/ways.ts";
import { BROWSER, look, photograph } from "../helpers/browser.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	type Finished,
	markedProcesses,
	runCommand,
	startVsyscall,
	vsyscall,
} from "../helpers/vsyscall.ts";

interface Quartiles {
	readonly lower: number;
	readonly median: number;
	readonly upper: number;
}

interface Result {
	readonly rounds: number;
	readonly groups: readonly {
		readonly id: string;
		readonly ways: readonly {
			readonly id: string;
			readonly name: string;
			readonly nanoseconds: Quartiles;
			readonly ratio: Quartiles | null;
			readonly readings: {
				readonly count: number;
				readonly backward: number;
				readonly histogram: readonly { readonly below: number; readonly count: number }[];
			};
		}[];
		readonly unavailable: readonly { readonly id: string; readonly reason: string }[];
	}[];
}

const ROUNDS = 6;
const ESCAPE = "\u001b";
const directory = mkdtempSync(join(tmpdir(), "vsyscall-bench-"));
const page = join(directory, "bench.html");
let finished: Finished;
let result: Result;

before(async () => {
	finished = await vsyscall(["bench", "--rounds", String(ROUNDS), "--json", "--html", page]);
	result = JSON.parse(finished.stdout) as Result;
});
after(() => rmSync(directory, { recursive: true, force: true }));

const ways = () => result.groups.flatMap((group) => group.ways);
const median = (id: string): number =>
	ways().find((each) => each.id === id)?.nanoseconds.median ?? assert.fail(`${id} is missing`);

/** Runs it on a terminal of 80 columns. */
const onTerminal = (env: Readonly<Record<string, string>>): Promise<Finished> => {
	const command = `stty cols 80; ${process.execPath} ${CLI} bench --rounds 4`;
	return runCommand(["script", "-qec", command, "/dev/null"], { env: { TERM: "xterm", ...env } });
};

test("it ends with 0, says nothing else, and its JSON is as docs/bench.schema.json says", () => {
	assert.equal(finished.stderr, "");
	assert.equal(finished.exitCode, 0);
	assert.deepEqual(schemaFaults(readSchema("bench.schema.json"), result), []);
	assert.equal(result.rounds, ROUNDS);
});

test("every way is measured or has a reason, once", () => {
	const known = GROUPS.flatMap(({ yardstick, trials }) => [yardstick, ...trials.flatMap((trial) => trial.ways)]);
	const seen = [...ways(), ...result.groups.flatMap(({ unavailable }) => unavailable)].map(({ id }) => id);
	assert.deepEqual(
		seen.toSorted((a, b) => a.localeCompare(b)),
		known.map(({ id }) => id).toSorted((a, b) => a.localeCompare(b)),
	);
});

test("quartiles are in order, and the host's vDSO is 1", () => {
	for (const { id, nanoseconds, ratio } of ways()) {
		for (const each of [nanoseconds, ratio ?? nanoseconds]) {
			assert.ok(0 < each.lower && each.lower <= each.median && each.median <= each.upper, id);
		}
		if (id.startsWith("vdso")) assert.deepEqual(ratio, { lower: 1, median: 1, upper: 1 });
	}
});

test("no clock goes back, and each difference is in the histogram", () => {
	for (const { id, readings } of ways()) {
		assert.equal(readings.backward, 0, id);
		const differences = readings.histogram.reduce((sum, { count }) => sum + count, 0);
		assert.equal(differences, readings.count - ROUNDS, id);
	}
});

test("a system call costs more than the vDSO, a call that traps more than one that is patched, a page read less than a counter", () => {
	assert.ok(median("syscall") > median("vdso"));
	assert.ok(median("syscall-in-run") > median("syscall"));
	assert.ok(median("page-xonly-trapped") > median("page-xonly"));
	assert.ok(median("image-frozen") < median("image-offset"));
	assert.ok(median("image-coarse") < median("image-offset"));
});

test("a call to the page in mode none is not measured: it ends the program", () => {
	const none = result.groups.flatMap(({ unavailable }) => unavailable).find(({ id }) => id === "page-none");
	assert.equal(none?.reason, "ends by SIGSEGV");
});

test("a page that shows all marks, in a browser, without a word on the console and nothing that overflows", (t) => {
	if (!has(t, BROWSER)) return;
	const script = `<script>
		const marks = (selector) => document.querySelectorAll(selector).length;
		const beyond = [...document.querySelectorAll("svg text")].filter((text) => {
			const [box, frame] = [text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()];
			return box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1;
		}).map((text) => text.textContent);
		document.body.dataset.facts = JSON.stringify({
			medians: marks("circle.median"), buckets: marks("rect.bucket"), charts: marks("main svg[role=img]"),
			titled: marks("svg[role=img] > title"), rows: marks("tbody tr"), beyond,
			scrolls: document.documentElement.scrollWidth > document.documentElement.clientWidth,
		});
	</script></body>`;
	const measured = join(directory, "measured.html");
	writeFileSync(measured, readFileSync(page, "utf8").replace("</body>", script));
	for (const width of [1200, 500]) {
		const { document, console } = look(measured, width);
		assert.deepEqual(console, []);
		const [, facts = ""] = /data-facts="([^"]*)"/.exec(document) ?? [];
		const charts = 2 * result.groups.filter((group) => group.ways.length > 0).length;
		assert.deepEqual(JSON.parse(facts.replaceAll("&quot;", '"').replaceAll("&lt;", "<")), {
			medians: ways().length,
			buckets: ways().reduce((sum, { readings }) => sum + readings.histogram.length, 0),
			charts,
			titled: charts,
			rows: ways().length,
			beyond: [],
			scrolls: false,
		});
	}
});

test("the page is a light one and a dark one, and asks nobody for anything", (t) => {
	const text = readFileSync(page, "utf8");
	assert.doesNotMatch(text, /(?:src|href)="(?!data:,)|@import|url\(|<script/);
	if (!has(t, BROWSER)) return;
	const pictures = [false, true].map((isDark) => {
		const picture = join(directory, `${String(isDark)}.png`);
		photograph(page, picture, { width: 880, height: 900, isDark });
		return readFileSync(picture);
	});
	for (const picture of pictures) assert.equal(picture.toString("latin1", 1, 4), "PNG");
	assert.notDeepEqual(pictures[0], pictures[1]);
});

test("the tables fit 80 columns, and colour is for terminals alone", async (t) => {
	const { stdout, exitCode } = await vsyscall(["bench", "--rounds", "4"]);
	assert.equal(exitCode, 0);
	assert.ok(!stdout.includes(ESCAPE));
	assert.deepEqual(
		stdout.split("\n").filter((line) => line.length > 80),
		[],
	);
	for (const { name } of ways()) assert.ok(stdout.includes(`  ${name} `), name);
	assert.match(stdout, /^No clock went back in [\d,]+ reads\.$/m);
	if (!has(t, "script")) return;
	assert.ok((await onTerminal({})).stdout.includes(`${ESCAPE}[1m`));
	const plain = (await onTerminal({ NO_COLOR: "1" })).stdout;
	assert.ok(!plain.includes(`${ESCAPE}[1m`));
});

const REFUSED: readonly (readonly [name: string, args: readonly string[], message: RegExp])[] = [
	["rounds that are no number", ["--rounds", "many"], /--rounds.*'many' is invalid.*whole number from 4 to 10000/],
	["too few rounds", ["--rounds", "3"], /whole number from 4/],
	["half a round", ["--rounds", "4.5"], /whole number/],
	["a word too many", ["now"], /too many arguments/],
	["an option that there is not", ["--xml"], /unknown option '--xml'/],
	[
		"a page in a directory that there is not",
		["--html", join(directory, "none", "x.html")],
		/x\.html cannot be written \(ENOENT\)/,
	],
	["a page that is a directory", ["--html", directory], /cannot be written \(EISDIR\)/],
	["a page below a file", ["--html", join(page, "x.html")], /cannot be written \(ENOTDIR\)/],
];

for (const [name, args, message] of REFUSED) {
	test(`${name}: one line, status 125, before anything is measured`, async () => {
		const { stdout, stderr, exitCode } = await vsyscall(["bench", ...args]);
		assert.equal(stdout, "");
		assert.match(stderr, message);
		assert.match(stderr, /^vsyscall: [^\n]+\n$/);
		assert.equal(exitCode, 125);
	});
}

test("a page that an ordinary user may not write stays as it was", async (t) => {
	if (!isRoot(t)) return;
	const kept = join(directory, "kept");
	mkdirSync(kept, { mode: 0o755 });
	const file = join(kept, "x.html");
	writeFileSync(file, "kept", { mode: 0o644 });
	const user = { uid: 65_534, gid: 65_534 };
	const { stderr, exitCode } = await vsyscall(["bench", "--html", file], user);
	assert.match(stderr, /^vsyscall: .*cannot be written \(EACCES\)/);
	assert.equal(exitCode, 125);
	assert.equal(readFileSync(file, "utf8"), "kept");
});

test("inside of a run it measures what is there, and says of the rest why not", async () => {
	const inner = [process.execPath, CLI, "bench", "--rounds", "4", "--json"];
	const { stdout, exitCode } = await vsyscall(["run", "--clock", "+1y", "--", ...inner]);
	assert.equal(exitCode, 0);
	const nested = JSON.parse(stdout) as Result;
	assert.deepEqual(schemaFaults(readSchema("bench.schema.json"), nested), []);
	assert.ok(nested.groups[0]?.ways.some(({ id }) => id === "image-offset"));
});

test("an end in the middle leaves no process and no page", async () => {
	for (const [index, signal] of (["SIGKILL", "SIGTERM", "SIGINT"] as const).entries()) {
		const unwritten = join(directory, `${signal}.html`);
		const { child, mark, finished: end } = startVsyscall(["bench", "--rounds", "10000", "--html", unwritten]);
		// The first round of programs, or later ones.
		await sleep(700 + 600 * index);
		assert.ok(markedProcesses(mark).length > 1, "nothing was started yet");
		child.kill(signal);
		assert.equal((await end).signal, signal);
		await assertNothingLeft(mark);
		assert.ok(!existsSync(unwritten));
	}
});
