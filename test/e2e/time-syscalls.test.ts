/** The system calls that read and set the wall clock: the kernel's own errors, one sequence with the vDSO, and the run's clock. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has, isRoot, lacks } from "../helpers/requirements.ts";
import { native, runUnder, vsyscall } from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";

const TIMEOUT = { timeout: 120_000 };
const CLOCKS = ["host", "+10y", "-10y", "@2031-02-03T04:05:06Z", "+10y1ns", "@2031-01-01T00:00:00Z frozen"];
const TOOLCHAINS: readonly Toolchain[] = ["glibc", "glibc-static"];
const NOBODY = 65534;

const facts = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

for (const toolchain of TOOLCHAINS) {
	describe(`${toolchain} under`, () => {
		for (const clock of CLOCKS) {
			test(`${clock} meets the kernel's own errors`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				const program = build(toolchain, "time-syscalls.c");
				const expected = cleanOutput(await native([program, "errors"]));
				assert.equal(cleanOutput(await runUnder(clock, [program, "errors"])), expected);
			});

			test(`${clock} sees one sequence of times by system calls and the vDSO`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				const program = build(toolchain, "time-syscalls.c");
				const output = cleanOutput(await runUnder(clock, [program, "order", "20000"]));
				assert.deepEqual(facts(output), { rounds: 20_000, broken: 0, example: "" });
			});
		}
	});
}

for (const clock of CLOCKS) {
	test(`under ${clock} the numbers of i386 show the same clock`, TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "time-syscalls.c");
		const command = [program, "int80", ...(clock.endsWith("frozen") ? ["frozen"] : [])];
		const expected = cleanOutput(await native(command));
		const output = cleanOutput(await runUnder(clock, command));
		assert.deepEqual(facts(output), facts(expected));
	});
}

const assertDates = (text: string): void => {
	const [date, seconds] = text.trim().split("\n");
	assert.equal(date, "2031-01-01");
	assert.ok(Number(seconds) >= 1_924_992_000 && Number(seconds) < 1_924_992_060, seconds);
};

for (const clock of ["host", "+10y", "-10y"]) {
	test(`under ${clock} the system calls of the host's own vDSO are not transformed twice`, TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "vdso-syscall.c");
		const { host, own } = facts(cleanOutput(await runUnder(clock, [program])));
		if (host === undefined) {
			lacks(t, "the host's vDSO makes no system calls");
			return;
		}
		const years = { host: 0, "+10y": 10, "-10y": -10 }[clock] ?? 0;
		assert.ok(Math.abs(Number(host) - Date.now() / 1000) < 60, `the host's: ${Number(host)}`);
		// A year has 365 or 366 days.
		const distance = Number(own) - Number(host);
		assert.ok(Math.abs(distance - years * 365.25 * 86_400) < 3 * 86_400, `the program's: ${distance} s from it`);
	});
}

test(
	"a process that has closed its memory to us is named, and gets the host's time from system calls",
	TIMEOUT,
	async (t) => {
		if (!has(t, "gcc") || !isRoot(t)) return;
		const program = build("glibc", "undumpable.c");
		const covered = facts(cleanOutput(await runUnder("+10y", [program])));
		assert.equal(covered["raw"], covered["vdso"], "root reaches it");
		const { stdout, stderr, exitCode } = await runUnder("+10y", [program], { uid: NOBODY, gid: NOBODY });
		const { result, raw, vdso, waited } = facts(stdout);
		assert.deepEqual([exitCode, result, waited], [0, 0, 0]);
		assert.ok(Number(vdso) - Number(raw) > 9 * 365 * 86_400);
		assert.match(stderr, /^vsyscall: undumpable\S* \(pid \d+\) has closed its memory .*\n$/);
	},
);

describe("a program that sets the clock", () => {
	const AT = 2_000_000_000;
	for (const clock of CLOCKS) {
		test(`under ${clock} moves that of the run, on every path`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const program = build("glibc", "time-syscalls.c");
			const before = Date.now();
			const output = facts(cleanOutput(await runUnder(clock, [program, "set", String(AT)])));
			assert.ok(Math.abs(Date.now() - before) < 60_000, "the host's clock has not moved");
			const { adjtimex, adjtime, frequency, ...distances } = output;
			// The state of the host's clock (TIME_OK, TIME_ERROR) is the result of both.
			assert.equal(adjtimex, adjtime);
			assert.equal(frequency, -1, "EPERM: the host's");
			assert.equal(distances["clock_settime"], 0);
			for (const [path, distance] of Object.entries(distances)) {
				// time() has seconds, and the coarse clock's tick may be the one before.
				const [least, most] = [/\btime$/.test(path) ? -300 : -50, 5000];
				assert.ok(Number(distance) >= least && Number(distance) < most, `${path}: ${String(distance)} ms`);
			}
		});
	}

	const dates = [
		"sh",
		"-c",
		"date -s 2031-01-01 > /dev/null && date +%F && python3 -c 'import time; print(time.time())'",
	];
	test("needs no clock of its own: date -s under the default clock", TIMEOUT, async (t) => {
		if (has(t, "python3")) assertDates(cleanOutput(await vsyscall(["run", "--", ...dates])));
	});

	test("needs no privileges", TIMEOUT, async (t) => {
		if (!has(t, "python3") || !isRoot(t)) return;
		assertDates(cleanOutput(await runUnder("+10y", dates, { uid: NOBODY, gid: NOBODY })));
		assertDates(cleanOutput(await vsyscall(["run", "--", ...dates], { uid: NOBODY, gid: NOBODY })));
	});

	test("sets it for processes with a page of their own, too", TIMEOUT, async (t) => {
		if (!has(t, "unshare") || !isRoot(t)) return;
		const command = "unshare --mount sh -c 'mount -t tmpfs none /proc && date +%Y && date -s 2031-01-01 && date +%Y'";
		const [before, , after] = cleanOutput(await runUnder("+100y", ["sh", "-c", command])).split("\n");
		assert.ok(Number(before) > 2100, before);
		assert.equal(after, "2031");
	});
});
