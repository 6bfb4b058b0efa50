/**
 * Every mode on every host: real kernels, each booted with vsyscall=emulate, xonly and none.
 *
 * The oracle is the kernel: what a program prints under `--vsyscall=MODE` is what it prints natively on the same kernel booted with
 * that mode. VSYSCALL_HOSTS=full takes all suites of kernels.ts; otherwise two.
 */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has, lacks } from "../helpers/requirements.ts";
import { boot, type Command, type Outcome } from "./boot.ts";
import { fetchKernel, SUITES, type Suite } from "./kernels.ts";
import { expectedFacts } from "./expected.ts";

const HOSTS = ["emulate", "xonly", "none"] as const;
const MODES = ["native", "emulate", "xonly", "none"] as const;
const FULL = process.env["VSYSCALL_HOSTS"] === "full";
const CHOSEN: readonly Suite[] = FULL ? SUITES : ["bookworm", "trixie-backports"];
const TIMEOUT = { timeout: 900_000 };
const FROZEN = "@2009-02-13T23:31:30Z frozen";

const COMMANDS: readonly Command[] = [
	{ name: "facts", script: "page-facts" },
	...MODES.map((mode) => ({ name: mode, script: `vsyscall run --vsyscall=${mode} -- page-facts` })),
	{ name: "auto", script: "vsyscall run --clock +1d -- page-facts" },
	{ name: "legacy", script: `vsyscall run --stats --clock '${FROZEN}' -- legacy` },
	{ name: "hammer", script: "vsyscall run --clock +1d -- legacy hammer 8 2000" },
	{ name: "ordinary", script: "as-nobody run --stats --vsyscall=emulate -- legacy hammer 2 100" },
	{ name: "left", script: "ps -o stat,comm | grep -E '^[ZTt]'" },
];

const LEGACY = `gettimeofday 0: 1234567890.000000 zone 0 0
time 1234567890: 1234567890
getcpu 0: cpu 0
again 1234567890
`;

const stdoutOf = (outcomes: ReadonlyMap<string, Outcome>, name: string): string => outcomes.get(name)?.stdout ?? "";

for (const name of CHOSEN) {
	suite(`a kernel of ${name}`, () => {
		const boots = new Map<string, ReadonlyMap<string, Outcome>>();
		for (const host of HOSTS) {
			test(`booted with vsyscall=${host}`, TIMEOUT, async (t) => {
				if (!has(t, "gcc", "busybox", "qemu-system-x86_64", "dpkg-deb", "xz")) return;
				const kernel = await fetchKernel(name).catch((error: unknown) => String(error));
				if (typeof kernel === "string") {
					lacks(t, `no kernel of ${name}: ${kernel}`);
					return;
				}
				const programs = new Map([
					["page-facts", build("glibc-static", "page-facts.c")],
					["legacy", build("glibc-static", "legacy.c")],
				]);
				const outcomes = await boot({ kernel, mode: host, programs, commands: COMMANDS });
				boots.set(host, outcomes);
				t.diagnostic(`Linux ${kernel.release}`);
				assert.deepEqual(outcomes.get("legacy")?.stdout, LEGACY, outcomes.get("legacy")?.stderr);
				assert.match(
					outcomes.get("legacy")?.stderr ?? "",
					/3 call sites patched, 3 calls trapped, 0 call sites refused/,
				);
				assert.equal(stdoutOf(outcomes, "hammer"), "16000 good\n");
				assert.equal(stdoutOf(outcomes, "ordinary"), "200 good\n", outcomes.get("ordinary")?.stderr);
				assert.equal(stdoutOf(outcomes, "left"), "", "zombies or stopped tasks are left");
				assert.equal(stdoutOf(outcomes, "end"), "", "the kernel complained");
			});
		}

		for (const mode of ["emulate", "xonly", "none"] as const) {
			for (const host of HOSTS) {
				test(`--vsyscall=${mode} on vsyscall=${host} is vsyscall=${mode}`, TIMEOUT, (t) => {
					const [native, shown] = [boots.get(mode), boots.get(host)];
					if (native === undefined || shown === undefined) return t.skip("a boot is missing");
					assert.deepEqual(
						stdoutOf(shown, mode).split("\n"),
						expectedFacts({ facts: stdoutOf(native, "facts"), mode, host }).split("\n"),
					);
				});
			}
		}

		for (const host of HOSTS) {
			test(`--vsyscall=auto on vsyscall=${host}`, TIMEOUT, (t) => {
				const mode = host === "none" ? "xonly" : host;
				const [native, shown] = [boots.get(mode), boots.get(host)];
				if (native === undefined || shown === undefined) return t.skip("a boot is missing");
				assert.deepEqual(
					stdoutOf(shown, "auto").split("\n"),
					expectedFacts({ facts: stdoutOf(native, "facts"), mode, host }).split("\n"),
				);
			});

			test(`--vsyscall=native on vsyscall=${host} is the same as on the others`, TIMEOUT, (t) => {
				const [first, shown] = [boots.get("emulate"), boots.get(host)];
				if (first === undefined || shown === undefined) return t.skip("a boot is missing");
				assert.deepEqual(stdoutOf(shown, "native").split("\n"), stdoutOf(first, "native").split("\n"));
			});
		}
	});
}
