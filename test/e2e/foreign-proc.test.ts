/** Worlds in which a path under /proc does not lead to what the supervisor means. */
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fixturePath } from "../helpers/fixtures.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { assertNothingLeft, CLI, runUnder, startCommand } from "../helpers/vsyscall.ts";

const SHIFTED = "@2038-06-01T00:00:00Z";
const TIMEOUT = { timeout: 120_000 };

const directory = mkdtempSync(join(tmpdir(), "vsyscall-foreign-"));
after(() => rmSync(directory, { recursive: true }));

test("a file that stands where ours should be is closed again, and the program makes its own", TIMEOUT, async (t) => {
	if (!isRoot(t) || !has(t, "unshare", "bash")) return;
	// The supervisor has a low pid, as in a container, so that its number means somebody else in the inner namespace.
	const inner = ["unshare", "-pf", "--mount-proc", "bash", fixturePath("foreign-descriptors.sh"), directory];
	const run = [process.execPath, CLI, "run", "--clock", SHIFTED, "--", ...inner];
	const started = startCommand("unshare", ["-pf", "--mount-proc", ...run]);
	const finished = await started.finished;
	await assertNothingLeft(started.mark);
	rmSync(join(directory, "fifo"));
	const plain = startCommand("unshare", ["-pf", "--mount-proc", ...inner]);
	const descriptors = (await plain.finished).stdout.split("\n").at(-2);
	rmSync(join(directory, "fifo"));
	const year = "2038\n";
	assert.deepEqual(finished, { stdout: `${year.repeat(5)}${descriptors}\n`, stderr: "", exitCode: 0, signal: null });
});

test("no file of another process is touched where /proc belongs to another pid namespace", TIMEOUT, async (t) => {
	if (!isRoot(t) || !has(t, "unshare")) return;
	const victim = join(directory, "victim");
	writeFileSync(victim, "untouched\n");
	const fds = Array.from({ length: 20 }, () => openSync(victim, "r+"));
	try {
		const run = [process.execPath, CLI, "run", "--clock", SHIFTED, "--", "sh", "-c", "date -u +%Y; date -u +%Y"];
		const started = startCommand("unshare", ["-pf", ...run]);
		const { stdout, exitCode } = await started.finished;
		await assertNothingLeft(started.mark);
		assert.deepEqual([stdout, exitCode], ["2038\n2038\n", 0]);
		assert.equal(readFileSync(victim, "utf8"), "untouched\n");
	} finally {
		for (const fd of fds) closeSync(fd);
	}
});

test("SIGCONT in the middle of an install changes nothing, 200 times", TIMEOUT, async (t) => {
	if (!isRoot(t) || !has(t, "python3")) return;
	const finished = await runUnder(SHIFTED, ["python3", fixturePath("continue-storm.py"), "200"]);
	assert.deepEqual(finished, { stdout: "0\n", stderr: "", exitCode: 0, signal: null });
});
