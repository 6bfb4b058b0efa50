/**
 * Measures a group of ways: all programs run side by side, and every round asks each of them in turn.
 *
 * A round of a way is a batch of calls that takes some 100 us, with calls in front that warm up what has cooled down while others were
 * asked. Its ratio is to the batch of the host's vDSO of the same program in the same round. Rounds go forwards and backwards in turn,
 * so that what changes steadily meanwhile cancels out.
 */
import { errnoName } from "../linux/syscall-error.ts";
import { Addresses, NotThere } from "./addresses.ts";
import * as protocol from "./protocol.ts";
import { Session, SessionOver, type SessionStart } from "./session.ts";
import { type Quartiles, quartilesOf, type Readings, ReadingsCollector } from "./statistics.ts";
import type { Group, Trial, Way } from "./ways.ts";

/** Whose code answers. */
export type Answerer = "host" | "vsyscall" | "libfaketime";

export interface WayResult {
	readonly id: string;
	readonly name: string;
	readonly by: Answerer;
	/** A call. */
	readonly nanoseconds: Quartiles;
	/** To the host's vDSO in the same program, round by round; undefined where the host has none. */
	readonly ratio: Quartiles | undefined;
	readonly readings: Readings;
}

export interface Unavailable {
	readonly id: string;
	readonly name: string;
	readonly reason: string;
}

export interface GroupResult {
	readonly id: string;
	readonly title: string;
	readonly ways: readonly WayResult[];
	readonly unavailable: readonly Unavailable[];
}

export interface MeasureOptions {
	readonly rounds: number;
	/** How to start a program of a trial, or why it cannot be. */
	readonly startOf: (trial: Trial) => SessionStart | { readonly reason: string };
}

/** Nanoseconds that a batch takes at least. */
const BATCH = 100_000;
const CALLS_MAX = 1 << 20;
/** A warm-up is this part of the batch, and some calls at least: a supervisor that sleeps has to wake up. */
const WARM_UP_SHARE = 4;
const WARM_UP_MIN = 8;
const CALIBRATIONS = 3;
/** Readings of a round: those that take some 100 us, within bounds. */
const READINGS_MIN = 32;

/** A way that works, in a program that runs. */
interface Runner {
	readonly way: Way;
	readonly session: Session;
	readonly address: bigint;
	calls: number;
	readonly nanoseconds: number[];
	readonly collector: ReadingsCollector;
}

interface Running {
	readonly session: Session;
	readonly addresses: Addresses;
}

const startRunning = async (start: SessionStart): Promise<Running> => {
	const session = await Session.start(start);
	return { session, addresses: new Addresses(session) };
};

/** A program with its ways; the host's vDSO first, where there is one. */
interface Program {
	readonly trial: Trial;
	readonly session: Session;
	readonly yardstick: Runner | undefined;
	readonly runners: readonly Runner[];
}

const time = async (runner: Runner, name: protocol.TimeFunction, calls: number): Promise<protocol.Report> => {
	const { session, way } = runner;
	const bytes = await session.ask({
		loop: session.program.loop(way.kind, name),
		calls,
		warmUp: Math.max(WARM_UP_MIN, Math.floor(calls / WARM_UP_SHARE)),
		stride: 0,
		function: runner.address,
		replyAddress: session.hello.block + BigInt(protocol.BLOCK.before),
		replyLength: protocol.REPORT_SIZE,
	});
	return protocol.decodeReport(bytes);
};

const read = async (runner: Runner, name: protocol.TimeFunction): Promise<void> => {
	const { session, way } = runner;
	const calls = Math.min(protocol.READINGS_MAX, Math.max(READINGS_MIN, runner.calls));
	const bytes = await session.ask({
		loop: session.program.loop(way.kind, name),
		calls,
		warmUp: WARM_UP_MIN,
		stride: protocol.READING_SIZE,
		function: runner.address,
		replyAddress: session.hello.block + BigInt(protocol.BLOCK.readings),
		replyLength: calls * protocol.READING_SIZE,
	});
	runner.collector.add(protocol.decodeReadings(bytes, name));
};

/**
 * As many calls as a batch needs. The best of some tries counts: the first calls of a way may be others than the rest (a call site that
 * is patched, a supervisor that has slept).
 */
const calibrate = async (runner: Runner, name: protocol.TimeFunction): Promise<void> => {
	for (let calls = 1; ; calls *= 2) {
		let best = Number.POSITIVE_INFINITY;
		for (let attempt = 0; attempt < CALIBRATIONS; attempt++) {
			best = Math.min(best, (await time(runner, name, calls)).elapsed);
		}
		runner.calls = calls;
		if (best >= BATCH || calls >= CALLS_MAX) return;
	}
};

const ANSWERERS = { native: "host", run: "vsyscall", faketime: "libfaketime" } as const;

const reasonOf = (error: unknown): string => {
	if (error instanceof SessionOver || error instanceof NotThere) return error.message;
	throw error;
};

class GroupMeasurement {
	readonly #group: Group;
	readonly #options: MeasureOptions;
	readonly #unavailable: Unavailable[] = [];
	readonly #programs: Program[] = [];

	constructor(group: Group, options: MeasureOptions) {
		this.#group = group;
		this.#options = options;
	}

	#leaveOut({ id, name }: Way, reason: string): void {
		this.#unavailable.push({ id, name, reason });
	}

	async #runner({ session, addresses }: Running, way: Way): Promise<Runner> {
		const address = await addresses.find(way.target);
		const name = way.kind === "entry" ? `${way.name} by ${await addresses.entryInstruction()}` : way.name;
		return { way: { ...way, name }, session, address, calls: 1, nanoseconds: [], collector: new ReadingsCollector() };
	}

	/** One call of a way, which the program may not survive. @throws {NotThere} when there is no such way here. */
	async #try(running: Running, way: Way): Promise<void> {
		const { result } = await time(await this.#runner(running, way), this.#group.function, 1);
		if (result !== 0) throw new NotThere(`fails: ${errnoName(Math.abs(result))}`);
	}

	async #startTrial(trial: Trial): Promise<void> {
		const start = this.#options.startOf(trial);
		if ("reason" in start) return trial.ways.forEach((way) => this.#leaveOut(way, start.reason));
		const works: Way[] = [];
		let running: Running | undefined;
		for (const way of trial.ways) {
			try {
				running ??= await startRunning(start);
				await this.#try(running, way);
				works.push(way);
			} catch (error) {
				this.#leaveOut(way, reasonOf(error));
				if (error instanceof SessionOver) running = undefined;
			}
		}
		if (works.length === 0 && trial.start.kind !== "native") return running?.session.end();
		try {
			await this.#keep(running ?? (await startRunning(start)), trial, works);
		} catch (error) {
			this.#leaveOut(this.#group.yardstick, reasonOf(error));
		}
	}

	async #keep(running: Running, trial: Trial, works: readonly Way[]): Promise<void> {
		const yardstick = await this.#yardstick(running, trial);
		const runners = [];
		for (const way of works) runners.push(await this.#runner(running, way));
		this.#programs.push({ trial, session: running.session, yardstick, runners });
	}

	async #yardstick(running: Running, trial: Trial): Promise<Runner | undefined> {
		try {
			return await this.#runner(running, this.#group.yardstick);
		} catch (error) {
			const reason = reasonOf(error);
			if (trial.start.kind === "native") this.#leaveOut(this.#group.yardstick, reason);
			return undefined;
		}
	}

	async #round(runners: readonly Runner[]): Promise<void> {
		const name = this.#group.function;
		for (const runner of runners) {
			const { elapsed } = await time(runner, name, runner.calls);
			runner.nanoseconds.push(elapsed / runner.calls);
			await read(runner, name);
		}
	}

	async measure(): Promise<GroupResult> {
		try {
			// One after the other: each has a supervisor to start, and they would be in each other's way.
			for (const trial of this.#group.trials) await this.#startTrial(trial);
			const runners = this.#programs.flatMap((program) => [
				...(program.yardstick === undefined ? [] : [program.yardstick]),
				...program.runners,
			]);
			for (const runner of runners) await calibrate(runner, this.#group.function);
			const backwards = runners.toReversed();
			for (let round = 0; round < this.#options.rounds; round++) {
				await this.#round(round % 2 === 0 ? runners : backwards);
			}
		} finally {
			await Promise.all(this.#programs.map(({ session }) => session.end()));
		}
		return this.#result();
	}

	#result(): GroupResult {
		const ways = this.#programs.flatMap(({ trial, yardstick, runners }) => {
			const host = yardstick?.nanoseconds;
			const shown = trial.start.kind === "native" && yardstick !== undefined ? [yardstick, ...runners] : runners;
			return shown.map(({ way, nanoseconds, collector }): WayResult => {
				const ratios = host && nanoseconds.map((value, round) => value / (host[round] ?? Number.NaN));
				return {
					id: way.id,
					name: way.name,
					by: ANSWERERS[trial.start.kind],
					nanoseconds: quartilesOf(nanoseconds),
					ratio: ratios && quartilesOf(ratios),
					readings: collector.readings,
				};
			});
		});
		return { id: this.#group.id, title: this.#group.title, ways, unavailable: this.#unavailable };
	}
}

export const measureGroup = (group: Group, options: MeasureOptions): Promise<GroupResult> =>
	new GroupMeasurement(group, options).measure();
