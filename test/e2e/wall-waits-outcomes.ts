/** What test/fixtures/wall-waits.c says of its waits, natively and under clocks. */
import assert from "node:assert/strict";
import { assertNothingLeft, type Finished, native, startVsyscall } from "../helpers/vsyscall.ts";
import { cleanOutput } from "./programs-clocks.ts";

export const KINDS = [
	"cond",
	"sem",
	"mutex",
	"rwlock",
	"nanosleep",
	"tai",
	"futex",
	"lock-pi",
	"lock-pi2",
	"requeue-pi",
	"waitv",
	"futex-wait",
	"mq-receive",
	"mq-send",
	"timerfd",
	"timer",
	"timer-tai",
] as const;

export interface Outcome {
	/** What the call returned, or -errno. */
	readonly result: number;
	/** Signals that a handler got. */
	readonly handled: number;
	/** How long it took. */
	readonly ms: number;
}

export const HOUR_MS = 3_600_000;
export const STEP_SECONDS = 7200;

const outcomeOf = (text: string): Outcome => JSON.parse(text) as Outcome;

export const natively = async (program: string, ...args: readonly string[]): Promise<Outcome> =>
	outcomeOf(cleanOutput(await native([program, ...args])));

/** Runs commands under clocks at the same time: they wait, and cost nothing. */
const together = async (clocks: readonly string[], command: readonly string[]): Promise<readonly Finished[]> => {
	const started = clocks.map((clock) => startVsyscall(["run", "--clock", clock, "--", ...command]));
	const finished = await Promise.all(started.map((run) => run.finished));
	for (const { mark } of started) await assertNothingLeft(mark);
	return finished;
};

/** What a command says under each of the clocks. */
export const under = async (clocks: readonly string[], ...command: readonly string[]): Promise<readonly Outcome[]> =>
	(await together(clocks, command)).map((run) => outcomeOf(cleanOutput(run)));

export const assertSame = (found: Outcome, expected: Outcome): void => {
	const { ms, ...facts } = found;
	const { ms: expectedMs, ...expectedFacts } = expected;
	assert.deepEqual(facts, expectedFacts);
	// Other programs may keep either waiting; what does not convert waits 0 ms or years.
	assert.ok(ms >= expectedMs / 2 && ms < expectedMs + 5000, `${ms} ms, natively ${expectedMs} ms`);
};
