/**
 * The clocks on real kernels: the layout of the vvar page is recognised, and image and system calls show one sequence of times, also
 * while the clock source is changed under them.
 *
 * VSYSCALL_HOSTS=full takes all suites of kernels.ts; otherwise two.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has, lacks } from "../helpers/requirements.ts";
import { boot, type Command } from "./boot.ts";
import { fetchKernel, SUITES, type Suite } from "./kernels.ts";

const CHOSEN: readonly Suite[] = process.env["VSYSCALL_HOSTS"] === "full" ? SUITES : ["bookworm", "trixie-backports"];
const SWITCHES = 11;
const SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

const COMMANDS: readonly Command[] = [
	// A kernel that has just been booted may still be on its way there: tsc-early.
	{
		name: "source",
		script: `for i in $(seq 50); do [ "$(cat ${SOURCE})" = tsc ] && break; sleep 0.2; done; cat ${SOURCE}`,
	},
	// QEMU's processor is not invariant: that is the last thing asked, behind the layout.
	{ name: "layout", script: "vsyscall run --reads=relaxed -- true" },
	{ name: "monotonic", script: "vsyscall run --clock host -- monotone monotonic both one 100000" },
	{ name: "realtime", script: "vsyscall run --clock host -- monotone realtime both one 100000" },
	{ name: "shifted", script: "vsyscall run --clock +1d -- monotone realtime vdso one 100000" },
	{
		name: "switched",
		script: [
			`(for i in $(seq ${SWITCHES}); do echo hpet > ${SOURCE}; usleep 50000; echo tsc > ${SOURCE}; usleep 50000; done) &`,
			"vsyscall run --clock host -- monotone monotonic both one 500000; wait",
		].join("\n"),
	},
];

for (const name of CHOSEN) {
	test(`the clocks of a kernel of ${name}`, { timeout: 900_000 }, async (t) => {
		if (!has(t, "gcc", "busybox", "qemu-system-x86_64", "dpkg-deb", "xz")) return;
		const kernel = await fetchKernel(name).catch((error: unknown) => String(error));
		if (typeof kernel === "string") {
			lacks(t, `no kernel of ${name}: ${kernel}`);
			return;
		}
		const programs = new Map([["monotone", build("glibc", "monotone.c", ["-ldl"])]]);
		const outcomes = await boot({ kernel, mode: "none clocksource=tsc", programs, commands: COMMANDS });
		t.diagnostic(`Linux ${kernel.release}`);
		assert.equal(outcomes.get("source")?.stdout, "tsc\n");
		assert.match(outcomes.get("layout")?.stderr ?? "", /not invariant/, "the layout of the page is not known");
		for (const sequence of ["monotonic", "realtime", "shifted", "switched"])
			assert.match(outcomes.get(sequence)?.stdout ?? "", /"back":0,/, `${sequence}: ${outcomes.get(sequence)?.stderr}`);
	});
}
