/**
 * inspect and doctor on real kernels: the layout of each vvar page, the mode that the kernel was booted with, and a clock source by
 * which every read is a system call.
 *
 * VSYSCALL_HOSTS=full takes all suites of kernels.ts; otherwise two.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import type { Inspected } from "../helpers/inspected.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has, lacks } from "../helpers/requirements.ts";
import { boot, type Command, type Outcome } from "./boot.ts";
import { fetchKernel, SUITES, type Suite } from "./kernels.ts";

const CHOSEN: readonly Suite[] = process.env["VSYSCALL_HOSTS"] === "full" ? SUITES : ["bookworm", "trixie-backports"];
const SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

const COMMANDS: readonly Command[] = [
	{
		name: "tsc",
		script: `for i in $(seq 50); do [ "$(cat ${SOURCE})" = tsc ] && break; sleep 0.2; done; cat ${SOURCE}`,
	},
	{ name: "inspect", script: "vsyscall inspect --host --json" },
	{ name: "shell", script: "vsyscall inspect $$ --json" },
	{ name: "doctor", script: "vsyscall doctor --json" },
	{ name: "program", script: "vsyscall doctor legacy" },
	{ name: "trapping", script: `echo hpet > ${SOURCE}; vsyscall doctor --json` },
	{ name: "hpet", script: "vsyscall inspect --host --json" },
];

interface Checks {
	readonly checks: readonly { readonly name: string; readonly state: string }[];
}

const parse = (outcome: Outcome | undefined, schema: string): unknown => {
	assert.equal(outcome?.stderr, "");
	const value: unknown = JSON.parse(outcome.stdout);
	assert.deepEqual(schemaFaults(readSchema(schema), value), []);
	return value;
};

const problems = (outcome: Outcome | undefined): readonly string[] =>
	(parse(outcome, "doctor.schema.json") as Checks).checks.flatMap(({ name, state }) =>
		state === "problem" ? [name] : [],
	);

/** By notes/linux/vvar-page.md. */
const layoutOf = (release: string): RegExp => {
	const [major = 0, minor = 0] = release.split(".").map(Number);
	const version = major * 100 + minor;
	if (version < 610) return /5\.3 to 6\.9/;
	return version < 615 ? /6\.10 to 6\.14/ : /6\.15 and later/;
};

type Outcomes = ReadonlyMap<string, Outcome>;

const inspected = (outcomes: Outcomes, name: string): Inspected =>
	parse(outcomes.get(name), "inspect.schema.json") as Inspected;

const checkInspect = (outcomes: Outcomes, release: string): void => {
	const { vvar, image, vsyscallPage } = inspected(outcomes, "inspect");
	assert.match(vvar?.layout ?? "", layoutOf(release));
	assert.deepEqual([vvar?.clockMode.name, vsyscallPage], ["tsc", { host: "none", mapping: null }]);
	assert.deepEqual(image?.verdict?.violations, []);
	const shell = inspected(outcomes, "shell");
	assert.equal(shell.image?.buildId, image.buildId);
	assert.deepEqual(shell.auxv?.stack?.entries, shell.auxv?.kernel);
	assert.equal(inspected(outcomes, "hpet").vvar?.clockMode.value, 0);
};

const checkDoctor = (outcomes: Outcomes): void => {
	assert.deepEqual(problems(outcomes.get("doctor")), ["vsyscall page"]);
	assert.match(outcomes.get("program")?.stdout ?? "", /vsyscall run -- legacy/);
	assert.equal(outcomes.get("program")?.status, 1);
	assert.deepEqual(problems(outcomes.get("trapping")), ["vsyscall page", "clock source"]);
};

for (const name of CHOSEN) {
	test(`a kernel of ${name}, booted without the vsyscall page`, { timeout: 900_000 }, async (t) => {
		if (!has(t, "gcc", "busybox", "qemu-system-x86_64", "dpkg-deb", "xz")) return;
		const kernel = await fetchKernel(name).catch((error: unknown) => String(error));
		if (typeof kernel === "string") {
			lacks(t, `no kernel of ${name}: ${kernel}`);
			return;
		}
		const programs = new Map([["legacy", build("glibc-static", "legacy.c")]]);
		const outcomes = await boot({ kernel, mode: "none clocksource=tsc", programs, commands: COMMANDS });
		t.diagnostic(`Linux ${kernel.release}`);
		checkInspect(outcomes, kernel.release);
		checkDoctor(outcomes);
	});
}
