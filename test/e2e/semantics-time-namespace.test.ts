/**
 * A program that enters a time namespace: the host's page shows the namespace's offsets there, so the image has to ask the host's
 * functions where it reads the page elsewhere.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has, isRoot, lacks } from "../helpers/requirements.ts";
import { runUnder } from "../helpers/vsyscall.ts";
import { cleanOutput, frozen, hostClock, startingAt, yearsAhead } from "./programs-clocks.ts";
import { assertFactsAsNative, assertOrder } from "./semantics-facts.ts";

const ENTER = ["unshare", "--time", "--monotonic", "1000", "--boottime", "86400", "--fork"];

const hasNamespaces = (t: TestContext): boolean =>
	has(t, "gcc", "unshare") &&
	isRoot(t) &&
	(existsSync("/proc/self/ns/time") || lacks(t, "the kernel has no time namespaces"));

const CLOCKS = [hostClock, yearsAhead(10), yearsAhead(-9000), frozen(startingAt("2038-01-19T03:14:07.123456789Z"))];

// The host's functions for a namespace store the words of a time in another order than those for none (v6.18): not compared.
for (const { spec } of CLOCKS) {
	test(`in a time namespace every call under ${spec} does what it does natively`, { timeout: 120_000 }, async (t) => {
		if (hasNamespaces(t)) await assertFactsAsNative(spec, ENTER, false);
	});
}

for (const clock of CLOCKS) {
	test(`in a time namespace the wall clocks of ${clock.spec} agree`, { timeout: 120_000 }, async (t) => {
		if (hasNamespaces(t)) await assertOrder(clock, ENTER);
	});
}

for (const clock of ["monotonic", "monotonic-coarse", "boottime"]) {
	test(`in a time namespace ${clock} never steps back between image and system call`, {
		timeout: 120_000,
	}, async (t) => {
		if (!hasNamespaces(t)) return;
		const command = [...ENTER, build("glibc", "monotone.c", ["-ldl"]), clock, "both", "one", "1000000"];
		const outcome: unknown = JSON.parse(cleanOutput(await runUnder("+10y", command)));
		assert.deepEqual(outcome, { pairs: 1_000_000, back: 0, furthest: 0, handovers: 0 });
	});
}
