/** What gdb shows of a process with our image: from a core file, and live once the supervisor is gone. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has, lacks } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	markedProcesses,
	native,
	runUnder,
	type Started,
	startCommand,
	startVsyscall,
} from "../helpers/vsyscall.ts";

interface Addresses {
	readonly pid: number;
	readonly auxv: string;
	readonly kernel: string;
}

const addressesOf = (stdout: string): Addresses => JSON.parse(stdout.split("\n")[0] ?? "") as Addresses;

const gdb = (args: readonly string[], ...commands: readonly string[]): string =>
	execFileSync(
		"gdb",
		[
			"-nx",
			"-q",
			"-batch",
			"-iex",
			"set debuginfod enabled off",
			...args,
			...commands.flatMap((command) => ["-ex", command]),
		],
		{ encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 60_000, env: { ...process.env, LC_ALL: "C" } },
	);

const MARK = "the backtrace:";
/** Commands that print a backtrace where `frames` finds it: gdb also prints the frame in which it stops. */
const BACKTRACE = [`echo ${MARK}\\n`, "bt"] as const;

/** A C library with symbols shows its own function of the same name above ours. */
const withoutWrapper = (names: readonly string[]): readonly string[] =>
	names.filter((name, index) => name !== names[index - 1]);

/** Names of the functions of the backtrace, innermost first, without the C library's around the vDSO. */
const frames = (output: string): readonly string[] => {
	const [, backtrace = ""] = output.split(`${MARK}\n`);
	return [...backtrace.matchAll(/^#\d+ +(?:0x[0-9a-f]+ in )?(\S+) \(/gm)]
		.map(([, name = ""]) => name.replace("__vdso_", ""))
		.filter((name, index) => index === 0 || !/^_*GI_/.test(name));
};

const ehdrOf = (output: string): string | undefined => /^33 +AT_SYSINFO_EHDR .* 0x([0-9a-f]+)$/m.exec(output)?.[1];

/** Faults that happen in our code: see unwinding.test.ts. */
const FAULTS = [
	["+10y", "time"],
	["+10y", "clock_gettime"],
	["frozen", "time"],
	["frozen", "clock_gettime"],
	["frozen", "gettimeofday"],
] as const;

/** Whether the kernel writes cores to the working directory. */
const writesCores = (t: TestContext): boolean => {
	const pattern = readFileSync("/proc/sys/kernel/core_pattern", "utf8").trim();
	return !/[|/]/.test(pattern) || lacks(t, `core files go to ${pattern}`);
};

// The kernel dumps its own vDSO always, but of a file that is mapped privately the first page only, unless a page of it was
// written to or the file has no name and is mapped shared (fs/coredump.c, vma_dump_size).
describe("a core file of a crash in the image", { timeout: 120_000 }, () => {
	for (const [clock, name] of FAULTS) {
		test(`has a full backtrace with ${name} on top, and our address in its auxiliary vector, under ${clock}`, async (t) => {
			if (!has(t, "gcc", "gdb") || !writesCores(t)) return;
			const program = build("glibc", "debugged.c");
			const cwd = mkdtempSync(join(tmpdir(), "vsyscall-core-"));
			try {
				const shell = `ulimit -c unlimited && exec "$0" "$@"`;
				const args = ["-c", shell, process.execPath, CLI, "run", "--clock", clock, "--", program, "crash", name];
				const started = startCommand("sh", args, { cwd });
				const { signal, stdout } = await started.finished;
				assert.equal(signal, "SIGSEGV");
				await assertNothingLeft(started.mark);
				const cores = readdirSync(cwd).filter((file) => file.startsWith("core"));
				assert.equal(cores.length, 1, "one core: the program's, not the supervisor's");
				const { auxv, kernel } = addressesOf(stdout);
				assert.equal(kernel, auxv);
				const output = gdb([program, join(cwd, cores[0] ?? "")], ...BACKTRACE, "info auxv", "info symbol $pc");
				assert.deepEqual(withoutWrapper(frames(output)), [name, "calling_the_vdso", "main"]);
				assert.equal(ehdrOf(output), auxv);
				assert.match(
					output,
					new RegExp(`^(__vdso_)?${name} (\\+ \\d+ )?in section \\.text of .*(vdso|system-supplied DSO)`, "m"),
				);
			} finally {
				rmSync(cwd, { recursive: true });
			}
		});
	}
});

test("/proc/PID/auxv and the program's own auxiliary vector agree on the address of the image", async (t) => {
	if (!has(t, "gcc")) return;
	for (const toolchain of ["glibc", "glibc-static", "glibc-static-pie"] as const) {
		const program = build(toolchain, "debugged.c");
		const expected = addressesOf((await native([program])).stdout);
		assert.equal(expected.kernel, expected.auxv);
		for (const clock of ["host", "+10y", "frozen"]) {
			const { stdout, stderr, exitCode } = await runUnder(clock, [program]);
			assert.deepEqual([stderr, exitCode], ["", 0]);
			const { auxv, kernel } = addressesOf(stdout);
			assert.notEqual(auxv, "0");
			assert.equal(kernel, auxv);
		}
	}
});

const firstLine = async ({ child }: Started): Promise<string> => {
	let text = "";
	for (;;) {
		const [chunk] = (await once(child.stdout ?? child, "data")) as [string];
		text += chunk;
		if (text.includes("\n")) return text;
	}
};

describe("a process whose supervisor was killed", { timeout: 120_000 }, () => {
	for (const [clock, name] of [
		["+10y", "time"],
		["+10y", "clock_gettime"],
		["frozen", "gettimeofday"],
	] as const) {
		test(`lets gdb attach, break in ${name} of our image and see the callers, under ${clock}`, async (t) => {
			if (!has(t, "gcc", "gdb")) return;
			const program = build("glibc", "debugged.c");
			const started = startVsyscall(["run", "--clock", clock, "--", program, "loop", name], { allowLeftovers: true });
			const { pid, auxv } = addressesOf(await firstLine(started));
			try {
				started.child.kill("SIGKILL");
				await once(started.child, "exit");
				const breakpoint = `break *(&__vdso_${name})`;
				const output = gdb(["-p", String(pid)], breakpoint, "continue", ...BACKTRACE, "info auxv", "detach");
				assert.deepEqual(withoutWrapper(frames(output)), [name, "calling_the_vdso", "main"]);
				assert.equal(ehdrOf(output), auxv);
			} finally {
				for (const left of markedProcesses(started.mark)) process.kill(left, "SIGKILL");
			}
			await started.finished;
			await assertNothingLeft(started.mark);
		});
	}
});
