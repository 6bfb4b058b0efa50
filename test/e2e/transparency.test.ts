/** What a program inherits, prints and returns is what it would be without us. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has, lacks } from "../helpers/requirements.ts";
import { CLI, type Finished, type RunSettings, runUnder, runCommand } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const SHIFTED = "@2038-01-19T03:14:07Z";
const PREFIX = [process.execPath, CLI, "run", "--clock", SHIFTED, "--"];

const CAP_SYS_ADMIN = 1n << 21n;

/**
 * The one thing that differs: calls to the vsyscall page are stopped by a seccomp filter (docs/limits.md), for which a program without
 * CAP_SYS_ADMIN has to set no_new_privs.
 */
const underFilter = (facts: string): string => {
	const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(facts)?.[1];
	if (effective === undefined) return facts;
	const filtered = facts.replace("Seccomp:\t0\n", "Seccomp:\t2\n");
	if ((BigInt(`0x${effective}`) & CAP_SYS_ADMIN) !== 0n) return filtered;
	return filtered.replace("NoNewPrivs:\t0\n", "NoNewPrivs:\t1\n");
};

/**
 * Runs a bash script twice, in which "$@" starts the program, natively and under a clock, and asserts the same outcome.
 *
 * The script must not `exec` where bash is to be the program's, or Node's, parent.
 */
const assertSame = async (
	script: string,
	program: readonly string[],
	settings: RunSettings = {},
): Promise<Finished> => {
	const expected = await runCommand(["bash", "-c", script, "bash", ...program], settings);
	const shown = await runCommand(["bash", "-c", script, "bash", ...PREFIX, ...program], settings);
	assert.deepEqual(shown, { ...expected, stdout: underFilter(expected.stdout) });
	return shown;
};

suite("the end of a program is the end of the run", () => {
	for (const code of [0, 1, 2, 63, 64, 77, 124, 125, 126, 127, 128, 129, 130, 137, 143, 200, 254, 255]) {
		test(`exit status ${code}`, TIMEOUT, async () => {
			const finished = await runUnder(SHIFTED, ["bash", "-c", `exit ${code}`]);
			assert.deepEqual(finished, { stdout: "", stderr: "", exitCode: code, signal: null });
		});
	}

	for (const signal of [
		"SIGTERM",
		"SIGSEGV",
		"SIGKILL",
		"SIGABRT",
		"SIGINT",
		"SIGHUP",
		"SIGPIPE",
		"SIGUSR1",
		"SIGALRM",
	]) {
		test(`death by ${signal}`, TIMEOUT, async () => {
			const command = ["bash", "-c", `ulimit -c 0; kill -${signal.slice(3)} $$; sleep 10`];
			const finished = await runUnder(SHIFTED, command);
			assert.deepEqual(finished, { stdout: "", stderr: "", exitCode: null, signal });
			// A shell sees 128 + n in both cases.
			await assertSame('exec 2>/dev/null; "$@"; echo $?', command);
		});
	}

	test("death by a real-time signal", TIMEOUT, async () => {
		await assertSame('exec 2>/dev/null; "$@"; echo $?', ["bash", "-c", "kill -RTMIN+3 $$; sleep 10"]);
	});

	test("a core file is written, and is the program's", TIMEOUT, async (t) => {
		if (!has(t, "bash", "prlimit")) return;
		const pattern = readFileSync("/proc/sys/kernel/core_pattern", "latin1").trim();
		if (!/^[\w.%-]+$/.test(pattern)) {
			lacks(t, `core files go elsewhere: ${pattern}`);
			return;
		}
		const cwd = mkdtempSync(join(tmpdir(), "vsyscall-core-"));
		try {
			const command = ["prlimit", "--core=unlimited", "bash", "-c", "kill -SEGV $$; sleep 10"];
			const finished = await runUnder(SHIFTED, command, { cwd });
			assert.equal(finished.signal, "SIGSEGV");
			const [core, ...others] = readdirSync(cwd);
			assert.deepEqual(others, [], "one core file: the supervisor writes none of its own");
			const bytes = readFileSync(join(cwd, core ?? ""));
			assert.equal(bytes.toString("latin1", 1, 4), "ELF");
			assert.ok(bytes.includes("kill -SEGV $$"), "the command line of the program");
		} finally {
			rmSync(cwd, { recursive: true, force: true });
		}
	});
});

suite("input and output", () => {
	test("pipes", TIMEOUT, async () => {
		const finished = await runUnder(SHIFTED, ["sh", "-c", "tr a-z A-Z; echo error >&2"], { input: "hello\nworld" });
		assert.deepEqual(finished, { stdout: "HELLO\nWORLD", stderr: "error\n", exitCode: 0, signal: null });
	});

	test("64 MB through the program in both directions at once", TIMEOUT, async () => {
		const bytes = 64 * 1024 * 1024;
		const program = ["bash", "-c", "tr '\\0' 'x' | cat"];
		const script = `set -o pipefail; head -c ${bytes} /dev/zero | "$@" | sha256sum; echo "\${PIPESTATUS[*]}"`;
		const finished = await assertSame(script, program);
		const expected = createHash("sha256").update("x".repeat(bytes)).digest("hex");
		assert.equal(finished.stdout, `${expected}  -\n0 0 0\n`);
	});

	test("binary input arrives whole", TIMEOUT, async () => {
		const text = randomBytes(1_000_000).toString("base64");
		const finished = await runUnder(SHIFTED, ["cat"], { input: text });
		assert.ok(finished.stdout === text);
	});

	test("a reader that goes away ends the program by SIGPIPE", TIMEOUT, async () => {
		await assertSame('"$@" | head -n 3; echo "${PIPESTATUS[*]}"', ["yes"]);
	});

	test("O_NONBLOCK is not set on what the program shares with others", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		await assertSame('echo x | "$@" 2>&1 | cat', [build("glibc", "process-facts.c"), "--fds-only"]);
	});

	// Node puts /dev/null in the place of a closed standard descriptor before any code of ours runs: a limit, told in the docs.
	const closed: readonly (readonly [name: string, redirection: string])[] = [
		["stdin closed", "<&-"],
		["stdout closed", ">&-"],
		["stderr closed", "2>&-"],
		["stdin and stdout closed", "<&- >&-"],
		["all three closed", "<&- >&- 2>&-"],
	];
	for (const [name, redirection] of closed) {
		test(`${name}: /dev/null stands there, and nothing of ours`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const directory = mkdtempSync(join(tmpdir(), "vsyscall-closed-"));
			const out = join(directory, "out");
			const program = [build("glibc", "process-facts.c"), "--fds-only", out];
			const opened = redirection.replaceAll(
				/([12]?)([<>])&-/g,
				(_, fd: string, sign) => `${fd === "" ? (sign === "<" ? "0" : "1") : fd}<>/dev/null`,
			);
			const facts = async (redirections: string, prefix: readonly string[]): Promise<string> => {
				await runCommand(["bash", "-c", `"$@" ${redirections}`, "bash", ...prefix, ...program]);
				return readFileSync(out, "latin1");
			};
			const expected = await facts(opened, []);
			assert.equal(await facts(redirection, PREFIX), expected);
			rmSync(directory, { recursive: true });
		});

		test(`${name}: the exit status is right`, TIMEOUT, async () => {
			await assertSame(`"$@" ${redirection}; echo "status $?"`, ["sh", "-c", "read line; echo $? >/dev/null; exit 3"]);
		});
	}
});

suite("what a program inherits is what it inherits natively", () => {
	type Case = readonly [name: string, script: string, args?: readonly string[]];
	const cases: readonly Case[] = [
		["everything of an ordinary start", '"$@"; :'],
		[
			"arguments that look like options",
			'"$@"; :',
			["-", "--", "--clock", "x", "-h", "--help", "--version", "-c", "=", "a b"],
		],
		["empty arguments", '"$@"; :', ["", "", "x", ""]],
		["arguments that are no UTF-8", `"$@" $'\\xff\\xfe' $'\\x80' $'caf\\xe9' $'\\xed\\xa0\\x80' $'\\n'; :`],
		["arguments in UTF-8", '"$@"; :', ["ä€😀", "e\u0301"]],
		["2,000 arguments", '"$@" {1..2000}; :'],
		["an argument of 100,000 bytes", `"$@" "$(head -c 100000 /dev/zero | tr '\\0' y)"; :`],
		["environment that is no UTF-8", `env -i $'A=\\xff' $'B\\xfe=\\x80' "$@"; :`],
		["an empty environment", 'env -i "$@"; :'],
		["odd environment words", `env -i EMPTY= '=x' NOEQUALS= 'A=b=c' $'N=\\n' A=first "$@"; :`],
		["Node's own variables", 'NODE_OPTIONS=--no-warnings NODE_NO_WARNINGS=1 UV_THREADPOOL_SIZE=2 "$@"; :'],
		["a working directory", 'cd /usr/lib; "$@"; :'],
		["a umask", 'umask 0123; "$@"; :'],
		["a nice value", 'nice -n 7 "$@"; :'],
		["a soft limit of open files", 'ulimit -Sn 333; "$@"; :'],
		["a hard limit of open files", 'ulimit -Hn 4000; ulimit -Sn 777; "$@"; :'],
		["equal limits of open files", 'ulimit -n 500; "$@"; :'],
		["limits of stack, core and processor time", 'ulimit -Ss 4096; ulimit -c 77; ulimit -t 1000; "$@"; :'],
		["a processor affinity", 'taskset -c 0 "$@"; :'],
		["scheduling as a batch", 'chrt -b 0 "$@"; :'],
		["no new privileges", 'setpriv --no-new-privs "$@"; :'],
		["fewer capabilities", 'setpriv --bounding-set=-sys_admin --inh-caps=-all "$@"; :'],
		["a descriptor", '"$@" 3</etc/passwd; :'],
		["descriptors far up", '"$@" 9>/dev/null 77</etc/passwd 255</dev/zero; :'],
		["a descriptor in both directions", '"$@" 5<>/dev/null; :'],
		["a position in a file", 'exec 4</etc/passwd; read -r -n 7 -u 4 x; "$@"; :'],
		["a process substitution", '"$@" <(echo inside); :'],
		["an inherited pipe", 'echo x | "$@" 8<&0; :'],
		["a descriptor over a memory file", '"$@" 6<<<"here"; :'],
	];
	for (const [name, script, args = []] of cases) {
		test(name, TIMEOUT, async (t) => {
			if (!has(t, "gcc", "bash")) return;
			// env is told to leave the variable in which bash notes the command that it starts: it differs by design.
			const program = [build("glibc", "process-facts.c"), ...args];
			const words = `facts() { "$@"; }; set -- env -u _ "$@"; ${script}`;
			const finished = await assertSame(script.includes("env -i") ? script : words, program);
			assert.match(finished.stdout, /^SigBlk:/m);
		});
	}

	test("inherited descriptors can be used", TIMEOUT, async () => {
		const script = 'exec 3</etc/passwd 4<<<"four"; "$@" <(echo five) 5>&1';
		const program = ["bash", "-c", 'head -c 4 <&3; cat <&4; cat "$1"; echo six >&5', "bash"];
		// The process substitution stands behind the program's words in both cases.
		const finished = await assertSame(
			script.replace('"$@" <(echo five)', 'f() { "$@"; }; f "$@" <(echo five)'),
			program,
		);
		assert.equal(finished.stdout, "rootfour\nfive\nsix\n");
	});

	test("both ends of an inherited pipe", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "bash")) return;
		const script = 'coproc cat; exec 7<&"${COPROC[0]}" 8>&"${COPROC[1]}"; "$@"; kill $COPROC_PID; wait';
		await assertSame(script, [build("glibc", "process-facts.c"), "--fds-only"]);
		const fifo = join(mkdtempSync(join(tmpdir(), "vsyscall-pipe-")), "fifo");
		await assertSame(`rm -f ${fifo}; mkfifo ${fifo}; "$@" 7<>${fifo}; rm ${fifo}`, [
			build("glibc", "process-facts.c"),
			"--fds-only",
		]);
		assert.ok(!existsSync(fifo));
		rmSync(join(fifo, ".."), { recursive: true });
	});

	test("a child of the program inherits the same", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "bash")) return;
		await assertSame('"$@"; :', ["env", "-u", "_", "sh", "-c", `env -u _ ${build("glibc", "process-facts.c")}; :`]);
	});

	test("signals that the program's own parent ignores or blocks", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "bash")) return;
		// Inside: what a program does for its children passes through us untouched.
		const program = ["bash", "-c", `trap '' HUP USR1 CHLD TRAP; env -u _ ${build("glibc", "process-facts.c")}; :`];
		const finished = await assertSame('"$@"; :', program);
		assert.match(finished.stdout, /^SigIgn:\t0*10211$/m);
	});
});
