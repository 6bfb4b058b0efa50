/** What timers on the wall clock say of themselves, and how those are cancelled that are to be when the clock is set. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { native, runUnder } from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";

const TIMEOUT = { timeout: 60_000 };
const ECANCELED = -125;

for (const toolchain of ["glibc", "glibc-static", "musl-static"] as const satisfies readonly Toolchain[]) {
	for (const clock of ["host", "+10y", "-10y", "+10y frozen"]) {
		test(`${toolchain}: timers under ${clock} have left what they have natively`, TIMEOUT, async (t) => {
			if (!has(t, "gcc", "musl-gcc")) return;
			const program = build(toolchain, "timer-left.c");
			const expected = cleanOutput(await native([program]));
			assert.equal(cleanOutput(await runUnder(clock, [program])), expected);
		});
	}
}

for (const clock of ["host", "+10y", "+10y frozen"]) {
	for (const [how, name] of [
		["blocked", "a read that waits"],
		["other", "a read of another thread"],
		["epoll", "a read after epoll_wait"],
		["later", "the next read, whenever it comes"],
		["settime", "arming it anew"],
	] as const) {
		test(`a timerfd with CANCEL_ON_SET under ${clock}: ${name} fails with ECANCELED, once`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const output = cleanOutput(await runUnder(clock, [build("glibc", "timerfd-cancel.c"), how]));
			assert.deepEqual(JSON.parse(output), {
				first: ECANCELED,
				eventfd: 8,
				readable: 0,
				ready: 1,
				again: ECANCELED,
				expired: 1,
				read: 8,
				expirations: 1,
			});
		});
	}
}

for (const clock of ["host", "+10y"]) {
	test(
		`under ${clock} nobody notices that a timer is armed anew: other waits last, and are not interrupted`,
		TIMEOUT,
		async (t) => {
			if (!has(t, "gcc")) return;
			const output = cleanOutput(await runUnder(clock, [build("glibc", "quiet-rearm.c")]));
			// epoll_wait, sigtimedwait, recv and semtimedop say that their time is over (EAGAIN), nanosleep 0, read EAGAIN.
			assert.deepEqual(JSON.parse(output), { results: [0, -11, -11, -11, 0, -11], short: 0, left: 1 });
		},
	);
}
