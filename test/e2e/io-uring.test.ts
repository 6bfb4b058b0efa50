/**
 * Timeouts of io_uring under `--io-uring`: the program says what it says natively. Where the host allows no io_uring, that is its error.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { spawn } from "../../src/index.ts";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import {
	assertNothingLeft,
	CLI,
	type Finished,
	native,
	runCommand,
	type RunSettings,
	startVsyscall,
	vsyscall,
} from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";
import { SCENARIOS } from "./io-uring-scenarios.ts";

interface Exception {
	readonly except: string | undefined;
}
const byException = (a: Exception, b: Exception): number => (a.except ?? "").localeCompare(b.except ?? "");

const TIMEOUT = { timeout: 120_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-io-uring-"));
after(() => rmSync(directory, { recursive: true, force: true }));

const under = (clock: string, way: string, command: readonly string[]): Promise<Finished> =>
	vsyscall(["run", "--clock", clock, `--io-uring=${way}`, "--", ...command]);

for (const [toolchain, clocks] of [
	["glibc", ["+10y", "-10y", "+1y drift=-1000"]],
	["glibc-static", ["+10y"]],
	["glibc-32", ["+10y"]],
] as const satisfies readonly (readonly [Toolchain, readonly string[]])[]) {
	for (const [name, words] of SCENARIOS) {
		test(`${toolchain}, as natively: ${name}`, TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const command = [build(toolchain, "io-uring.c"), ...words.split(" ")];
			const expected = cleanOutput(await native(command));
			for (const clock of clocks) assert.equal(cleanOutput(await under(clock, "follow", command)), expected, clock);
		});
	}
}

/** What the host says to a program that sets up a ring: 0, or -errno. */
const hostAnswer = async (): Promise<number> => {
	const [answer] = JSON.parse(cleanOutput(await native([build("glibc", "io-uring.c"), "setup", "0"]))) as [number];
	if (answer !== 0)
		process.stderr.write(`\n*** io_uring is forbidden here (${answer}): its refusal is compared ***\n\n`);
	return answer;
};

const ENOSYS = -38;
const EPERM = -1;

test("refuse: there is no io_uring, but for programs that are not meant", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	for (const toolchain of ["glibc", "glibc-32"] as const) {
		const program = build(toolchain, "io-uring.c");
		assert.equal(cleanOutput(await under("+10y", "refuse", [program, "setup", "0"])), `[${ENOSYS}]\n`);
		const skipped = ["run", "--io-uring=refuse", `--skip=${program.split("/").at(-1)}`, "--", program, "setup", "0"];
		assert.equal(cleanOutput(await vsyscall(skipped)), `[${await hostAnswer()}]\n`);
	}
});

test("the way is an option of spawn, which throws for one that is none", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const program = build("glibc", "io-uring.c");
	const child = spawn(program, ["setup", "0"], { ioUring: "refuse", stdio: ["ignore", "pipe", "inherit"] });
	let output = "";
	child.stdout?.setEncoding("utf8").on("data", (text: string) => (output += text));
	await new Promise((resolve) => child.on("close", resolve));
	assert.equal(output, `[${ENOSYS}]\n`);
	assert.throws(() => spawn(program, [], { ioUring: "trace" as "host" }), { code: "ERR_VSYSCALL_IO_URING" });
});

test("follow: a ring that the kernel reads without a call is refused", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const command = [build("glibc", "io-uring.c"), "setup", "2"];
	assert.equal(cleanOutput(await under("+10y", "follow", command)), `[${EPERM}]\n`);
});

test(
	"a ring that outlives execve is followed; of one from outside of the run a line says that it is not",
	TIMEOUT,
	async (t) => {
		if (!has(t, "gcc") || !isRoot(t)) return;
		const program = build("glibc", "io-uring.c");
		const expected = cleanOutput(await native([program, "exec", program, "inherited"]));
		assert.equal(cleanOutput(await under("+10y", "follow", [program, "exec", program, "inherited"])), expected);
		const shell = `"$0" "$1" run --clock=-10y --io-uring=follow -- "$2" inherited $$; exit $?`;
		const outside = await runCommand([program, "exec", "sh", "-c", shell, process.execPath, CLI, program]);
		assert.equal(outside.exitCode, 0);
		if ((await hostAnswer()) !== 0) return;
		assert.equal(outside.stdout, expected.replaceAll("due", "early"));
		assert.match(
			outside.stderr,
			/^vsyscall: \S+ \(pid \d+\) submits to an io_uring that was made or registered out of our sight: [^\n]*\n$/,
		);
	},
);

test("Node's own use of io_uring goes on under follow, and falls back under refuse", TIMEOUT, async () => {
	const source = "require('fs').promises.readFile('/proc/self/comm', 'utf8').then((text) => console.log(text))";
	const settings: RunSettings = { env: { UV_USE_IO_URING: "1" } };
	const expected = cleanOutput(await native([process.execPath, "-e", source], settings));
	for (const way of ["follow", "refuse"]) {
		const words = ["run", "--clock=+10y", `--io-uring=${way}`, "--", process.execPath, "-e", source];
		assert.equal(cleanOutput(await vsyscall(words, settings)), expected);
	}
});

test("host: times are the host's, so one ten years from now has not come", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const command = [build("glibc", "io-uring.c"), "wall", "0"];
	const expected =
		(await hostAnswer()) === 0 ? '[{"results":[[7,-62]],"took":"early"}]\n' : cleanOutput(await native(command));
	assert.equal(cleanOutput(await under("-10y", "host", command)), expected);
});

test("an inner run goes by its own word, whatever is said around it", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const program = build("glibc", "io-uring.c");
	const inner = (way: string, words: string): readonly string[] => [
		process.execPath,
		CLI,
		"run",
		"--clock=+5y",
		`--io-uring=${way}`,
		"--",
		program,
		...words.split(" "),
	];
	const expected = cleanOutput(await native([program, "wall", "0"]));
	for (const outer of ["host", "follow", "refuse"]) {
		assert.equal(cleanOutput(await under("+10y", outer, inner("follow", "wall 0"))), expected, outer);
	}
	assert.equal(cleanOutput(await under("+10y", "refuse", inner("host", "setup 0"))), `[${await hostAnswer()}]\n`);
	assert.equal(cleanOutput(await under("+10y", "host", inner("refuse", "setup 0"))), `[${ENOSYS}]\n`);
});

test("clock ps says whose timeouts are not on the clock; a change of it says which ones stay", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const settings: RunSettings = { env: { VSYSCALL_RUNTIME_DIR: directory } };
	const clock = async (...words: readonly string[]): Promise<string> =>
		cleanOutput(await vsyscall(["clock", ...words], settings));
	const program = build("glibc", "io-uring.c");
	const answer = await hostAnswer();
	await clock("create", "rings", "+10y");
	const started = ["host", "follow"].map((way) =>
		startVsyscall(["run", "--clock=rings", `--io-uring=${way}`, "--", program, "hold", "60"], settings),
	);
	if (answer === 0) {
		await Promise.all(started.map(({ child }) => new Promise((resolve) => child.stdout?.once("data", resolve))));
		const members = JSON.parse(await clock("ps", "rings", "--json")) as { covered: boolean; except?: string }[];
		const except = "io_uring timeouts on the wall clock (--io-uring=follow covers them)";
		assert.deepEqual(
			members.map((member) => ({ covered: member.covered, except: member.except })).toSorted(byException),
			[
				{ covered: true, except: undefined },
				{ covered: true, except },
			],
		);
		assert.ok((await clock("ps", "rings")).includes(`yes, except ${except}`));
		await clock("set", "rings", "host");
		const onHost = JSON.parse(await clock("ps", "rings", "--json")) as { except?: string }[];
		assert.deepEqual(
			onHost.map((member) => member.except),
			[undefined, undefined],
		);
		for (const { child } of started) child.kill("SIGTERM");
	}
	const [host, follow] = await Promise.all(started.map(({ finished }) => finished));
	for (const { mark } of started) await assertNothingLeft(mark);
	assert.equal(host?.stderr, "");
	if (answer === 0) {
		assert.match(follow?.stderr ?? "", /^vsyscall: \S+ \(pid \d+\) may wait by io_uring [^\n]* stay where they are\n$/);
	} else assert.deepEqual(follow, { stdout: `[${answer}]\n`, stderr: "", exitCode: 0, signal: null });
	await clock("rm", "rings");
});
