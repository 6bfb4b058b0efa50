/**
 * Timeouts of io_uring on real kernels: under `--io-uring=follow` the program says what it says natively. Where rings cannot be told apart
 * (before Linux 5.16) there is no io_uring.
 *
 * VSYSCALL_HOSTS=full takes all suites of kernels.ts; otherwise two.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SCENARIOS } from "../e2e/io-uring-scenarios.ts";
import { build } from "../helpers/fixtures.ts";
import { has, lacks } from "../helpers/requirements.ts";
import { boot, type Command } from "./boot.ts";
import { fetchKernel, SUITES, type Suite } from "./kernels.ts";

const CHOSEN: readonly Suite[] = process.env["VSYSCALL_HOSTS"] === "full" ? SUITES : ["bookworm", "trixie-backports"];

/** An emulated machine is too slow for threads in a hurry. */
const words = SCENARIOS.map(([, scenario]) => scenario).filter((scenario) => !scenario.startsWith("storm"));
const ALL = words.map((scenario) => `echo ${scenario}; io-uring ${scenario}`).join("; ");

const COMMANDS: readonly Command[] = [
	{ name: "native", script: ALL },
	{ name: "later", script: `vsyscall run --clock=+10y --io-uring=follow -- sh -c '${ALL}'` },
	{ name: "earlier", script: `vsyscall run --clock=-10y --io-uring=follow -- sh -c '${ALL}'` },
	{ name: "setup", script: "vsyscall run --clock=+10y --io-uring=follow -- io-uring setup 0" },
];

for (const name of CHOSEN) {
	test(`io_uring on a kernel of ${name}`, { timeout: 900_000 }, async (t) => {
		if (!has(t, "gcc", "busybox", "qemu-system-x86_64", "dpkg-deb", "xz")) return;
		const kernel = await fetchKernel(name).catch((error: unknown) => String(error));
		if (typeof kernel === "string") {
			lacks(t, `no kernel of ${name}: ${kernel}`);
			return;
		}
		const programs = new Map([["io-uring", build("glibc-static", "io-uring.c")]]);
		const outcomes = await boot({ kernel, mode: "none", programs, commands: COMMANDS });
		t.diagnostic(`Linux ${kernel.release}`);
		if (name === "bullseye") {
			assert.equal(outcomes.get("setup")?.stdout, "[-38]\n");
			return;
		}
		const expected = outcomes.get("native");
		assert.match(expected?.stdout ?? "", /^wall 0\n\[\{"results":\[\[7,-62\]\],"took":"due"\}\]$/m);
		for (const run of ["later", "earlier"]) assert.deepEqual(outcomes.get(run), expected, run);
	});
}
