/** kill -9 of the supervisor at any moment: what runs goes on with its clock, and nothing stays stopped. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { assertNothingLeft, type Finished, markedProcesses, type Started, startVsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 300_000 };
const SHIFTED = "@2038-01-19T03:14:07Z";
const FIRST_SECOND = "2147483647";
const REPEATS = 60;
/** What is not at its end by then stands still. */
const PATIENCE_MS = 10_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** "name state" of every process of the run. */
const statesOf = (mark: string): readonly string[] =>
	markedProcesses(mark).map((pid) => {
		try {
			const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
			return `${stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"))} ${stat[stat.lastIndexOf(")") + 2]}`;
		} catch {
			return "gone";
		}
	});

/** Waits for the program's first output. */
const firstOutput = async ({ child, finished }: Started): Promise<void> => {
	const seen = new Promise<"seen">((resolve) => child.stdout?.once("data", () => resolve("seen")));
	const first = await Promise.race([seen, finished]);
	if (first !== "seen" && first.stdout === "") assert.fail(`ended without output: ${first.stderr}`);
};

interface Aftermath {
	readonly finished: Finished | undefined;
	/** What was still there when patience ended; it has been killed since. */
	readonly left: readonly string[];
}

/** Waits for the end of what the supervisor left behind. */
const aftermath = async ({ finished, mark }: Started): Promise<Aftermath> => {
	const result = await Promise.race([finished, pause(PATIENCE_MS).then(() => undefined)]);
	for (let attempt = 0; attempt < 50 && markedProcesses(mark).length > 0; attempt++) await pause(20);
	const left = statesOf(mark);
	for (const pid of markedProcesses(mark)) process.kill(pid, "SIGKILL");
	await finished;
	await assertNothingLeft(mark);
	return { finished: result, left };
};

/** Starts a command, kills the supervisor `delay` ms after its first output (or after the start). */
const killAfter = async (
	command: readonly string[],
	{ delay, from }: { delay: number; from: "start" | "output" },
): Promise<Aftermath> => {
	const started = startVsyscall(["run", "--clock", SHIFTED, "--", ...command]);
	if (from === "output") await firstOutput(started);
	await pause(delay);
	started.child.kill("SIGKILL");
	return aftermath(started);
};

/** Collects what differs from `stdout` in all repeats, so that a rare fault shows how rare it is. */
const repeat = async (run: (round: number) => Promise<Aftermath>, stdout: readonly string[]): Promise<void> => {
	const faults: string[] = [];
	for (let round = 0; round < REPEATS; round++) {
		const { finished, left } = await run(round);
		if (left.length > 0) faults.push(`left: ${left.join(", ")}`);
		else if (finished === undefined) faults.push("the output stayed open");
		else if (finished.stderr !== "" || !stdout.includes(finished.stdout)) {
			faults.push(`${JSON.stringify(finished.stdout.slice(-200))} ${finished.stderr.slice(-200)}`);
		}
		// Each costs its patience: some are enough to see what is wrong.
		if (faults.length > 5) break;
	}
	assert.deepEqual(faults, [], `faults in at most ${REPEATS} repeats`);
};

test("a program that reads the clock goes on, with the same clock, to its own end", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const program = build("glibc", "reads-clock.c");
	const run = (): Promise<Aftermath> =>
		killAfter([program, "150", FIRST_SECOND], { delay: Math.random() * 60, from: "output" });
	await repeat(run, ["up\n0 wrong\n"]);
});

test("children and threads of the program go on as well", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const script = 'for i in 1 2 3; do "$@" & done; wait; echo end';
	const command = ["bash", "-c", script, "bash", build("musl-static", "reads-clock.c"), "120", FIRST_SECOND];
	const started = startVsyscall(["run", "--clock", SHIFTED, "--", ...command]);
	let output = "";
	started.child.stdout?.on("data", (text: string) => (output += text));
	for (let wait = 0; wait < PATIENCE_MS && !output.includes("up\nup\nup\n"); wait++) await pause(1);
	started.child.kill("SIGKILL");
	const { finished, left } = await aftermath(started);
	assert.deepEqual([left, finished?.stdout], [[], "up\nup\nup\n0 wrong\n0 wrong\n0 wrong\nend\n"]);
});

test("a storm of execs goes on, and no process is left stopped or loses its way", TIMEOUT, async () => {
	const script = 'echo up; for ((i = 0; i < 150; i++)); do /bin/true || echo "status $?"; done; echo end';
	await repeat(() => killAfter(["bash", "-c", script], { delay: Math.random() * 120, from: "output" }), ["up\nend\n"]);
});

test("a storm of execs where every process makes its own file goes on", TIMEOUT, async (t) => {
	if (!isRoot(t) || !has(t, "unshare")) return;
	const script = 'echo up; for ((i = 0; i < 60; i++)); do /bin/true || echo "status $?"; done; echo end';
	const command = ["unshare", "-p", "-f", "--mount-proc", "bash", "-c", script];
	await repeat(() => killAfter(command, { delay: Math.random() * 100, from: "output" }), ["up\nend\n"]);
});

test("a storm of forks and threads goes on", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const command = ["sh", "-c", 'echo up; "$@"', "sh", build("glibc", "storms.c"), "fork-race", "12"];
	const run = (): Promise<Aftermath> =>
		killAfter([...command, build("glibc-static", "exit-zero.S", ["-nostdlib"])], {
			delay: Math.random() * 60,
			from: "output",
		});
	// A clock step is no fault here: what is executed after the supervisor's death has the host's time, the program has not.
	await repeat(run, ["up\n96 good, 0 steps back\n"]);
});

test(
	"a supervisor that dies before its program is there leaves nothing, or the program at work",
	TIMEOUT,
	async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc-static", "reads-clock.c");
		const run = (round: number): Promise<Aftermath> =>
			killAfter([program, "20", "0"], { delay: 30 + (round * 120) / REPEATS, from: "start" });
		await repeat(run, ["", "up\n0 wrong\n"]);
	},
);

test("a stopped program stays stopped, and goes on with SIGCONT", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const program = build("glibc", "reads-clock.c");
	const started = startVsyscall(["run", "--clock", SHIFTED, "--", program, "200", FIRST_SECOND]);
	await firstOutput(started);
	const [pid = 0] = markedProcesses(started.mark).filter((candidate) => candidate !== started.child.pid);
	process.kill(pid, "SIGSTOP");
	await pause(100);
	started.child.kill("SIGKILL");
	await pause(200);
	assert.deepEqual(statesOf(started.mark), ["reads-clock-gli T"]);
	process.kill(pid, "SIGCONT");
	const { finished, left } = await aftermath(started);
	assert.deepEqual([left, finished?.stdout], [[], "up\n0 wrong\n"]);
});
