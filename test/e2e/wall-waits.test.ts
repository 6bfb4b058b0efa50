/** Waits until a time of the wall clock: as long as natively under every clock, over when the clock says so, and never else. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { native, runUnder } from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";
import {
	assertSame,
	HOUR_MS,
	KINDS,
	natively as nativelyOf,
	type Outcome,
	STEP_SECONDS,
	under as underOf,
} from "./wall-waits-outcomes.ts";

const TIMEOUT = { timeout: 120_000 };

const waits = (): string => build("glibc", "wall-waits.c");
const natively = (...args: readonly string[]): Promise<Outcome> => nativelyOf(waits(), ...args);
const under = (clocks: readonly string[], ...args: readonly string[]): Promise<readonly Outcome[]> =>
	underOf(clocks, waits(), ...args);

for (const kind of KINDS) {
	describe(kind, () => {
		test("takes as long as natively", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const expected = await natively(kind, "1000");
			const clocks = ["host", "+10y", "-10y", "@2031-01-01T00:00:00Z"];
			for (const outcome of await under(clocks, kind, "1000")) assertSame(outcome, expected);
		});

		test("is interrupted by a handler as natively", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			for (const flags of [["signal"], ["signal", "restart"]]) {
				const expected = await natively(kind, "600", ...flags);
				for (const outcome of await under(["host", "+10y"], kind, "600", ...flags)) assertSame(outcome, expected);
			}
		});

		test("is over when another process sets the clock behind its deadline", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const expected = { ...(await natively(kind, "100")), ms: 100 };
			const clocks = ["host", "+10y", "-10y", "+10y frozen"];
			const found = await under(clocks, kind, String(HOUR_MS), "step", String(STEP_SECONDS));
			for (const outcome of found) assertSame(outcome, expected);
		});

		test("goes on when the clock is set back, and is over when it is set on", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const expected = { ...(await natively(kind, "100")), ms: 400 };
			for (const outcome of await under(["host", "+10y"], kind, "2000", "twice")) assertSame(outcome, expected);
		});

		test("is over at once when a wall that stands is at the deadline", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const expected = { ...(await natively(kind, "-1000")), ms: 0 };
			for (const ms of ["0", "-1000"]) {
				for (const outcome of await under(["+10y frozen"], kind, ms)) assertSame(outcome, expected);
			}
		});

		test("misses no step: 100 that come while the wait begins", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const text = cleanOutput(
				await runUnder("+10y", [waits(), kind, String(HOUR_MS), "storm", "100"], {
					timeoutMs: 110_000,
				}),
			);
			assert.equal((JSON.parse(text) as { wrong: number }).wrong, 0);
		});
	});
}

test("all of them at once, in one run whose clock all of them set", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const program = waits();
	const commands = KINDS.map((kind) => `${program} ${kind} ${HOUR_MS} storm 30 &`).join(" ");
	const output = cleanOutput(await runUnder("+10y", ["sh", "-c", `${commands} wait`], { timeoutMs: 110_000 }));
	const outcomes = output.trim().split("\n");
	assert.equal(outcomes.length, KINDS.length);
	for (const outcome of outcomes) assert.equal((JSON.parse(outcome) as { wrong: number }).wrong, 0);
});

test("a deadline that never comes under a wall that stands does not end", TIMEOUT, async (t) => {
	if (!has(t, "gcc", "timeout")) return;
	const program = waits();
	for (const kind of ["cond", "nanosleep", "timerfd", "timer", "mq-receive"]) {
		const { exitCode, stdout } = await runUnder("frozen", ["timeout", "1", program, kind, "100"]);
		assert.deepEqual([kind, exitCode, stdout], [kind, 124, ""]);
	}
});

for (const clock of ["host", "+10y"]) {
	test(`under ${clock} calls leave registers, red zone and structures as they are natively`, TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "call-registers.c");
		const expected = cleanOutput(await native([program, "200"]));
		assert.equal(cleanOutput(await runUnder(clock, [program, "200"])), expected);
	});
}

for (const clock of ["host", "+10y", "-10y"]) {
	test(`goroutines wait as long as natively under ${clock}`, TIMEOUT, async (t) => {
		if (!has(t, "go")) return;
		const output = cleanOutput(await runUnder(clock, [build("go", "go-wall.go")]));
		const { slept, waited, difference, ...facts } = JSON.parse(output) as Record<string, number>;
		assert.deepEqual(facts, { failed: 0, read: 8, expirations: 1 });
		assert.ok(difference === 0 || difference === 1, `time.Now is ${difference} s from the system call`);
		assert.ok(slept !== undefined && slept >= 200 && slept < 20_000, `slept ${slept} ms`);
		assert.ok(waited !== undefined && waited >= 900 && waited < 20_000, `waited ${waited} ms`);
	});
}
