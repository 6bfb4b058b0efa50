/**
 * How soon a change of a named clock is seen.
 *
 * One reader spins on another processor: from the moment before the store to the first read that shows it. And a thousand processes
 * that wait for a pipe: each reads once after the change.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { ClockFile } from "../src/clock-file/clock-file.ts";
import { nanoseconds } from "../src/units.ts";
import { build, CLI, median, percentile } from "./tools.ts";

export interface PushResult {
	readonly pushes: number;
	/** From just before the store to the first read that shows it, on another processor. */
	readonly storeToReadMicroseconds: { readonly median: number; readonly p99: number };
	/** The whole change: lock, look, store, time stamp. */
	readonly changeMicroseconds: number;
	readonly processes: number;
	/** Of the processes: those that saw the change at their next read. */
	readonly sawIt: number;
	/** The change that they saw, from its beginning to its end. */
	readonly changeUnderAllMicroseconds: number;
}

const PUSHES = 1000;
const PROCESSES = 1000;
const NAME = "bench";

const start = (program: string, ...words: readonly string[]): ChildProcess =>
	spawn(process.execPath, [CLI, "run", "--clock", NAME, "--", "taskset", "-c", "1", program, ...words], {
		stdio: ["pipe", "pipe", "inherit"],
	});

const linesOf = (child: ChildProcess): AsyncIterator<string> => {
	if (child.stdout === null) throw new Error("The reader has no output");
	return createInterface({ input: child.stdout })[Symbol.asyncIterator]();
};

const next = async (lines: AsyncIterator<string>): Promise<string> => {
	const result = await lines.next();
	if (result.done === true) throw new Error("The reader ended too early");
	return result.value;
};

const spin = async (clock: ClockFile, reader: string): Promise<{ latencies: number[]; changes: number[] }> => {
	const child = start(reader, "spin");
	const lines = linesOf(child);
	await next(lines);
	const latencies: number[] = [];
	const changes: number[] = [];
	for (let index = 1n; index <= BigInt(PUSHES); index++) {
		// So that the reader, which has written a line, spins again.
		await sleep(1);
		let stored = 0n;
		const begun = process.hrtime.bigint();
		clock.change(() => {
			stored = process.hrtime.bigint();
			return { kind: "frozen", at: nanoseconds(index) };
		});
		changes.push(Number(process.hrtime.bigint() - begun) / 1000);
		const [shown = "", seen = ""] = (await next(lines)).split(" ");
		if (BigInt(shown) !== index) throw new Error(`The reader saw ${shown}, not ${index}`);
		latencies.push(Number(BigInt(seen) - stored) / 1000);
	}
	clock.change(() => ({ kind: "frozen", at: nanoseconds(-1n) }));
	await new Promise((resolve) => child.once("close", resolve));
	return { latencies, changes };
};

const park = async (clock: ClockFile, reader: string): Promise<{ readonly sawIt: number; readonly change: number }> => {
	const child = start(reader, "park", String(PROCESSES));
	const lines = linesOf(child);
	await next(lines);
	// Until the last of them waits.
	await sleep(1000);
	const at = 1_234_567_890_123_456_789n;
	const begun = process.hrtime.bigint();
	clock.change(() => ({ kind: "frozen", at: nanoseconds(at) }));
	const change = Number(process.hrtime.bigint() - begun) / 1000;
	child.stdin?.write("\n");
	const [same = "", shown = ""] = (await next(lines)).split(" ");
	await new Promise((resolve) => child.once("close", resolve));
	return { sawIt: BigInt(shown) === at ? Number(same) : 0, change };
};

export const measurePush = async (): Promise<PushResult> => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-push-"));
	process.env["VSYSCALL_RUNTIME_DIR"] = directory;
	const clock = ClockFile.create(NAME, { kind: "frozen", at: nanoseconds(0n) });
	try {
		const reader = build("push-reader.c", "push-reader");
		const { latencies, changes } = await spin(clock, reader);
		const { sawIt, change } = await park(clock, reader);
		return {
			pushes: PUSHES,
			storeToReadMicroseconds: { median: median(latencies), p99: percentile(latencies, 0.99) },
			changeMicroseconds: median(changes),
			processes: PROCESSES,
			sawIt,
			changeUnderAllMicroseconds: change,
		};
	} finally {
		clock.close();
		rmSync(directory, { recursive: true, force: true });
	}
};
