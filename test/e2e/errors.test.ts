/** Everything that can be wrong before a program runs: one line that says it, and the exit status of its kind. */
import assert from "node:assert/strict";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { SYS_ptrace, SYS_seccomp } from "../../src/linux/constants.ts";
import { build } from "../helpers/fixtures.ts";
import { findTool, has, isRoot } from "../helpers/requirements.ts";
import { CLI, type Finished, runCommand, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const NOBODY = 65534;
const SHIFTED = "@2038-01-19T03:14:07Z";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-errors-"));
chmodSync(directory, 0o755);
after(() => rmSync(directory, { recursive: true, force: true }));

const cli = (...args: readonly string[]): readonly string[] => [process.execPath, CLI, ...args];

/** Asserts one line of ours on stderr, nothing on stdout, and the exit status. */
const assertOneLine = (finished: Finished, exitCode: number, ...parts: readonly (string | RegExp)[]): void => {
	assert.match(finished.stderr, /^vsyscall: [^\n]+\n$/);
	for (const part of parts) {
		if (typeof part === "string") assert.ok(finished.stderr.includes(part), `no ${part} in: ${finished.stderr}`);
		else assert.match(finished.stderr, part);
	}
	assert.deepEqual([finished.exitCode, finished.signal, finished.stdout], [exitCode, null, ""]);
};

const file = (name: string, content: string | Uint8Array, mode = 0o755): string => {
	const path = join(directory, name);
	writeFileSync(path, content);
	chmodSync(path, mode);
	return path;
};

suite("a command line that is wrong ends with 125 and one line", () => {
	type Case = readonly [name: string, args: readonly string[], parts: readonly (string | RegExp)[]];
	const cases: readonly Case[] = [
		["no program at all", ["run"], ["program"]],
		["nothing behind --", ["run", "--"], ["program"]],
		["an unknown option", ["run", "--nope", "--", "true"], ["--nope"]],
		["an unknown command", ["runn", "--", "true"], ["runn"]],
		["an unknown choice", ["run", "--on-failure", "maybe", "--", "true"], ["maybe", "refuse", "warn"]],
		["an unknown way to read clocks", ["run", "--reads", "fast", "--", "true"], ["fast", "exact", "relaxed", "coarse"]],
		["an option without its value", ["run", "--clock"], ["--clock"]],
		[
			"a clock of no known form",
			["run", "--clock", "yesterdya", "--", "true"],
			["neither a clock spec", "for example", "nor the name"],
		],
		["a clock that goes wrong later", ["run", "--clock", "+10y5q", "--", "true"], [/position [2-6]\b/, "for example"]],
		["a clock with a date that is none", ["run", "--clock", "@2038-02-30", "--", "true"], ["position", "for example"]],
		["an empty clock", ["run", "--clock", "", "--", "true"], ["position 1", "for example"]],
		["a clock of two lines", ["run", "--clock", "+1d\n+1d", "--", "true"], ["position", "for example"]],
	];
	for (const [name, args, parts] of cases) {
		test(name, TIMEOUT, async () => assertOneLine(await vsyscall(args), 125, ...parts));
	}

	test("a wrong clock is found before the program is looked for", TIMEOUT, async () => {
		assertOneLine(await vsyscall(["run", "--clock", "?", "--", "/nosuch"]), 125, "position 1");
	});
});

suite("a program that is not there ends with 127 and one line", () => {
	test("a name that is not in PATH", TIMEOUT, async () => {
		assertOneLine(await vsyscall(["run", "--", "no-such-program"]), 127, "no-such-program", "PATH");
	});

	test("an absolute path", TIMEOUT, async () => {
		assertOneLine(await vsyscall(["run", "--", "/nosuch/program"]), 127, "/nosuch/program");
	});

	test("an empty name", TIMEOUT, async () => {
		assertOneLine(await vsyscall(["run", "--", ""]), 127, "empty");
	});

	test("a path through a file", TIMEOUT, async () => {
		const path = join(file("plain-file", "x"), "program");
		const finished = await vsyscall(["run", "--", path]);
		assertOneLine(finished, 126, path);
	});

	test("a script whose interpreter is missing", TIMEOUT, async () => {
		const path = file("lost-script", "#!/nosuch/interpreter -x\necho hello\n");
		assertOneLine(await vsyscall(["run", "--", path]), 127, path, "/nosuch/interpreter");
	});

	test("an ELF file whose loader is missing", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const path = build("glibc", "exit-seven.c", ["-Wl,--dynamic-linker=/nosuch/ld.so"]);
		assertOneLine(await vsyscall(["run", "--", path]), 127, path, "loader");
	});
});

suite("a file that cannot be executed ends with 126 and one line", () => {
	test("without the right to execute, as an ordinary user", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const path = file("not-executable", readFileSync("/bin/true"), 0o644);
		const settings = { uid: NOBODY, gid: NOBODY, cwd: "/" };
		assertOneLine(await vsyscall(["run", "--", path], settings), 126, path, "chmod +x");
	});

	test("without the right to execute, found in PATH", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		file("only-here", readFileSync("/bin/true"), 0o644);
		const settings = { uid: NOBODY, gid: NOBODY, cwd: "/", env: { PATH: `${directory}:/usr/bin:/bin` } };
		assertOneLine(await vsyscall(["run", "--", "only-here"], settings), 126, join(directory, "only-here"));
	});

	test("without the right to execute, as root", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		assertOneLine(await vsyscall(["run", "--", file("root-file", "x", 0o644)]), 126, "chmod +x");
	});

	test("a directory", TIMEOUT, async () => {
		assertOneLine(await vsyscall(["run", "--", directory]), 126, directory, "directory");
	});

	test("a script without #!", TIMEOUT, async () => {
		const path = file("no-interpreter", "echo hello\n");
		assertOneLine(await vsyscall(["run", "--", path]), 126, path, "#!");
	});

	test("an empty file", TIMEOUT, async () => {
		const path = file("empty", "");
		assertOneLine(await vsyscall(["run", "--", path]), 126, path, "empty");
	});

	test("an ELF file that ends in its program headers", TIMEOUT, async () => {
		const path = file("truncated", readFileSync("/bin/true").subarray(0, 100));
		assertOneLine(await vsyscall(["run", "--", path]), 126, path, "damaged");
	});

	test("an x32 program", TIMEOUT, async () => {
		// Elf32_Ehdr for EM_X86_64 with one program header of 32 bytes, which a kernel with x32 finds to be empty.
		const bytes = new Uint8Array(84);
		bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
		bytes.set([2, 0, 62, 0, 1, 0, 0, 0], 16);
		bytes[28] = 52;
		bytes.set([52, 0, 32, 0, 1, 0], 40);
		assertOneLine(await vsyscall(["run", "--", file("x32", bytes)]), 126, "x32 program");
	});

	test("a program for arm64", TIMEOUT, async () => {
		const bytes = Uint8Array.from(readFileSync("/bin/true"));
		bytes.set([183, 0], 18);
		const path = file("arm64", bytes);
		assertOneLine(await vsyscall(["run", "--", path]), 126, path, "arm64", "x86-64");
	});
});

const under = (limit: number, command: readonly string[]): Promise<Finished> =>
	runCommand(["prlimit", `--nofile=${limit}:${limit}`, ...command]);

suite("a host that forbids or lacks something ends with 125 and one line", () => {
	test("a seccomp filter that refuses ptrace", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = [build("glibc-static", "deny-call.c"), String(SYS_ptrace), ...cli("run", "--", "true")];
		assertOneLine(await runCommand(command), 125, "ptrace", "seccomp");
	});

	test("a seccomp filter that refuses seccomp, where a clock was asked for", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const deny = [build("glibc-static", "deny-call.c"), String(SYS_seccomp)];
		assertOneLine(await runCommand([...deny, ...cli("run", "--clock", "+1d", "--", "true")]), 125, "seccomp", "EPERM");
		const unasked = await runCommand([...deny, ...cli("run", "--", "sh", "-c", "exit 7")]);
		assert.deepEqual([unasked.exitCode, unasked.stderr], [7, ""], "nothing is lost without one");
		const { exitCode, stderr } = await runCommand([...deny, ...cli("run", "--verbose", "--", "true")]);
		assert.equal(exitCode, 0);
		assert.match(stderr, /seccomp filter cannot be installed \(EPERM\)/);
	});

	test("a program that is traced already", TIMEOUT, async (t) => {
		if (!has(t, "strace")) return;
		const command = ["strace", "-f", "-o", "/dev/null", ...cli("run", "--", "true")];
		assertOneLine(await runCommand(command), 125, "traced already", "strace");
	});

	test("too few descriptors: a line or a run, never a failure in between", TIMEOUT, async (t) => {
		if (!has(t, "prlimit")) return;
		// The lowest limit under which Node can load a file as large as ours.
		let lowest = 8;
		const probe = file("probe.cjs", `${" ".repeat(200_000)}process.exitCode = 0;`);
		while ((await under(lowest, [process.execPath, probe])).exitCode !== 0) lowest++;
		const seen = new Set<number | null>();
		for (let limit = lowest; limit < lowest + 8; limit++) {
			const finished = await under(limit, cli("run", "--clock", SHIFTED, "--", "date", "-u", "+%Y"));
			seen.add(finished.exitCode);
			if (finished.exitCode === 0) assert.deepEqual([finished.stdout, finished.stderr], ["2038\n", ""]);
			else assertOneLine(finished, 125, "EMFILE");
		}
		assert.deepEqual([...seen], [125, 0], "first refusals, then runs");
	});

	test("too few descriptors in the program", TIMEOUT, async () => {
		// Every descriptor below the limit is in use when the program is executed.
		const script = `ulimit -n 10; for n in 3 4 5 6 7 8 9; do eval "exec $n</dev/null"; done; exec "$0" -u +%Y`;
		const finished = await vsyscall([
			"run",
			"--clock",
			SHIFTED,
			"--",
			"bash",
			"-c",
			script,
			findTool("busybox") ?? "date",
			"date",
		]);
		assertOneLine(finished, 125, "EMFILE");
	});

	test("no room for our mappings in the program's address space", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "bash")) return;
		const program = build("glibc-static", "exit-zero.S", ["-nostdlib"]);
		const script = `ulimit -v "$1"; exec "$0"`;
		const seen = new Set<number | null>();
		let isRunning = false;
		// In steps of a page: natively dead, then refused, then running.
		for (let limit = 120; limit <= 240; limit += 4) {
			const native = await runCommand(["bash", "-c", script, program, String(limit)]);
			if (native.exitCode !== 0) continue;
			const run = ["run", "--clock", SHIFTED, "--", "bash", "-c", script, program, String(limit)];
			const finished = await vsyscall(run);
			seen.add(finished.exitCode);
			if (finished.exitCode === 0) {
				assert.equal(finished.stderr, "");
				if (isRunning) break;
				isRunning = true;
			} else assertOneLine(finished, 125, program, "ulimit -v");
		}
		assert.deepEqual([...seen], [125, 0]);
	});
});

const without = (...command: readonly string[]): readonly string[] => [
	"unshare",
	"-m",
	"sh",
	"-c",
	'mount -t tmpfs none /proc && exec "$@"',
	"sh",
	...command,
];

suite("without /proc", () => {
	test("a program runs under its clock", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "unshare")) return;
		const finished = await runCommand(without(...cli("run", "--clock", SHIFTED, "--", "date", "-u", "+%Y")));
		assert.deepEqual(finished, { stdout: "2038\n", stderr: "", exitCode: 0, signal: null });
	});

	test("children, arguments, environment and exit status are right", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "unshare")) return;
		const script = `printf '<%s>' "$@" "$WORD"; date -u +%Y; (exit 3); exit $(($? + 1))`;
		const command = cli("run", "--clock", SHIFTED, "--", "bash", "-c", script, "bash", "a b", "", "--", "-c", "ä");
		const finished = await runCommand(without(...command), { env: { WORD: "w ö" } });
		const stdout = "<a b><><--><-c><ä><w ö>2038\n";
		assert.deepEqual(finished, { stdout, stderr: "", exitCode: 4, signal: null });
	});

	test("errors are told as with it", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "unshare")) return;
		assertOneLine(await runCommand(without(...cli("run", "--", "/nosuch"))), 127, "/nosuch");
		assertOneLine(await runCommand(without(...cli("run", "--", "/tmp"))), 126, "directory");
	});

	test("an empty mount namespace without /dev and /sys either", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "unshare")) return;
		const script = 'mount -t tmpfs none /proc && mount -t tmpfs none /sys && mount -t tmpfs none /dev && exec "$@"';
		const command = [
			"unshare",
			"-m",
			"sh",
			"-c",
			script,
			"sh",
			...cli("run", "--clock", SHIFTED, "--", "date", "-u", "+%Y"),
		];
		const finished = await runCommand(command);
		assert.deepEqual(finished, { stdout: "2038\n", stderr: "", exitCode: 0, signal: null });
	});
});

test("a program that only its owner may read is covered or refused", TIMEOUT, async (t) => {
	if (!isRoot(t) || !has(t, "gcc")) return;
	const path = join(directory, "execute-only");
	copyFileSync(build("glibc-static", "exit-seven.c"), path);
	chmodSync(path, 0o711);
	assert.equal((await vsyscall(["run", "--clock", SHIFTED, "--", path])).exitCode, 7, "as root");
	const settings = { uid: NOBODY, gid: NOBODY, cwd: "/" };
	const refused = await vsyscall(["run", "--clock", SHIFTED, "--", path], settings);
	assertOneLine(refused, 125, "not readable");
	const warned = await vsyscall(["run", "--clock", SHIFTED, "--on-failure=warn", "--", path], settings);
	assert.match(warned.stderr, /^vsyscall: [^\n]*real time\n$/);
	assert.deepEqual([warned.stdout, warned.exitCode], ["8\n", 7]);
});

test("a stderr that is closed or full does no harm", TIMEOUT, async () => {
	const closed = await runCommand(["bash", "-c", '"$@" 2>&-; echo $?', "bash", ...cli("run", "--", "/nosuch")]);
	assert.deepEqual([closed.stdout, closed.stderr], ["127\n", ""]);
	const full = await runCommand(["bash", "-c", '"$@" 2>/dev/full; echo $?', "bash", ...cli("run", "--", "/nosuch")]);
	assert.deepEqual([full.stdout, full.stderr], ["127\n", ""]);
});

test("the command line says what it is", TIMEOUT, async () => {
	const help = await vsyscall(["--help"]);
	assert.deepEqual([help.exitCode, help.stderr], [0, ""]);
	assert.match(help.stdout, /Usage: vsyscall/);
	const version = await vsyscall(["--version"]);
	assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
});
