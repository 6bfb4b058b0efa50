/** Controllers that are killed at any moment: what they have reported is done, and nothing else is lost. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseClockSpec } from "../../src/clock/spec.ts";
import { type Finished, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-killed-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const settings = { env: { VSYSCALL_RUNTIME_DIR: directory } };
const START = "2027-01-31T23:59:00Z";
const CONTROLLERS = 36;
const AT_ONCE = 4;

interface Attempt {
	readonly bit: number;
	readonly wasKilled: boolean;
	readonly finished: Finished;
}

/** `clock advance` by 2^bit seconds, so that the sum says which of them were made. */
const advance = async (bit: number): Promise<Attempt> => {
	const controller = startVsyscall(["clock", "advance", "shop", `${2 ** bit}s`], settings);
	let wasKilled = false;
	if (bit % 2 === 1) {
		// It takes some 100 ms to come to the change.
		await sleep(60 + Math.random() * 200);
		wasKilled = controller.child.kill("SIGKILL");
	}
	return { bit, wasKilled, finished: await controller.finished };
};

/** The instant of a line as `clock` prints it, whole seconds since 1970. */
const secondsOf = (text: string): bigint => {
	const spec = parseClockSpec(`@${text.trim()}`);
	assert.ok(spec.kind === "clock" && spec.base.kind === "start" && spec.base.time.kind === "instant", text);
	return spec.base.time.at / 1_000_000_000n;
};

test("no change that was reported is lost, and none is made twice", { timeout: 120_000 }, async () => {
	await vsyscall(["clock", "create", "shop", `@${START} frozen`], settings);
	const attempts: Attempt[] = [];
	for (let first = 0; first < CONTROLLERS; first += AT_ONCE) {
		const bits = Array.from({ length: AT_ONCE }, (_, index) => first + index);
		attempts.push(...(await Promise.all(bits.map(advance))));
	}
	const { stdout, stderr } = await vsyscall(["clock", "show", "shop"], settings);
	assert.equal(stderr, "");
	const sum = secondsOf(stdout.split("  ")[0] ?? "") - secondsOf(START);
	assert.ok(sum >= 0n && sum < 2n ** BigInt(CONTROLLERS), stdout);
	for (const { bit, wasKilled, finished } of attempts) {
		const isMade = (sum & (1n << BigInt(bit))) !== 0n;
		const isReported = finished.stdout !== "" || finished.exitCode === 0;
		if (isReported) assert.ok(isMade, `2^${bit} s was reported and is lost`);
		if (!wasKilled) assert.deepEqual([finished.exitCode, finished.stderr, isMade], [0, "", true]);
	}
	assert.ok(attempts.some(({ finished }) => finished.signal === "SIGKILL"));
	// The page is whole and the lock is free.
	assert.equal((await vsyscall(["clock", "set", "shop", `@${START} frozen`], settings)).stdout, `${START}\n`);
});
