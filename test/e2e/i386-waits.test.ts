/** Waits and timers of 32-bit programs until a time of the wall clock, with times of 32 and of 64 bits. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { native, runUnder } from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";
import { assertSame, HOUR_MS, KINDS, natively, STEP_SECONDS, under } from "./wall-waits-outcomes.ts";

const TIMEOUT = { timeout: 120_000 };
const CLOCKS = ["host", "+10y", "-10y"];
/** Calls that have no form with 32-bit times, and those that the fixture makes in their 32-bit form alone. */
const WIDE_ONLY = ["waitv", "futex-wait"];
const NARROW_ONLY = ["nanosleep", "tai", "futex", "lock-pi", "lock-pi2", "requeue-pi"];

for (const [toolchain, without] of [
	["glibc-32", WIDE_ONLY],
	["glibc-32-time64", NARROW_ONLY],
] as const satisfies readonly (readonly [Toolchain, readonly string[]])[]) {
	const kinds = KINDS.filter((kind) => !without.includes(kind));

	describe(`${toolchain}: a wait`, () => {
		for (const kind of kinds) {
			test(
				`by ${kind} takes as long as natively, and is over when the clock is set behind its deadline`,
				TIMEOUT,
				async (t) => {
					if (!has(t, "gcc")) return;
					const program = build(toolchain, "wall-waits.c");
					const expected = await natively(program, kind, "500");
					for (const outcome of await under(CLOCKS, program, kind, "500")) assertSame(outcome, expected);
					const stepped = { ...expected, ms: 100 };
					const step = [program, kind, String(HOUR_MS), "step", String(STEP_SECONDS)];
					for (const outcome of await under([...CLOCKS, "+5y frozen"], ...step)) assertSame(outcome, stepped);
				},
			);

			test(`by ${kind} is interrupted by a handler as natively`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				const program = build(toolchain, "wall-waits.c");
				for (const flags of [["signal"], ["signal", "restart"]]) {
					const expected = await natively(program, kind, "600", ...flags);
					for (const outcome of await under(["+10y"], program, kind, "600", ...flags)) assertSame(outcome, expected);
				}
			});

			test(`by ${kind} misses no step: 100 that come while it begins`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				const command = [build(toolchain, "wall-waits.c"), kind, String(HOUR_MS), "storm", "100"];
				const text = cleanOutput(await runUnder("+5y", command, { timeoutMs: 110_000 }));
				assert.equal((JSON.parse(text) as { wrong: number }).wrong, 0);
			});
		}
	});

	test(`${toolchain}: timers have left what they have natively`, TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build(toolchain, "timer-left.c");
		const expected = cleanOutput(await native([program]));
		for (const clock of [...CLOCKS, "+10y frozen"])
			assert.equal(cleanOutput(await runUnder(clock, [program])), expected, clock);
	});

	test(`${toolchain}: a timerfd with CANCEL_ON_SET is cancelled, once`, TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		for (const how of ["blocked", "other", "epoll", "later", "settime"]) {
			const output = cleanOutput(await runUnder("+10y", [build(toolchain, "timerfd-cancel.c"), how]));
			const { first, again, expired } = JSON.parse(output) as Record<string, number>;
			assert.deepEqual([how, first, again, expired], [how, -125, -125, 1]);
		}
	});

	test(`${toolchain}: nobody notices that a timer is armed anew`, TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const output = cleanOutput(await runUnder("+10y", [build(toolchain, "quiet-rearm.c")]));
		assert.deepEqual(JSON.parse(output), { results: [0, -11, -11, -11, 0, -11], short: 0, left: 1 });
	});
}
