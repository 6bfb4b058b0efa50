/** Pages that cannot be trusted, on the command line: one line, status 125, and the file stays as it is. */
import assert from "node:assert/strict";
import {
	appendFileSync,
	chownSync,
	mkdtempSync,
	readFileSync,
	rmSync,
	statSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test, type TestContext } from "node:test";
import { PAGE } from "../../src/vvar/layout.ts";
import { isRoot } from "../helpers/requirements.ts";
import { assertNothingLeft, type RunSettings, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

const base = mkdtempSync(join(tmpdir(), "vsyscall-damaged-"));
after(() => rmSync(base, { recursive: true, force: true }));

let count = 0;

/** A clock of a directory of its own. */
const makeClock = async (spec: string): Promise<{ readonly settings: RunSettings; readonly path: string }> => {
	const directory = join(base, String(count++));
	const settings = { env: { VSYSCALL_RUNTIME_DIR: directory } };
	assert.equal((await vsyscall(["clock", "create", "shop", spec], settings)).exitCode, 0);
	return { settings, path: join(directory, "shop.clock") };
};

const overwrite = (path: string, place: number, ...bytes: readonly number[]): void => {
	const page = readFileSync(path);
	page.set(bytes, place);
	writeFileSync(path, page);
};

interface Damage {
	readonly name: string;
	readonly make: (path: string) => void;
	readonly says: RegExp;
	readonly canRun?: (t: TestContext) => boolean;
}

const DAMAGES: readonly Damage[] = [
	{
		name: "truncated",
		make: (path) => truncateSync(path, 100),
		says: /clock shop cannot be used: it has 100 bytes, a page has 4096/,
	},
	{
		name: "empty",
		make: (path) => truncateSync(path, 0),
		says: /clock shop cannot be used: it has 0 bytes, a page has 4096/,
	},
	{
		name: "overwritten",
		make: (path) => writeFileSync(path, Buffer.alloc(4096, 0xa5)),
		says: /clock shop cannot be used: not a page of a clock/,
	},
	{
		name: "with a wall word that is none",
		make: (path) => overwrite(path, PAGE.wall, 0xff, 0xff, 0xff, 0x3e),
		says: /clock shop cannot be used: a damaged page: its wall word/,
	},
	{
		name: "of another version",
		make: (path) => overwrite(path, PAGE.version, 99),
		says: /clock shop cannot be used: a page of another version: 99/,
	},
	{
		name: "of another user",
		make: (path) => chownSync(path, 65534, 65534),
		says: /clock shop cannot be used: it belongs to user 65534/,
		canRun: isRoot,
	},
];

const COMMANDS = ["clock show shop", "clock advance shop 1d", "clock rm shop", "run --clock shop -- true"];

suite("a page", () => {
	for (const { name, make, says, canRun } of DAMAGES) {
		test(name, { timeout: 60_000 }, async (t) => {
			if (canRun !== undefined && !canRun(t)) return;
			const { settings, path } = await makeClock("+1d");
			make(path);
			const damaged = readFileSync(path);
			for (const command of COMMANDS) {
				const { stdout, stderr, exitCode } = await vsyscall(command.split(" "), settings);
				assert.equal(stdout, "", command);
				assert.match(stderr, /^vsyscall: [^\n]*\n$/, command);
				assert.match(stderr, says, command);
				assert.equal(exitCode, 125, command);
			}
			assert.deepEqual(readFileSync(path), damaged);
		});
	}
});

const DAMAGES_WHILE_RUNNING: readonly (readonly [name: string, make: (path: string) => void, says: string])[] = [
	["empty", (path) => truncateSync(path, 0), "it has 0 bytes, a page has 4096"],
	["truncated", (path) => truncateSync(path, 100), "it has 100 bytes, a page has 4096"],
	// In place: to cut it off first would be two damages.
	["overwritten", (path) => writeFileSync(path, Buffer.alloc(4096, 0xa5), { flag: "r+" }), "not a page of a clock"],
	["longer", (path) => appendFileSync(path, "x"), "it has 4097 bytes, a page has 4096"],
];

/** It is a race against the supervisor, and there are four of them. */
const ROUNDS = 25;

/** Answers each line with the time; starts a process for it. */
const TELLER = ["sh", "-c", "while read line; do date +%s; done"];

suite("a page under a program is put back when it is", () => {
	for (const [name, make, says] of DAMAGES_WHILE_RUNNING) {
		test(name, { timeout: 60_000 }, async () => {
			const { settings, path } = await makeClock("@2030-01-01Z frozen");
			const started = startVsyscall(["run", "--clock", "shop", "--", ...TELLER], { ...settings, interactive: true });
			const answer = (): Promise<unknown> => {
				started.child.stdin?.write("\n");
				return new Promise((resolve) => started.child.stdout?.once("data", resolve));
			};
			assert.equal(await answer(), "1893456000\n");
			for (let round = 0; round < ROUNDS; round++) {
				const said = new Promise((resolve) => started.child.stderr?.once("data", resolve));
				make(path);
				assert.match(
					String(await said),
					new RegExp(`^vsyscall: the page of clock shop was damaged \\(${says}.*\\); .*\\n$`),
				);
				assert.equal(statSync(path).size, 4096);
				assert.equal(await answer(), "1893456000\n");
			}
			const advanced = await vsyscall(["clock", "advance", "shop", "1d"], settings);
			assert.deepEqual([advanced.stdout, advanced.stderr], ["2030-01-02T00:00:00Z\n", ""]);
			assert.equal(await answer(), "1893542400\n");
			started.child.stdin?.end();
			assert.equal((await started.finished).exitCode, 0);
			await assertNothingLeft(started.mark);
		});
	}
});
