/**
 * Many processes that read one clock in every way, while several controllers change it at random and are killed at random. Each
 * reading must be what a clock that could be in force shows, to the resolution of the way it was read.
 */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ClockFile } from "../../src/clock-file/clock-file.ts";
import type { WallClock } from "../../src/clock/clock.ts";
import { readTaiOffset } from "../../src/linux/host-vdso.ts";
import { NANOSECONDS_PER_SECOND } from "../../src/units.ts";
import { build } from "../helpers/fixtures.ts";
import { CLI } from "../helpers/vsyscall.ts";
import { History, type Note, PATHS, type Reading } from "./history.ts";

export interface SoakOptions {
	readonly seconds: number;
	/** Processes that read, spread over RUNS runs. */
	readonly processes: number;
}

export interface SoakResult {
	readonly seconds: number;
	readonly processes: number;
	readonly changes: number;
	/** Changes whose maker was killed before it could say that they were done. */
	readonly unknownChanges: number;
	readonly controllersKilled: number;
	readonly readings: number;
	readonly readingsByPath: Readonly<Record<string, number>>;
	readonly readingsByKind: Readonly<Record<string, number>>;
	/** Readings that no clock explains. */
	readonly wrong: number;
	readonly examples: readonly string[];
	/** Changes that were lost. */
	readonly lost: readonly string[];
	/** Whether the page shows in the end what the last change left. */
	readonly endsWell: boolean;
	readonly exitCodes: readonly (number | null)[];
}

const CONTROLLER = fileURLToPath(new URL("controller.js", import.meta.url));
const RUNS = 4;
const CONTROLLERS = 4;
const NAME = "soak";
const FIRST: WallClock = { kind: "host" };
/** A reading waits so long for the notes of its time to be written. */
const SETTLE_MS = 1500;
/** sizeof(struct record) in test/fixtures/soak-reader.c. */
const RECORD = 56;

const ended = (child: ChildProcess): Promise<number | null> =>
	new Promise((resolve) => child.once("close", (code) => resolve(code)));

function* recordsOf(bytes: Buffer): Generator<Reading> {
	for (let at = 0; at + RECORD <= bytes.length; at += RECORD) {
		yield {
			path: bytes.readUInt32LE(at),
			pid: bytes.readUInt32LE(at + 4),
			before: bytes.readBigInt64LE(at + 8),
			after: bytes.readBigInt64LE(at + 16),
			from: bytes.readBigInt64LE(at + 24),
			to: bytes.readBigInt64LE(at + 32),
			value: bytes.readBigInt64LE(at + 40) * NANOSECONDS_PER_SECOND + bytes.readBigInt64LE(at + 48),
		};
	}
}

/** Reads what has been added to a log since the last time, in whole lines. */
class Log {
	readonly #fd: number;
	readonly #buffer = Buffer.alloc(1 << 20);
	#rest = "";

	constructor(path: string) {
		this.#fd = openSync(path, "a+", 0o600);
	}

	readTo(history: History): void {
		for (;;) {
			const length = readSync(this.#fd, this.#buffer);
			if (length === 0) return;
			const lines = (this.#rest + this.#buffer.toString("latin1", 0, length)).split("\n");
			this.#rest = lines.pop() ?? "";
			for (const line of lines) history.add(JSON.parse(line) as Note);
		}
	}

	close(): void {
		closeSync(this.#fd);
	}
}

class Tally {
	readonly byPath: Record<string, number> = {};
	readonly byKind: Record<string, number> = {};
	readonly examples: string[] = [];
	readings = 0;
	wrong = 0;

	check(reading: Reading, history: History): void {
		const kind = history.explain(reading);
		const name = PATHS[reading.path]?.name ?? "unknown";
		this.readings++;
		this.byPath[name] = (this.byPath[name] ?? 0) + 1;
		if (kind !== undefined) this.byKind[kind] = (this.byKind[kind] ?? 0) + 1;
		else if (this.wrong++ < 10)
			this.examples.push(
				`${name}: ${JSON.stringify(reading, (_, v: unknown) => (typeof v === "bigint" ? `${v}n` : v))}`,
			);
	}
}

/** The output of a run, in whole records, with the time at which it came. */
const collect = (child: ChildProcess, queue: { readonly at: number; readonly bytes: Buffer }[]): void => {
	let rest = Buffer.alloc(0);
	child.stdout?.on("data", (chunk: Buffer) => {
		const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
		const whole = all.length - (all.length % RECORD);
		queue.push({ at: performance.now(), bytes: all.subarray(0, whole) });
		rest = Buffer.from(all.subarray(whole));
	});
};

/** Keeps CONTROLLERS controllers at work and kills one of them every now and then. */
class Controllers {
	readonly #words: readonly string[];
	readonly #running = new Set<ChildProcess>();
	#isOver = false;
	killed = 0;

	constructor(...words: readonly string[]) {
		this.#words = words;
		for (let index = 0; index < CONTROLLERS; index++) this.#start();
	}

	#start(): void {
		const child = fork(CONTROLLER, this.#words, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
		this.#running.add(child);
		child.once("exit", () => {
			this.#running.delete(child);
			if (!this.#isOver) this.#start();
		});
	}

	killOne(): void {
		const [...all] = this.#running;
		if (all[Math.floor(Math.random() * all.length)]?.kill("SIGKILL") === true) this.killed++;
	}

	async end(): Promise<void> {
		this.#isOver = true;
		await Promise.all(
			[...this.#running].map((child) => {
				child.kill("SIGKILL");
				return ended(child);
			}),
		);
	}
}

const startReaders = ({ seconds, processes }: SoakOptions): readonly ChildProcess[] => {
	const wide = ["--vsyscall=emulate", "--", build("glibc", "soak-reader.c")];
	const narrow = ["--", build("glibc-32-time64", "soak-reader.c")];
	return Array.from({ length: RUNS }, (_, index) => {
		// One run of four is of 32-bit programs, which have no vsyscall page.
		const program = index % 4 === 3 ? narrow : wide;
		const words = [CLI, "run", "--clock", NAME, ...program, String(Math.ceil(processes / RUNS)), String(seconds)];
		return spawn(process.execPath, words, { stdio: ["ignore", "pipe", "inherit"] });
	});
};

/** Sets VSYSCALL_RUNTIME_DIR to a directory of its own, which is removed at the end. */
export const soak = async (options: SoakOptions): Promise<SoakResult> => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-soak-"));
	process.env["VSYSCALL_RUNTIME_DIR"] = directory;
	const clock = ClockFile.create(NAME, FIRST);
	const log = new Log(join(directory, "log"));
	const history = new History(FIRST, readTaiOffset());
	const tally = new Tally();
	const queue: { readonly at: number; readonly bytes: Buffer }[] = [];
	const runs = startReaders(options);
	const finished = Promise.all(runs.map(ended));
	const isOver = (): boolean => runs.every(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
	for (const run of runs) collect(run, queue);
	const controllers = new Controllers(NAME, join(directory, "log"));
	const check = (until: number): void => {
		log.readTo(history);
		while (queue[0] !== undefined && queue[0].at <= until) {
			for (const reading of recordsOf(queue[0].bytes)) tally.check(reading, history);
			queue.shift();
		}
	};
	while (!isOver()) {
		await sleep(250);
		if (Math.random() < 0.5) controllers.killOne();
		check(performance.now() - SETTLE_MS);
	}
	const exitCodes = await finished;
	await controllers.end();
	check(Number.POSITIVE_INFINITY);
	const result: SoakResult = {
		seconds: options.seconds,
		processes: Math.ceil(options.processes / RUNS) * RUNS,
		changes: history.changes,
		unknownChanges: history.unknown,
		controllersKilled: controllers.killed,
		readings: tally.readings,
		readingsByPath: tally.byPath,
		readingsByKind: tally.byKind,
		wrong: tally.wrong,
		examples: tally.examples,
		lost: history.breaks(),
		endsWell: history.endsWith(clock.clock),
		exitCodes,
	};
	log.close();
	clock.close();
	rmSync(directory, { recursive: true, force: true });
	return result;
};
