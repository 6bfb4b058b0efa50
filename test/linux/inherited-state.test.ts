/** What a program that is started by us would have had without us: arguments, environment, descriptors, limits. */
import assert from "node:assert/strict";
import { spawnSync, type StdioOptions } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { has } from "../helpers/requirements.ts";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-inherited-"));
after(() => rmSync(directory, { recursive: true }));

const MODULE = pathToFileURL(fileURLToPath(new URL("../../src/linux/inherited-state.js", import.meta.url))).href;

/** A script that prints one line of JSON about itself. */
const script = (name: string, expression: string, before = ""): string => {
	const path = join(directory, `${name}.mjs`);
	writeFileSync(
		path,
		`import * as inherited from ${JSON.stringify(MODULE)};
		import * as fs from "node:fs";
		import * as net from "node:net";
		${before}
		const hex = (list) => list.map((bytes) => Buffer.from(bytes).toString("latin1"));
		console.log(JSON.stringify(${expression}));
		process.exit(0);`,
	);
	return path;
};

const printed = (
	file: string,
	args: readonly string[],
	options: { env?: NodeJS.ProcessEnv; stdio?: StdioOptions } = {},
): unknown => {
	const { status, stdout, stderr } = spawnSync(file, args, { encoding: "utf8", ...options });
	assert.equal(status, 0, stderr);
	return JSON.parse(stdout);
};

describe("arguments and environment", () => {
	const both = script(
		"both",
		"[hex(inherited.inheritedArguments(process.argv.slice(2))), hex(inherited.inheritedEnvironment())]",
	);

	test("are the bytes that were given, UTF-8 or not", (t) => {
		if (!has(t, "sh")) return;
		const shell = `exec env -i "X=$(printf '\\377\\200')" EMPTY= '=odd' "$0" "$1" plain "$(printf 'a\\376b')" "" 'two words' é`;
		const [args, environment] = printed("sh", ["-c", shell, process.execPath, both]) as [string[], string[]];
		assert.deepEqual(args, ["plain", "a\u00feb", "", "two words", Buffer.from("é").toString("latin1")]);
		assert.deepEqual(
			environment,
			["X=\u00ff\u0080", "EMPTY=", "=odd"].filter((entry) => environment.includes(entry)),
		);
		assert.ok(environment.includes("X=\u00ff\u0080") && environment.includes("EMPTY="));
	});

	test("are empty when nothing was given", () => {
		assert.deepEqual(printed(process.execPath, [both], { env: {} }), [[], []]);
	});

	test("keep a value with a line break and an equals sign", () => {
		const [args, environment] = printed(process.execPath, [both, "a\nb"], { env: { KEY: "x=y\nz" } }) as [
			string[],
			string[],
		];
		assert.deepEqual([args, environment], [["a\nb"], ["KEY=x=y\nz"]]);
	});
});

describe("descriptors", () => {
	const all = script("all", "inherited.inheritedDescriptors([]).toSorted((a, b) => a - b)");
	const busy = script(
		"busy",
		"inherited.inheritedDescriptors([own]).toSorted((a, b) => a - b)",
		`const own = fs.openSync("/dev/null", "r");
		const server = net.createServer();
		await fs.promises.readFile("/proc/self/stat");
		setTimeout(() => {}, 1000);`,
	);

	// What the test's own parent leaves open reaches every child: libuv stops to close at the first gap behind 15.
	const list = `cd /proc/$$/fd; for fd in *; do [ -e "$fd" ] && echo "$fd"; done`;
	const ambient = spawnSync("bash", ["-c", list], { encoding: "utf8" })
		.stdout.split("\n")
		.filter((line) => Number(line) > 2)
		.map(Number);
	const withAmbient = (...expected: readonly number[]): readonly number[] =>
		[...new Set([...expected, ...ambient])].toSorted((one, other) => one - other);

	test("are 0, 1 and 2 when nothing else was given", (t) => {
		if (!has(t, "bash")) return;
		assert.deepEqual(printed(process.execPath, [all]), withAmbient(0, 1, 2));
	});

	test("do not count what Node and this program have opened since", () => {
		assert.deepEqual(printed(process.execPath, [busy]), withAmbient(0, 1, 2));
	});

	test("count files, pipes and sockets that were given beyond", () => {
		const file = openSync(all, "r");
		try {
			// Each "pipe" of Node is a socket pair.
			const stdio: StdioOptions = ["ignore", "pipe", "pipe", file, "pipe"];
			assert.deepEqual(printed(process.execPath, [all], { stdio }), withAmbient(0, 1, 2, 3, 4));
		} finally {
			closeSync(file);
		}
	});

	const inShell = (command: string): unknown => printed("bash", ["-c", command, process.execPath, all]);

	test("count a true pipe whose other end is elsewhere, and high numbers", (t) => {
		if (!has(t, "bash")) return;
		assert.deepEqual(inShell(`sleep 0.01 | "$0" "$1" 7<&0 200</dev/null`), withAmbient(0, 1, 2, 7, 200));
	});

	test("count a pipe of which one end was given twice", (t) => {
		if (!has(t, "bash")) return;
		assert.deepEqual(inShell(`"$0" "$1" 3>&1 4>&1 | cat`), withAmbient(0, 1, 2, 3, 4));
	});

	test("leave out what was closed", (t) => {
		if (!has(t, "bash")) return;
		// Node opens /dev/null in the place of a closed 0, 1 or 2.
		assert.deepEqual(printed("bash", ["-c", `"$0" "$1" 3<&- 4<&-`, process.execPath, all]), withAmbient(0, 1, 2));
	});
});

describe("the limit of open files", () => {
	const limit = script("limit", "inherited.inheritedOpenFilesLimit()?.map(String) ?? null");

	test("is the parent's soft limit where Node has raised ours", (t) => {
		if (!has(t, "bash")) return;
		const hard = spawnSync("bash", ["-c", "ulimit -Hn"], { encoding: "utf8" }).stdout.trim();
		// The shell stays the parent.
		assert.deepEqual(printed("bash", ["-c", `ulimit -Sn 200; "$0" "$1"; exit $?`, process.execPath, limit]), [
			"200",
			hard,
		]);
	});

	test("is left alone where the parent's is the same", (t) => {
		if (!has(t, "bash")) return;
		assert.equal(printed("bash", ["-c", `ulimit -n 300; "$0" "$1"; exit $?`, process.execPath, limit]), null);
	});
});
