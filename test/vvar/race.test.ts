/** Reading a page from JavaScript while another process pushes to it. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { PAGE_SIZE } from "../../src/vvar/layout.ts";

const RACER = fileURLToPath(new URL("racer.js", import.meta.url));
/** V8 reads words byte by byte in code that it has not compiled: all of the code of a process, with these. */
const INTERPRETED = ["--no-opt", "--no-sparkplug"];

test("a clock is read whole, also by code that is interpreted", { timeout: 120_000 }, async (t) => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-race-"));
	t.after(() => rmSync(directory, { recursive: true, force: true }));
	const path = join(directory, "page");
	writeFileSync(path, Buffer.alloc(PAGE_SIZE));
	const pusher = fork(RACER, ["push", path]);
	t.after(() => pusher.kill("SIGKILL"));
	await new Promise((resolve) => pusher.once("message", resolve));
	const reader = fork(RACER, ["read", path, "2000000"], { execArgv: INTERPRETED });
	assert.deepEqual(await new Promise((resolve) => reader.once("message", resolve)), []);
});
