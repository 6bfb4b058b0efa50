/** FAKETIME_FAKEPID: processes that have another id by their own account. The oracles are the kernel and the original. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { assertNothingLeft, CLI, native, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const HOME = { HOME: "/nonexistent" };
const PID = 4_000_042;
const CLOCK = ["-f", "@2037-06-01 00:00:00"] as const;

/** What a program says of itself under its real id, but for the id. */
const expected = async (program: string): Promise<string> => {
	const { stdout } = await native([program]);
	assert.doesNotMatch(stdout, / 0$/m);
	return stdout.replaceAll(/^pid \d+$/gm, `pid ${PID}`);
};

const toolchains: readonly Toolchain[] = [
	"glibc",
	"glibc-static",
	"musl",
	"musl-static",
	"glibc-32",
	"glibc-32-static",
];

suite("a process that names itself by what getpid says is meant", () => {
	for (const toolchain of toolchains) {
		test(`in every call of a program of ${toolchain}`, TIMEOUT, async (t) => {
			if (!has(t, "gcc", "musl-gcc")) return;
			const program = build(toolchain, "pretended-pid.c");
			const { stdout, exitCode } = await vsyscall(["faketime", "-p", String(PID), ...CLOCK, program], { env: HOME });
			assert.deepEqual([stdout, exitCode], [await expected(program), 0]);
		});
	}

	test("by abort", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "pretended-pid.c");
		const run = startVsyscall(["faketime", "-p", String(PID), ...CLOCK, program, "abort"], { env: HOME });
		assert.equal((await run.finished).signal, "SIGABRT");
		await assertNothingLeft(run.mark);
	});

	test("also as 1, of which -1 is no group", TIMEOUT, async () => {
		const script = `import os, signal
signal.signal(signal.SIGTERM, lambda *_: print("caught"))
print(os.getpid()); os.kill(1, signal.SIGTERM); print(os.getpgid(1) == os.getpgid(0))`;
		const { stdout } = await vsyscall(["faketime", "-p", "1", ...CLOCK, "python3", "-c", script], { env: HOME });
		assert.equal(stdout, "1\ncaught\nTrue\n");
	});

	test("by a shell, whose children and jobs have their ids", TIMEOUT, async () => {
		const script =
			'echo $$; trap "echo caught" TERM; kill -TERM $$; sleep 60 & kill %1; wait $!; echo $?; [ $! != $$ ] && echo other';
		const command = ["faketime", "-p", String(PID), ...CLOCK, "bash", "-c", script];
		assert.equal((await vsyscall(command, { env: HOME })).stdout, `${PID}\ncaught\n143\nother\n`);
	});

	test("in a pid namespace of its own", TIMEOUT, async (t) => {
		if (!has(t, "unshare") || !isRoot(t)) return;
		const script = 'trap "echo caught" TERM; kill -TERM $$; echo $$';
		const command = ["faketime", "-p", String(PID), ...CLOCK, "unshare", "-pf", "--mount-proc", "sh", "-c", script];
		assert.equal((await vsyscall(command, { env: HOME })).stdout, `caught\n${PID}\n`);
	});

	test("and is covered where the files of the run cannot be opened", TIMEOUT, async (t) => {
		if (!has(t, "setpriv") || !isRoot(t)) return;
		const command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "date +%Y; echo $$"];
		const { stdout, stderr } = await vsyscall(["faketime", "-p", String(PID), ...CLOCK, ...command], { env: HOME });
		assert.deepEqual([stdout, stderr], [`2037\n${PID}\n`, ""]);
	});

	test("in a run inside of it, which knows its own id, and has another pretence or none", TIMEOUT, async () => {
		const outer = ["faketime", "-p", String(PID), ...CLOCK, process.execPath, CLI];
		const script = "kill -0 $$ && date +%Y; echo $$; readlink /proc/$$/exe > /dev/null && echo real";
		const none = await vsyscall([...outer, "run", "--", "sh", "-c", script], { env: HOME });
		assert.match(none.stdout, /^2037\n\d+\nreal\n$/, none.stderr);
		const another = await vsyscall([...outer, "faketime", "-p", "77", "--", "sh", "-c", script], { env: HOME });
		assert.match(another.stdout, /^2037\n77\n/, another.stderr);
	});

	test("by many threads and processes at the same time", TIMEOUT, async () => {
		const script = `import os, signal, threading
caught = 0
def handler(*_):
    global caught
    caught += 1
signal.signal(signal.SIGUSR1, handler)
def work():
    for i in range(100): os.kill(os.getpid(), 0); signal.pthread_kill(threading.get_ident(), 0)
children = [os.fork() for i in range(2)]
threads = [threading.Thread(target=work) for i in range(4)]
for thread in threads: thread.start()
for i in range(50): os.kill(os.getpid(), signal.SIGUSR1)
for thread in threads: thread.join()
print(caught == 50, flush=True)
if all(children): [os.waitpid(child, 0) for child in children]`;
		const command = ["faketime", "-p", String(PID), ...CLOCK, "python3", "-c", script];
		const { stdout, stderr, exitCode } = await vsyscall(command, { env: HOME });
		assert.deepEqual([stdout, exitCode], ["True\n".repeat(4), 0], stderr);
	});
});

suite("what getpid says", () => {
	const values: readonly (readonly [args: readonly string[], value: string | undefined, pid: number])[] = [
		[["-p", "77"], undefined, 77],
		[[], "77", 77],
		[[], "0x10", 16],
		[[], "017", 15],
		[["-p", "5"], "77", 5],
	];
	for (const [args, value, pid] of values) {
		const env = value === undefined ? HOME : { ...HOME, FAKETIME_FAKEPID: value };
		test(`${args.join(" ")} ${value ?? ""}: ${pid}, as in the original`, TIMEOUT, async (t) => {
			if (!has(t, "faketime")) return;
			const command = ["faketime", ...args, ...CLOCK, "python3", "-c", "import os; print(os.getpid())"];
			const theirs = await native(command, { env });
			assert.equal(theirs.stdout, `${pid}\n`);
			assert.equal((await vsyscall(command, { env })).stdout, theirs.stdout);
		});
	}

	test("is not pretended in a run that does not ask for it", TIMEOUT, async () => {
		const command = ["sh", "-c", '[ $$ = "$(readlink /proc/self/task/../../self)" ] || echo $$; cat /proc/$$/comm'];
		assert.match((await vsyscall(["run", "--clock", "+1d", "--", ...command])).stdout, /^\d+\nsh\n$/);
	});
});
