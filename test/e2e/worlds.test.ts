/** Other roots, namespaces, users, limits and personalities: the clock is the same in each of them. */
import assert from "node:assert/strict";
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { SYS_pidfd_getfd } from "../../src/linux/constants.ts";
import { build } from "../helpers/fixtures.ts";
import { findTool, has, isRoot, lacks } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	type Finished,
	native,
	runCommand,
	type RunSettings,
	runUnder,
	startCommand,
	vsyscall,
} from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const SHIFTED = "@2038-01-19T03:14:07Z";
const NOBODY = 65534;
const AS_NOBODY: RunSettings = { uid: NOBODY, gid: NOBODY, cwd: "/" };
const DATE = ["date", "-u", "+%Y"];
const RIGHT: Finished = { stdout: "2038\n", stderr: "", exitCode: 0, signal: null };

const directory = mkdtempSync(join(tmpdir(), "vsyscall-worlds-"));
chmodSync(directory, 0o755);
after(() => rmSync(directory, { recursive: true, force: true }));

/** A root with nothing but a static busybox. */
const emptyRoot = (): string => {
	const root = join(directory, "root");
	if (existsSync(root)) return root;
	mkdirSync(root);
	copyFileSync(findTool("busybox") ?? "", join(root, "busybox"));
	return root;
};

/** A program of another owner, with the mode bits that execve honours. */
const setIdProgram = (name: string, mode: number, uid: number, gid: number): string => {
	const path = join(directory, name);
	copyFileSync(build("glibc", "privileges.c"), path);
	chownSync(path, uid, gid);
	chmodSync(path, mode);
	return path;
};

suite("a program shows its clock", () => {
	interface World {
		readonly name: string;
		readonly needs?: readonly string[];
		/** Words in front of the program. */
		readonly enter: () => readonly string[];
		readonly program?: readonly string[];
		readonly settings?: RunSettings;
	}
	const worlds: readonly World[] = [
		{
			name: "in a chroot without /proc",
			needs: ["busybox"],
			enter: () => ["chroot", emptyRoot()],
			program: ["/busybox", ...DATE],
		},
		{
			name: "in a chroot, as another user",
			needs: ["busybox"],
			enter: () => ["chroot", `--userspec=${NOBODY}:${NOBODY}`, emptyRoot()],
			program: ["/busybox", ...DATE],
		},
		{
			name: "in a shell in a chroot that starts others",
			needs: ["busybox"],
			enter: () => ["chroot", emptyRoot()],
			program: ["/busybox", "sh", "-c", "/busybox true; (/busybox true); /busybox date -u +%Y | /busybox cat"],
		},
		{ name: "in a pid namespace with its own /proc", enter: () => ["unshare", "-p", "-f", "--mount-proc"] },
		{ name: "in a pid namespace with the host's /proc", enter: () => ["unshare", "-p", "-f"] },
		{
			name: "in a mount namespace without /proc",
			enter: () => ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
		},
		{ name: "in a user namespace", enter: () => ["unshare", "-U", "-r"] },
		{ name: "in a user namespace without a mapping", enter: () => ["unshare", "-U"] },
		{
			name: "in all namespaces at once",
			enter: () => ["unshare", "-U", "-r", "-p", "-f", "-m", "-u", "-i", "-n", "-C", "--mount-proc"],
		},
		{
			name: "in namespaces inside of namespaces",
			enter: () => [
				"unshare",
				"-U",
				"-r",
				"-p",
				"-f",
				"--mount-proc",
				"unshare",
				"-U",
				"-r",
				"-p",
				"-f",
				"--mount-proc",
			],
		},
		{ name: "in a time namespace", enter: () => ["unshare", "-T", "--monotonic", "1000", "--boottime", "1000"] },
		{ name: "in a network and ipc namespace", enter: () => ["unshare", "-n", "-i"] },
		{ name: "as another user", enter: () => ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] },
		{ name: "without capabilities", enter: () => ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] },
		{ name: "with no new privileges", enter: () => ["setpriv", "--no-new-privs"] },
		{ name: "without address randomness", enter: () => ["setarch", "-R"] },
		{ name: "with the legacy memory layout", enter: () => ["setarch", "-L"] },
		{ name: "with READ_IMPLIES_EXEC", enter: () => ["setarch", "-X"] },
		{ name: "with an unlimited stack", enter: () => ["bash", "-c", 'ulimit -s unlimited; exec "$@"', "bash"] },
		{
			name: "with a stack of 64 KB",
			enter: () => ["bash", "-c", 'ulimit -s 64; exec "$@"', "bash"],
			program: ["/bin/busybox", ...DATE],
		},
		{ name: "without a single file of its own", enter: () => ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash"] },
		{ name: "without locked memory", enter: () => ["bash", "-c", 'ulimit -l 0; exec "$@"', "bash"] },
		{ name: "in an empty environment", enter: () => ["env", "-i"] },
		{ name: "with one processor", enter: () => ["taskset", "-c", "0"] },
		{ name: "at the lowest priority", enter: () => ["chrt", "-i", "0"] },
		{
			name: "under the loader itself",
			enter: () => ["/lib64/ld-linux-x86-64.so.2"],
			program: ["/bin/date", "-u", "+%Y"],
		},
		{ name: "in a session of its own", enter: () => ["setsid", "-w"] },
	];
	const withTools = worlds.map((world) => ({ needs: [], program: DATE, settings: {}, ...world }));
	for (const { name, needs, enter, program, settings } of withTools) {
		test(name, TIMEOUT, async (t) => {
			if (!isRoot(t) || !has(t, ...needs)) return;
			const command = [...enter(), ...program];
			const expected = await native(command, settings);
			// What the host itself refuses cannot be shown.
			if (expected.exitCode !== 0) {
				lacks(t, `the host refuses it: ${expected.stderr.trim()}`);
				return;
			}
			assert.deepEqual(await runUnder(SHIFTED, command, settings), { ...RIGHT, stderr: expected.stderr });
		});
	}
});

suite("the whole command line", () => {
	test("as an ordinary user", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		assert.deepEqual(await runUnder(SHIFTED, DATE, AS_NOBODY), RIGHT);
		const script = '(exit 3); echo $?; "$@" | cat; exit 7';
		const finished = await runUnder(SHIFTED, ["bash", "-c", script, "bash", ...DATE], AS_NOBODY);
		assert.deepEqual(finished, { ...RIGHT, stdout: "3\n2038\n", exitCode: 7 });
	});

	test("under a soft limit of file sizes, which is the program's", TIMEOUT, async (t) => {
		if (!has(t, "bash")) return;
		const run = [process.execPath, CLI, "run", "--clock", SHIFTED, "--"];
		for (const limit of [0, 5]) {
			const script = `ulimit -Sf ${limit} && "$@" bash -c 'ulimit -Sf; ulimit -Hf; date -u +%Y' | cat`;
			const expected = await native(["bash", "-c", script, "bash"]);
			const shown = await runCommand(["bash", "-c", script, "bash", ...run]);
			assert.deepEqual(shown, { ...expected, stdout: expected.stdout.replace(/\d{4}\n$/, "2038\n") });
		}
	});

	test("under a hard limit of file sizes an ordinary user gets one line", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "bash")) return;
		const run = [process.execPath, CLI, "run", "--clock", SHIFTED, "--", ...DATE];
		const { stderr, exitCode } = await runCommand(
			["bash", "-c", 'ulimit -f 0; "$@" | cat; exit $PIPESTATUS', "bash", ...run],
			AS_NOBODY,
		);
		assert.match(stderr, /^vsyscall: .*EFBIG[^\n]*\n$/);
		assert.equal(exitCode, 125);
	});

	test("as an ordinary user, whose program makes namespaces", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const command = ["unshare", "-U", "-r", "-p", "-f", "--mount-proc", ...DATE];
		if ((await native(command, AS_NOBODY)).exitCode !== 0) {
			lacks(t, "no user namespaces for users");
			return;
		}
		assert.deepEqual(await runUnder(SHIFTED, command, AS_NOBODY), RIGHT);
	});

	test("as root of a user namespace", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const cli = [process.execPath, CLI, "run", "--clock", SHIFTED, "--"];
		for (const enter of [
			["unshare", "-U", "-r"],
			["unshare", "-U", "-r", "-p", "-f", "--mount-proc"],
		]) {
			const [file = "", ...args] = [...enter, ...cli, ...DATE];
			const started = startCommand(file, args, AS_NOBODY);
			assert.deepEqual(await started.finished, RIGHT);
			await assertNothingLeft(started.mark);
		}
	});

	test("in a time namespace, and out of one", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		const cli = [process.execPath, CLI, "run", "--clock", SHIFTED, "--"];
		const enter = ["-T", "--monotonic", "1000", "--boottime", "1000"];
		const show = "date -u +%Y; exec cut -d. -f1 /proc/uptime";
		const started = startCommand("unshare", [...enter, ...cli, "sh", "-c", show]);
		const finished = await started.finished;
		await assertNothingLeft(started.mark);
		assert.match(finished.stdout, /^2038\n\d+\n$/);
		assert.deepEqual([finished.stderr, finished.exitCode], ["", 0]);
	});

	test("where memory files must not be executable (vm.memfd_noexec=2)", TIMEOUT, async (t) => {
		if (!isRoot(t)) return;
		if (!existsSync("/proc/sys/vm/memfd_noexec")) {
			lacks(t, "no vm.memfd_noexec (Linux 6.3)");
			return;
		}
		const forbid = 'echo 2 >/proc/sys/vm/memfd_noexec; "$@"';
		// The setting belongs to a pid namespace, so this one ends with it. Outside of the supervisor, then inside.
		const cli = [process.execPath, CLI, "run", "--clock", SHIFTED, "--"];
		const enter = ["-p", "-f", "--mount-proc", "sh", "-c", forbid, "sh"];
		const started = startCommand("unshare", [...enter, ...cli, ...DATE]);
		assert.deepEqual(await started.finished, RIGHT);
		await assertNothingLeft(started.mark);
		assert.deepEqual(await runUnder(SHIFTED, ["unshare", ...enter, ...DATE]), RIGHT);
	});

	test("behind PR_SET_MDWE", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const deny = build("glibc", "deny-exec-gain.c");
		const finished = await runUnder(SHIFTED, [deny, ...DATE]);
		if (finished.exitCode === 77) {
			lacks(t, "no PR_SET_MDWE (Linux 6.3)");
			return;
		}
		assert.deepEqual(finished, RIGHT);
	});
});

/** `vsyscall WORDS` where pidfd_getfd is refused. */
const denied = (...words: readonly string[]): readonly string[] => [
	build("glibc-static", "deny-call.c"),
	String(SYS_pidfd_getfd),
	process.execPath,
	CLI,
	...words,
];

suite("where no descriptor can be taken from another process (pidfd_getfd)", () => {
	test("a process that can open no path has a copy of the files", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "busybox")) return;
		if (!isRoot(t)) return;
		const command = denied("run", "--clock", SHIFTED, "--", "chroot", emptyRoot(), "/busybox", ...DATE);
		assert.deepEqual(await runCommand(command), RIGHT);
	});

	test("a copy of the page follows the clock, too", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "busybox")) return;
		if (!isRoot(t)) return;
		const script = "/busybox date -s 2031-06-01 >/busybox.out 2>&1; /busybox date -u +%Y";
		const root = emptyRoot();
		const command = denied("run", "--clock", SHIFTED, "--", "chroot", root, "/busybox", "sh", "-c", script);
		assert.deepEqual(await runCommand(command), { ...RIGHT, stdout: "2031\n" });
	});

	test("a named clock cannot be shared with it, so it is refused", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "busybox")) return;
		if (!isRoot(t)) return;
		const settings: RunSettings = { env: { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") } };
		await vsyscall(["clock", "create", "shop", SHIFTED], settings);
		const command = denied("run", "--clock", "shop", "--", "chroot", emptyRoot(), "/busybox", ...DATE);
		const run = await runCommand(command, settings);
		assert.equal(run.exitCode, 125);
		assert.match(run.stderr, /the page of its clock can neither be opened nor passed to it .*; it was not started/);
	});
});

suite("programs with privileges of their own", () => {
	test("a setuid program keeps them under root", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "gcc")) return;
		const program = setIdProgram("setuid-root", 0o4755, 1234, 0);
		const finished = await runUnder(SHIFTED, [program]);
		assert.deepEqual(finished, { ...RIGHT, stdout: "uid 0 euid 1234 gid 0 egid 0 year 2038\n" });
	});

	test("a setgid program keeps them under root", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "gcc")) return;
		const program = setIdProgram("setgid-root", 0o2755, 0, 1234);
		const finished = await runUnder(SHIFTED, [program]);
		assert.deepEqual(finished, { ...RIGHT, stdout: "uid 0 euid 0 gid 0 egid 1234 year 2038\n" });
	});

	test("a setuid root program that an ordinary user starts keeps them under root", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "gcc")) return;
		const program = setIdProgram("setuid-user", 0o4755, 0, 0);
		const command = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", program];
		const expected = `uid ${NOBODY} euid 0 gid ${NOBODY} egid ${NOBODY} year 2038\n`;
		assert.deepEqual(await runUnder(SHIFTED, command), { ...RIGHT, stdout: expected });
	});

	test("su changes the user", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "su")) return;
		const command = ["su", "-s", "/bin/sh", "nobody", "-c", "id -u; date -u +%Y"];
		assert.deepEqual(await runUnder(SHIFTED, command, { cwd: "/" }), { ...RIGHT, stdout: `${NOBODY}\n2038\n` });
	});

	for (const [kind, mode] of [
		["setuid", 0o4755],
		["setgid", 0o2755],
	] as const) {
		test(`a ${kind} program runs without them under an ordinary user, and one line says so`, TIMEOUT, async (t) => {
			if (!isRoot(t) || !has(t, "gcc")) return;
			const program = setIdProgram(`${kind}-dropped`, mode, 0, 0);
			const finished = await runUnder(SHIFTED, [program], AS_NOBODY);
			assert.match(finished.stderr, /^vsyscall: [^\n]+\n$/);
			assert.ok(finished.stderr.includes(program) && finished.stderr.includes(kind), finished.stderr);
			const ids = `uid ${NOBODY} euid ${NOBODY} gid ${NOBODY} egid ${NOBODY}`;
			assert.deepEqual([finished.stdout, finished.exitCode], [`${ids} year 2038\n`, 0]);
		});
	}

	test("a setuid program of the user's own loses nothing, and nothing is said", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "gcc")) return;
		const program = setIdProgram("setuid-own", 0o4755, NOBODY, NOBODY);
		const finished = await vsyscall(["run", "--clock", SHIFTED, "--", program], AS_NOBODY);
		assert.deepEqual([finished.stderr, finished.exitCode], ["", 0]);
	});

	test("a program that only root may read does, as a child, what the choice says", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "gcc")) return;
		const program = setIdProgram("execute-only", 0o711, 0, 0);
		const run = (...flags: readonly string[]): Promise<Finished> =>
			vsyscall(
				["run", "--clock", SHIFTED, ...flags, "--", "sh", "-c", '"$0"; echo $?; date -u +%Y', program],
				AS_NOBODY,
			);
		const refused = await run();
		// Its memory is out of our reach, so it is killed, and the shell says so.
		assert.match(refused.stderr, /^vsyscall: execute-only [^\n]+not started[^\n]+\n(Killed\n)?$/);
		assert.match(refused.stdout, /^(125|137)\n2038\n$/);
		const warned = await run("--on-failure=warn");
		assert.match(warned.stderr, /^vsyscall: [^\n]+real time\n$/);
		assert.match(warned.stdout, new RegExp(`^uid ${NOBODY} .* year ${new Date().getUTCFullYear()}\n0\n2038\n$`));
	});
});
