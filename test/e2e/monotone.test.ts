/**
 * The image and the kernel's system calls show one sequence of times: no step back in ten million pairs of readings.
 *
 * VSYSCALL_PAIRS sets another number of pairs: 40000000 for a release.
 */
import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import type { Reads } from "../../src/vdso/reads.ts";
import { build } from "../helpers/fixtures.ts";
import { has, lacks } from "../helpers/requirements.ts";
import { native, runUnder, vsyscall } from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";

const PAIRS = Number(process.env["VSYSCALL_PAIRS"] ?? 10_000_000);
const TIMEOUT_MS = 60_000 + PAIRS / 50;

interface Sequence {
	readonly spec: string;
	readonly clock: string;
	/** "both": by turns from the image and by a system call; "vdso": from the image alone. */
	readonly source: "both" | "vdso";
	readonly threads: "one" | "two";
	/** @default "exact" */
	readonly reads?: Reads;
}

const SEQUENCES: readonly Sequence[] = [
	{ spec: "host", clock: "monotonic", source: "both", threads: "one" },
	{ spec: "host", clock: "monotonic", source: "both", threads: "two" },
	{ spec: "host", clock: "monotonic-coarse", source: "both", threads: "two" },
	{ spec: "host", clock: "boottime", source: "both", threads: "two" },
	{ spec: "host", clock: "realtime", source: "both", threads: "one" },
	{ spec: "host", clock: "realtime", source: "both", threads: "two" },
	{ spec: "host", clock: "tai", source: "both", threads: "two" },
	{ spec: "host", clock: "realtime", source: "vdso", threads: "two" },
	{ spec: "+10y", clock: "monotonic", source: "both", threads: "two" },
	{ spec: "+10y", clock: "realtime", source: "vdso", threads: "two" },
	{ spec: "drift=50", clock: "realtime", source: "vdso", threads: "two" },
	{ spec: "+10y drift=-499999", clock: "tai", source: "vdso", threads: "two" },
	{ spec: "drift=-999999", clock: "realtime", source: "vdso", threads: "one" },
	{ spec: "frozen", clock: "monotonic", source: "both", threads: "one" },
	{ spec: "+10y", clock: "realtime", source: "vdso", threads: "one", reads: "relaxed" },
	{ spec: "host", clock: "monotonic", source: "vdso", threads: "one", reads: "relaxed" },
	{ spec: "+10y", clock: "realtime", source: "vdso", threads: "two", reads: "coarse" },
	{ spec: "host", clock: "monotonic", source: "vdso", threads: "two", reads: "coarse" },
];

interface Outcome {
	readonly pairs: number;
	/** Readings before an earlier one, and the longest of these steps in nanoseconds. */
	readonly back: number;
	readonly furthest: number;
	/** How often a thread found a new value of the other one, for the thread that did so less. */
	readonly handovers: number;
}

const wording = { both: "image and system call", vdso: "image" } as const;

for (const { spec, clock, source, threads, reads = "exact" } of SEQUENCES) {
	const name = `${clock}, ${reads}, from ${wording[source]} under ${spec} never steps back on ${threads} processor${threads === "two" ? "s" : ""}`;
	test(name, { timeout: TIMEOUT_MS + 10_000 }, async (t) => {
		if (!has(t, "gcc")) return;
		if (threads === "two" && availableParallelism() < 2) {
			lacks(t, "needs two processors");
			return;
		}
		const program = build("glibc", "monotone.c", ["-ldl"]);
		const command = [program, clock, source, threads, String(PAIRS)];
		const outcome = JSON.parse(
			cleanOutput(
				await vsyscall(["run", "--clock", spec, "--reads", reads, "--", ...command], { timeoutMs: TIMEOUT_MS }),
			),
		) as Outcome;
		const { handovers, ...steps } = outcome;
		assert.deepEqual(steps, { pairs: PAIRS, back: 0, furthest: 0 });
		// The threads did run at the same time. A coarse clock has a new value only once per tick, and is read in a nanosecond.
		const wanted = reads === "coarse" ? 1 : clock.endsWith("coarse") ? 10 : 100;
		if (threads === "two") assert.ok(handovers >= wanted, `${handovers} handovers`);
	});
}

test("in a time namespace the image and the system calls show one sequence", { timeout: 120_000 }, async (t) => {
	if (!has(t, "gcc", "unshare")) return;
	const enter = ["unshare", "--time", "--monotonic", "1000000", "--boottime", "2000000", "--"];
	if ((await native([...enter, "true"])).exitCode !== 0) {
		lacks(t, "may not make a time namespace");
		return;
	}
	const program = build("glibc", "monotone.c", ["-ldl"]);
	for (const clock of ["monotonic", "boottime", "monotonic-coarse"]) {
		const command = [...enter, program, clock, "both", "one", "200000"];
		const { handovers, ...steps } = JSON.parse(cleanOutput(await runUnder("+10y", command))) as Outcome;
		assert.deepEqual({ ...steps, handovers }, { pairs: 200_000, back: 0, furthest: 0, handovers: 0 }, clock);
	}
	const command = [...enter, program, "realtime", "vdso", "one", "200000"];
	const { back } = JSON.parse(cleanOutput(await runUnder("+10y", command))) as Outcome;
	assert.equal(back, 0);
});
