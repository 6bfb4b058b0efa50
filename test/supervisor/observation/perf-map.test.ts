/** Perf maps, of a compiler that writes them: V8's. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parsePerfMap, perfMapOf } from "../../../src/supervisor/observation/perf-map.ts";

test("the functions of a program that Node has compiled are found by every address of theirs", () => {
	const program = "const tick = (n) => n + Date.now() % 7; let sum = 0; for (let i = 0; i < 3e6; i++) sum = tick(sum);";
	// Where V8 leaves a log of its own, too.
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-perf-map-"));
	const { pid, status } = spawnSync(process.execPath, ["--perf-basic-prof", "-e", program], { cwd: directory });
	const file = perfMapOf(pid);
	try {
		assert.equal(status, 0);
		const text = readFileSync(file, "latin1");
		const functions = parsePerfMap(text);
		assert.equal(functions.length, text.split("\n").filter((line) => line !== "").length, "every line is one");
		assert.ok(functions.every(({ start, end }) => start < end));
		assert.ok(functions.some(({ name }) => /tick/.test(name)));
	} finally {
		rmSync(file, { force: true });
		rmSync(directory, { recursive: true });
	}
});

test("a line that is not complete is passed over", () => {
	assert.deepEqual(parsePerfMap("7f00 40 first one\n0x7f80 0x10 second\nnonsense\n7fa0 1"), [
		{ start: 0x7f00n, end: 0x7f40n, name: "first one" },
		{ start: 0x7f80n, end: 0x7f90n, name: "second" },
	]);
});
