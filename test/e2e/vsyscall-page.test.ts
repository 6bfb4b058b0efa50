/** The vsyscall page per process, on this host. test/hosts has the same on kernels that were booted with each mode. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { probeHostVsyscall } from "../../src/linux/host-vsyscall.ts";
import { build } from "../helpers/fixtures.ts";
import { has, isRoot, lacks } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	type Finished,
	native,
	runCommand,
	startCommand,
	vsyscall,
} from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 180_000 };
const LONG = { timeoutMs: 120_000 };
const FROZEN = "@2009-02-13T23:31:30Z frozen";
const HOST = probeHostVsyscall();

const LEGACY = `gettimeofday 0: 1234567890.000000 zone 0 0
time 1234567890: 1234567890
getcpu 0: cpu 0
again 1234567890
`;

const CLOCKS = ["host", "@2038-01-19T03:14:07Z", "+1000y", FROZEN];
const SERVED = ["native", "emulate", "xonly"] as const;
const LINKS = ["glibc", "glibc-static"] as const;

suite("a program of 2009", () => {
	for (const mode of SERVED) {
		for (const link of LINKS) {
			test(`${link}, --vsyscall=${mode}`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				const program = build(link, "legacy.c");
				const run = await vsyscall(["run", "--stats", "--clock", FROZEN, `--vsyscall=${mode}`, "--", program]);
				assert.equal(run.stdout, LEGACY);
				assert.equal(
					run.stderr,
					"vsyscall: vsyscall page: 3 call sites patched, 3 calls trapped, 0 call sites refused\n",
				);
			});
		}

		test(`--no-patch, --vsyscall=${mode}`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const command = ["run", "--stats", "--no-patch", "--clock", FROZEN, `--vsyscall=${mode}`, "--"];
			const run = await vsyscall([...command, build("glibc", "legacy.c")]);
			assert.equal(run.stdout, LEGACY);
			assert.match(run.stderr, /0 call sites patched, 4 calls trapped, 0 call sites refused/);
		});
	}

	test("--vsyscall=none ends it as a host without the page does", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const run = await vsyscall(["run", "--vsyscall=none", "--", build("glibc", "legacy.c")]);
		assert.deepEqual(run, { stdout: "", stderr: "", exitCode: null, signal: "SIGSEGV" });
	});

	test("chains of legacy and modern programs keep the clock", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc-static", "legacy.c");
		const run = await vsyscall(["run", "--clock", FROZEN, "--vsyscall=xonly", "--", program, "chain", "8", program]);
		assert.equal(run.stdout, "1234567890\n");
	});

	test("1,000 children that each call", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = ["run", "--clock", "+1d", "--vsyscall=xonly", "--", build("glibc", "legacy.c"), "storm", "1000"];
		assert.equal((await vsyscall(command, LONG)).stdout, "1000 good\n");
	});

	test("8 threads at one call site from a standing start, 100 times", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const script = 'for ((i = 0; i < 100; i++)); do "$0" hammer 8 2000; done | uniq -c';
		const command = ["bash", "-c", script, build("glibc", "legacy.c")];
		const run = await vsyscall(["run", "--stats", "--clock", "+1d", "--vsyscall=xonly", "--", ...command], LONG);
		assert.equal(run.stdout, "    100 16000 good\n");
		assert.match(run.stderr, /100 call sites patched, \d+ calls trapped, 0 call sites refused/);
	});
});

suite("shapes of calls", () => {
	const SHAPES =
		"immediate immediate_r12 immediate_far movabs pointer_rip pointer_abs pointer_base pointer_index pointer_loaded pointer_loaded_far pointer_abs_loaded pointer_relro pointer_odd plt plt_bnd tail tail_pointer direct";
	for (const [link, flags] of [
		["glibc", ["-no-pie"]],
		["glibc-static", []],
	] as const) {
		test(
			`${link}: each of ${SHAPES.split(" ").length} is patched by its first call, and a computed one is not`,
			TIMEOUT,
			async (t) => {
				if (!has(t, "gcc")) return;
				const program = build(link, "call-shapes.c", flags);
				for (const shape of [...SHAPES.split(" "), "computed"]) {
					const run = await vsyscall(["run", "--stats", "--clock", "+1d", "--vsyscall=xonly", "--", program, shape]);
					assert.equal(run.stdout, "100 good\n", shape);
					const statistics =
						shape === "computed"
							? /0 call sites patched, 100 calls trapped, 1 call site refused/
							: /1 call site patched, 1 call trapped, 0 call sites refused/;
					assert.match(run.stderr, statistics, shape);
				}
			},
		);
	}
});

test(
	"an operand of eight bytes is left alone while another process has the same memory, 100 times",
	TIMEOUT,
	async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "shared-memory.c");
		const command = ["bash", "-c", 'for ((i = 0; i < 100; i++)); do "$0"; done | uniq -c', program];
		const run = await vsyscall(["run", "--stats", "--clock", "+1d", "--vsyscall=xonly", "--", ...command], LONG);
		assert.equal(run.stdout, "    100 10 good\n");
		assert.match(run.stderr, /0 call sites patched, 1000 calls trapped, 100 call sites refused/);
	},
);

test("a program that does nothing but calls that trap can be ended, on one processor", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const run = ["run", "--no-patch", "--clock", "+1d", "--", build("glibc", "endless-calls.c")];
	const { child, mark, finished } = startCommand("taskset", ["1", process.execPath, CLI, ...run]);
	child.stdout?.once("data", () => child.kill("SIGTERM"));
	const { stdout, exitCode, signal } = await finished;
	assert.deepEqual({ stdout, exitCode, signal }, { stdout: "calling\n", exitCode: null, signal: "SIGTERM" });
	await assertNothingLeft(mark);
});

suite("what the page does to a program", () => {
	for (const clock of CLOCKS) {
		for (const flags of [[], ["--no-patch"]]) {
			test(`--vsyscall=xonly is the kernel's own xonly: --clock '${clock}' ${flags.join(" ")}`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				if (HOST !== "xonly") {
					lacks(t, "needs a host with vsyscall=xonly");
					return;
				}
				const program = build("glibc-static", "page-facts.c");
				const expected = await native([program]);
				const run = await runFacts(["--clock", clock, ...flags, "--vsyscall=xonly", "--", program]);
				assert.deepEqual(run.split("\n"), expected.stdout.split("\n"));
			});
		}
	}

	test("--vsyscall=emulate differs from xonly in reads only", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		if (HOST !== "xonly") {
			lacks(t, "needs a host with vsyscall=xonly");
			return;
		}
		const program = build("glibc-static", "page-facts.c");
		const lines = (await runFacts(["--vsyscall=emulate", "--", program])).split("\n");
		const expected = (await native([program])).stdout.split("\n");
		const different = lines.filter((line, index) => line !== expected[index]);
		assert.deepEqual(different, [
			"read 0: 48 c7",
			"read 0x407: 0f 05",
			"read 0xffe: cc cc",
			"copy: 48c7c0c9..cc moved on",
		]);
	});

	test("--vsyscall=native gives -EFAULT and SIGTRAP", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const facts = await runFacts(["--vsyscall=native", "--", build("glibc-static", "page-facts.c")]);
		for (const row of ["gettimeofday unmapped null", "site:time kernel", "site:getcpu good readonly"]) {
			assert.match(facts, new RegExp(`^${row}: rax 0xfffffffffffffff2 changed stored`, "m"));
		}
		assert.match(facts, /^offset 0xc00: signal 5 code 128 addr 0 rip page\+0xc01 rsp at-call rax unchanged/m);
		assert.match(facts, /^disposition handler blocked: after handler flags 0x44000004 mask-in-action 1 blocked 1$/m);
	});

	test("--vsyscall=none is the fault of a host without the page, for every row", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const facts = await runFacts(["--vsyscall=none", "--", build("glibc-static", "page-facts.c")]);
		const calls = facts.split("\n").filter((line) => /^(?:site:)?(?:gettimeofday|time|getcpu|offset)/.test(line));
		assert.ok(calls.length > 100, String(calls.length));
		const fault =
			/signal 11 code 1 addr (page\+\S+) rip \1 rsp at-call rax unchanged trapno 14 err 0x15 cr2 \1 stored no-time 0$/;
		for (const line of calls) assert.match(line, fault);
		assert.match(facts, /^disposition handler blocked: killed by 11$/m);
	});
});

/** page-facts shows all rows even where one kills its process. */
const runFacts = async (args: readonly string[]): Promise<string> => {
	const run = await vsyscall(["run", ...args], LONG);
	assert.deepEqual({ stderr: run.stderr, exitCode: run.exitCode }, { stderr: "", exitCode: 0 });
	return run.stdout;
};

test("loads from the page survive a storm of stops and of SIGCONT", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	if (HOST === "emulate") {
		lacks(t, "needs a host whose page cannot be read");
		return;
	}
	const command = ["run", "--vsyscall=emulate", "--", build("glibc", "stopped-reads.c"), "500"];
	assert.deepEqual(await vsyscall(command, LONG), { stdout: "500 good\n", stderr: "", exitCode: 0, signal: null });
});

test("a read keeps the handler that the fault has reset, also in a child that clone made", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const command = ["run", "--vsyscall=emulate", "--", build("glibc", "blocked-reads.c")];
	assert.equal((await vsyscall(command)).stdout, "end signal 17: status 0x700\nend signal 0: status 0x700\n");
});

test("--vsyscall=none: a SIGSEGV that is sent stays beside those of the calls", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const sent = 100;
	const run = await vsyscall(["run", "--vsyscall=none", "--", build("glibc", "sent-segv.c"), String(sent)], LONG);
	const [, lost = "", odd = ""] = /^faults (\d+) (\d+)$/m.exec(run.stdout) ?? assert.fail(run.stdout);
	assert.equal(odd, "0");
	// The kernel itself merges what is sent while a fault's own is on its way.
	assert.ok(Number(lost) * 10 < sent, `${lost} of ${sent} lost`);
});

suite("the kernel's own checks of the page", () => {
	const SERVED_CHECKS = ["4 ok", "6 ok", "8 ok", "10 ok", "14 at most one step in the page"];
	const EXPECTED = {
		native: [...SERVED_CHECKS, "11 a read works"],
		emulate: [...SERVED_CHECKS, "11 a read works"],
		xonly: [...SERVED_CHECKS, "11 a read faults"],
		none: ["12 a call is an instruction fetch that faults", "11 a read faults"],
	} as const;
	for (const [mode, expected] of Object.entries(EXPECTED)) {
		for (const flags of [[], ["--no-patch"]]) {
			test(`--vsyscall=${mode} ${flags.join(" ")}`, TIMEOUT, async (t) => {
				if (!has(t, "gcc")) return;
				if (HOST === "emulate") {
					lacks(t, "needs a host whose page cannot be read");
					return;
				}
				const program = build("glibc", "kernel-checks.c");
				const shown = await runFacts(["--clock", "+1y", ...flags, `--vsyscall=${mode}`, "--", program]);
				// 13 is what the host does: process_vm_readv of the page cannot be changed (docs/modes.md).
				assert.deepEqual(shown.trimEnd().split("\n"), [...expected, "13 -1"]);
			});
		}
	}
});

suite("ret2vsyscall", () => {
	const FLAGS = ["-fno-stack-protector", "-no-pie"];
	for (const mode of SERVED) {
		test(`--vsyscall=${mode}: the sled leads to its end`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const run = await vsyscall(["run", `--vsyscall=${mode}`, "--", build("glibc", "ret2vsyscall.c", FLAGS)]);
			assert.deepEqual(run, { stdout: "reached\n", stderr: "", exitCode: 0, signal: null });
		});
	}

	test("--vsyscall=none: it ends at its first step", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const run = await vsyscall(["run", "--vsyscall=none", "--", build("glibc", "ret2vsyscall.c", FLAGS)]);
		assert.deepEqual(run, { stdout: "", stderr: "", exitCode: null, signal: "SIGSEGV" });
	});
});

suite("what is asked for", () => {
	test("an unknown mode is an error that names the four", TIMEOUT, async () => {
		const run = await vsyscall(["run", "--vsyscall=fast", "--", "true"]);
		assert.deepEqual(run, {
			stdout: "",
			stderr: 'vsyscall: unknown vsyscall mode "fast": give native, emulate, xonly or none (or auto, the default)\n',
			exitCode: 125,
			signal: null,
		});
	});

	test("a mode for a 32-bit program is an error", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc-32-static", "exit-seven.c");
		const run = await vsyscall(["run", "--vsyscall=emulate", "--", program]);
		assert.equal(run.exitCode, 125);
		assert.match(run.stderr, /is a 32-bit program, which has no vsyscall page: leave --vsyscall out/);
		assert.equal((await vsyscall(["run", "--", program])).exitCode, 7);
		assert.equal((await vsyscall(["run", "--vsyscall=none", "--", program])).exitCode, 7);
	});

	test("auto with the host's clock takes nothing but a filter for the calls that set it", TIMEOUT, async (t) => {
		if (HOST === "none") {
			lacks(t, "needs a host that serves the vsyscall page");
			return;
		}
		const command = ["grep", "-E", "^(Seccomp|NoNewPrivs):", "/proc/self/status"];
		const natively = (await runCommand(command)).stdout.replace("Seccomp:\t0", "Seccomp:\t2");
		assert.equal((await vsyscall(["run", "--", ...command])).stdout, natively);
	});

	test("an ordinary user can have every mode", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		if (!isRoot(t)) return;
		const program = build("glibc", "legacy.c");
		for (const mode of SERVED) {
			const run = await vsyscall(["run", "--clock", FROZEN, `--vsyscall=${mode}`, "--", program], {
				uid: 65534,
				gid: 65534,
			});
			assert.deepEqual(run, { stdout: LEGACY, stderr: "", exitCode: 0, signal: null });
		}
	});
});

suite("a program's own seccomp filter", () => {
	for (const flags of [[], ["--clock", "+1d"], ["--vsyscall=none"], ["--vsyscall=emulate", "--no-patch"]]) {
		test(`what it leaves to a tracer is not called: ${flags.join(" ")}`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const program = build("glibc", "filter-trace.c");
			const expected = await native([program]);
			assert.equal(expected.stdout, "getppid data 0: ENOSYS\ngetppid data 1: ENOSYS\ngetppid data 2: ENOSYS\n");
			assert.deepEqual(await vsyscall(["run", ...flags, "--", program]), expected);
		});
	}
});

suite("a program that has closed its memory to an ordinary user's tracer", () => {
	const NOBODY = { uid: 65534, gid: 65534 };
	const served = async (mode: string): Promise<Finished> =>
		vsyscall(["run", "--clock", FROZEN, `--vsyscall=${mode}`, "--", build("glibc", "closed-memory.c")], NOBODY);

	for (const mode of SERVED) {
		test(`--vsyscall=${mode}: what needs no memory is on the clock, the rest is named`, TIMEOUT, async (t) => {
			if (!has(t, "gcc") || !isRoot(t)) return;
			if (HOST === "none") {
				lacks(t, "needs a host that serves the vsyscall page");
				return;
			}
			const run = await served(mode);
			assert.match(run.stdout, /^time 1234567890 gettimeofday 0 host\n$/);
			assert.match(run.stderr, /^vsyscall: closed-memory\S* \(pid \d+\) has closed its memory to us .*\n$/);
		});
	}

	test("--vsyscall=none: it gets no call through", TIMEOUT, async (t) => {
		if (!has(t, "gcc") || !isRoot(t)) return;
		const run = await served("none");
		assert.deepEqual(run, { stdout: "", stderr: "", exitCode: null, signal: "SIGSEGV" });
	});
});
