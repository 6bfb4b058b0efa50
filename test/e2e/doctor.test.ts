/** `vsyscall doctor` in environments of which the answer is known. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { SYS_ptrace, SYS_seccomp } from "../../src/linux/constants.ts";
import { build } from "../helpers/fixtures.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { CLI, native, type RunSettings, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 300_000 };
const NOBODY = 65534;
const SCHEMA = readSchema("doctor.schema.json");
const directory = mkdtempSync(join(tmpdir(), "vsyscall-doctor-"));
after(() => rmSync(directory, { recursive: true, force: true }));

interface Host {
	readonly checks: readonly { readonly name: string; readonly state: string; readonly remedy: string | null }[];
}

interface Diagnosis {
	readonly state: string;
	readonly need: string;
	readonly command: string;
	readonly files: readonly { readonly path: string; readonly findings: readonly { readonly symbol: string }[] }[];
}

const parse = (stdout: string): unknown => {
	const value: unknown = JSON.parse(stdout);
	assert.deepEqual(schemaFaults(SCHEMA, value), []);
	return value;
};

/** The checks that are problems, and the exit status. */
const problems = async (command: readonly string[], settings: RunSettings = {}): Promise<readonly unknown[]> => {
	const { stdout, exitCode } = await native([...command, process.execPath, CLI, "doctor", "--json"], settings);
	const { checks } = parse(stdout) as Host;
	return [checks.flatMap(({ name, state }) => (state === "problem" ? [name] : [])), exitCode];
};

const diagnose = async (
	target: string,
	settings: RunSettings = {},
): Promise<Diagnosis & { exitCode: number | null }> => {
	const { stdout, stderr, exitCode } = await vsyscall(["doctor", target, "--json"], settings);
	assert.equal(stderr, "");
	return { ...(parse(stdout) as Diagnosis), exitCode };
};

const isServed = (): boolean => readFileSync("/proc/self/maps", "latin1").includes("[vsyscall]");
/** What this host itself is not well in. */
const OWN: readonly string[] = isServed() ? [] : ["vsyscall page"];

suite("the host", () => {
	test("is well, for root and for an ordinary user", TIMEOUT, async (t) => {
		assert.deepEqual(await problems([]), [OWN, OWN.length]);
		if (!isRoot(t)) return;
		assert.deepEqual(await problems([], { uid: NOBODY, gid: NOBODY, cwd: "/" }), [OWN, OWN.length]);
	});

	test("is well inside of a run", TIMEOUT, async () => {
		assert.deepEqual(await problems([process.execPath, CLI, "run", "--clock", "+1d", "--"]), [OWN, OWN.length]);
	});

	test("has a problem where a filter forbids ptrace", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const deny = build("glibc", "deny-call.c");
		assert.deepEqual(await problems([deny, String(SYS_ptrace)]), [[...OWN, "ptrace"], 1]);
		const { stdout } = await native([deny, String(SYS_ptrace), process.execPath, CLI, "doctor"]);
		assert.match(stdout.replaceAll(/\s+/g, " "), /ptrace problem .*-> a seccomp filter forbids ptrace\(2\)/);
	});

	test("has a problem where filters are forbidden", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		assert.deepEqual(await problems([build("glibc", "deny-call.c"), String(SYS_seccomp)]), [[...OWN, "seccomp"], 1]);
	});

	test("has a problem under a tracer, which is named", TIMEOUT, async (t) => {
		if (!has(t, "strace")) return;
		const command = ["strace", "-f", "-o", "/dev/null", process.execPath, CLI, "doctor"];
		const { stdout, exitCode } = await native(command);
		assert.match(stdout.replaceAll(/\s+/g, " "), /ptrace problem .*-> the program is traced already, by strace/);
		assert.equal(exitCode, 1);
	});

	test("is told in lines of at most 80 columns, without colour where nobody sees it", TIMEOUT, async () => {
		const { stdout } = await vsyscall(["doctor"]);
		for (const line of stdout.trimEnd().split("\n")) assert.ok(line.length <= 80, line);
		assert.ok(!stdout.includes("\u001b"));
	});

	test("is told in colour on a terminal, and never with NO_COLOR", TIMEOUT, async (t) => {
		if (!has(t, "script")) return;
		const command = ["script", "-qec", `${process.execPath} ${CLI} doctor`, "/dev/null"];
		assert.ok((await native(command)).stdout.includes("\u001b["));
		assert.ok(!(await native(command, { env: { NO_COLOR: "1" } })).stdout.includes("\u001b["));
	});
});

suite("a program", () => {
	test("that calls the page needs it; its call sites are named", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const legacy = build("glibc-static", "legacy.c");
		const { need, files, state, command, exitCode } = await diagnose(legacy);
		assert.match(need, /needs the vsyscall page: \d+ calls of gettimeofday, time, getcpu/);
		assert.deepEqual(
			files.map(({ path }) => path),
			[legacy],
		);
		assert.ok(files[0]?.findings.some(({ symbol }) => symbol.startsWith("page_time")));
		const expected = isServed() ? ["ok", legacy, 0] : ["problem", `vsyscall run -- ${legacy}`, 1];
		assert.deepEqual([state, command, exitCode], expected);
		// The same program, run as the diagnosis says.
		assert.equal((await native([process.execPath, CLI, "run", "--", legacy])).exitCode, 0);
	});

	test("that does not is told with its libraries, and found in PATH", TIMEOUT, async () => {
		const { need, state, command } = await diagnose("ls");
		assert.match(need, /^ls does not use the vsyscall page \((\d+) ELF files looked at\)$/);
		assert.deepEqual([state, command], ["ok", "ls"]);
	});

	test("has the libraries that ldd names", TIMEOUT, async (t) => {
		if (!has(t, "ldd")) return;
		const named = execFileSync("ldd", ["/bin/ls"], { encoding: "latin1" })
			.split("\n")
			.filter((line) => /\/|=> \//.test(line)).length;
		const { need } = await diagnose("/bin/ls");
		assert.match(need, new RegExp(`\\(${named + 1} ELF files looked at\\)`));
	});

	test("calls the page in a library of its own", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const source = join(directory, "old.c");
		writeFileSync(
			source,
			'long old(void) { long now; __asm__ volatile("call *%1" : "=a"(now) : "r"(0xffffffffff600400), "D"(0L) : "rcx", "r11", "memory"); return now; }\n',
		);
		const main = join(directory, "main.c");
		writeFileSync(main, "long old(void); int main(void) { return old() == 0; }\n");
		execFileSync("gcc", ["-O1", "-shared", "-fPIC", "-o", join(directory, "libold.so"), source]);
		const program = join(directory, "uses-old");
		execFileSync("gcc", ["-o", program, main, `-L${directory}`, "-lold", "-Wl,-rpath,$ORIGIN"]);
		const { files } = await diagnose(program);
		assert.deepEqual(
			files.map(({ path }) => path),
			[join(directory, "libold.so")],
		);
		rmSync(join(directory, "libold.so"));
		const { need } = await diagnose(program);
		assert.match(need, /not looked at: libold\.so/);
	});

	test("that is a script is its interpreter", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const legacy = build("glibc-static", "legacy.c");
		const script = join(directory, "script");
		writeFileSync(script, `#!${legacy}\n`, { mode: 0o755 });
		assert.deepEqual(
			(await diagnose(script)).files.map(({ path }) => path),
			[legacy],
		);
		const viaEnv = join(directory, "via-env");
		writeFileSync(viaEnv, "#!/usr/bin/env sh\n", { mode: 0o755 });
		assert.deepEqual((await diagnose(viaEnv)).files, []);
	});

	test("for 32 bits has no page", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		assert.match((await diagnose(build("glibc-32-static", "waits.c"))).need, /not for x86-64/);
	});
});

suite("a process", () => {
	test("has the files that it has mapped", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const legacy = build("glibc-static", "legacy.c");
		const child = spawn(legacy, ["time", "2000000000"], { stdio: "ignore" });
		try {
			const { need, files } = await diagnose(String(child.pid));
			assert.match(need, new RegExp(`^process ${child.pid} needs the vsyscall page`));
			assert.deepEqual(
				files.map(({ path }) => path),
				[legacy],
			);
		} finally {
			child.kill("SIGKILL");
		}
	});
});

suite("a directory", () => {
	test("is walked without following links, and its programs counted", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const tree = join(directory, "a tree");
		mkdirSync(join(tree, "bin"), { recursive: true });
		copyFileSync(build("glibc-static", "legacy.c"), join(tree, "bin", "legacy"));
		copyFileSync("/bin/true", join(tree, "bin", "true"));
		writeFileSync(join(tree, "empty"), "");
		writeFileSync(join(tree, "text"), "text\n");
		symlinkSync(tree, join(tree, "loop"));
		const { files, command, exitCode } = await diagnose(tree);
		assert.deepEqual(
			files.map(({ path }) => path),
			[join(tree, "bin", "legacy")],
		);
		assert.deepEqual([command, exitCode], [`vsyscall scan '${tree}'`, isServed() ? 0 : 1]);
	});
});
