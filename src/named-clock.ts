/**
 * Named clocks from TypeScript: made, opened and steered while programs run on them. The methods have the names of Playwright's
 * `page.clock` where it has them. Each change is seen by every process on the clock at its next read.
 */
import { anchorNow } from "./clock-file/anchor.ts";
import { ClockFile } from "./clock-file/clock-file.ts";
import { forgetUncovered, type Member, membersOf, readMappedPages } from "./clock-file/members.ts";
import { untilWall } from "./clock-file/until.ts";
import { type WallClock, wallTime } from "./clock/clock.ts";
import { parseDuration } from "./clock/duration-grammar.ts";
import { formatWallClock } from "./clock/format-clock.ts";
import { isoInstant } from "./clock/iso.ts";
import { type ClockSpec, followedFile, parseClockSpec } from "./clock/spec.ts";
import { advance, freeze, resume, setWall } from "./clock/steering.ts";
import { VsyscallError } from "./errors.ts";
import { hostRealtime } from "./linux/host-vdso.ts";
import { type Nanoseconds, nanoseconds } from "./units.ts";

/** Milliseconds since 1970, a Date, a time as in a clock spec (`2027-01-31T23:59Z`), or a Temporal.Instant. */
export type TimeLike = number | string | Date | { readonly epochNanoseconds: bigint };

/** Milliseconds, or a duration as in a clock spec, without a sign (`30d`, `1h30m`, `01:00`, `P1M`). */
export type DurationLike = number | string;

/** An instant, exact to the nanosecond. */
export interface Instant {
	readonly epochNanoseconds: Nanoseconds;
	/** ISO 8601 in UTC. */
	toString(): string;
}

export interface ClockState {
	readonly name: string;
	/** What it shows now. */
	readonly time: Instant;
	readonly kind: WallClock["kind"];
	/** What it is to the host's clock, in words of the clock spec. */
	readonly spec: string;
	readonly createdAt: Date;
}

const MILLISECOND = 1_000_000n;
/** More than a change takes until it shows. */
const CHANGE_NANOSECONDS = 100_000n;

const milliseconds = (value: number, what: string): bigint => {
	if (!Number.isFinite(value))
		throw new RangeError(`Expected ${what} as a finite number of milliseconds, not ${value}`);
	return BigInt(Math.round(value * 1e6));
};

const instantOf = (time: TimeLike, host: Nanoseconds): Nanoseconds => {
	if (typeof time === "number") return nanoseconds(milliseconds(time, "a time"));
	if (time instanceof Date) return nanoseconds(BigInt(time.getTime()) * MILLISECOND);
	if (typeof time === "object") return nanoseconds(time.epochNanoseconds);
	return wallTime(anchorNow(parseClockSpec(time), host), host);
};

/** A named clock has nobody who could watch a file for as long as it lives. */
const parseSpec = (text: string): ClockSpec => {
	const spec = parseClockSpec(text);
	if (followedFile(spec) === undefined) return spec;
	throw new VsyscallError(
		"ERR_VSYSCALL_CLOCK",
		`a clock with a name cannot follow a file (${text}): vsyscall run --clock '${text}' can, for one run`,
	);
};

const instant = (epochNanoseconds: Nanoseconds): Instant => ({
	epochNanoseconds,
	toString: () => isoInstant(epochNanoseconds),
});

/** A clock that has a name. Programs are put on it by `vsyscall run --clock NAME` or `spawn(..., { clock: NAME })`. */
export class Clock {
	readonly #file: ClockFile;

	/** @internal createClock and openClock make them. */
	constructor(file: ClockFile) {
		this.#file = file;
	}

	get name(): string {
		return this.#file.name;
	}

	/** What the clock shows now. */
	now(): Instant {
		return instant(wallTime(this.#file.clock, hostRealtime()));
	}

	state(): ClockState {
		const { clock, name, createdAt } = this.#file;
		const host = hostRealtime();
		return {
			name,
			time: instant(wallTime(clock, host)),
			kind: clock.kind,
			spec: formatWallClock(clock),
			createdAt,
		};
	}

	/**
	 * Makes the clock what a clock spec says, as of now.
	 *
	 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC; the clock stays as it was.
	 */
	async set(spec: string): Promise<Instant> {
		const parsed = parseSpec(spec);
		return this.#change((_, host) => anchorNow(parsed, host));
	}

	/** Makes the clock stand at `time`; timers and sleeps of the programs run on. */
	async setFixedTime(time: TimeLike): Promise<Instant> {
		return this.#change((_, host) => ({ kind: "frozen", at: instantOf(time, host) }));
	}

	/** Moves the clock to `time`; it goes on as it did, ticking or standing. */
	async setSystemTime(time: TimeLike): Promise<Instant> {
		return this.#change((clock, host) => setWall(clock, instantOf(time, host), host));
	}

	/** As setFixedTime: moves the clock to `time` and makes it stand there, until `resume`. */
	async pauseAt(time: TimeLike): Promise<Instant> {
		return this.setFixedTime(time);
	}

	/** Makes the clock stand where it is. */
	async freeze(): Promise<Instant> {
		this.#file.change(freeze, CHANGE_NANOSECONDS);
		return this.now();
	}

	/** Lets a clock that stands go on from where it stands. */
	async resume(): Promise<Instant> {
		return this.#change(resume);
	}

	/**
	 * Moves the clock forward, by the calendar.
	 *
	 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when it is no duration, or one that leads back or out of the calendar.
	 */
	async fastForward(duration: DurationLike): Promise<Instant> {
		const text = typeof duration === "number" ? `${milliseconds(duration, "a duration")}ns` : duration;
		const parsed = parseDuration(text);
		if (parsed.sign < 0) {
			throw new VsyscallError(
				"ERR_VSYSCALL_CLOCK",
				`a clock goes forward, not by ${text}: vsyscall clock set ${this.name} SPEC moves the wall clock anywhere`,
			);
		}
		return this.#change((clock, host) => advance(clock, parsed, host));
	}

	/** Makes it the host's clock again. */
	async reset(): Promise<Instant> {
		return this.#change(() => ({ kind: "host" }));
	}

	/** Resolves when the clock shows `time` or more, whoever moves it. */
	async waitUntil(time: TimeLike, options: { readonly signal?: AbortSignal } = {}): Promise<Instant> {
		await untilWall(this.#file, instantOf(time, hostRealtime()), options.signal);
		return this.now();
	}

	/** The processes that are on the clock, and those that should be and could not. */
	processes(): readonly Member[] {
		return membersOf(this.#file);
	}

	/** Takes the name away. Processes on the clock keep its time. */
	remove(): void {
		forgetUncovered(this.#file);
		this.#file.remove();
	}

	/** Lets go of the clock, which stays. The object must not be used any more. */
	close(): void {
		this.#file.close();
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#change(change: (clock: WallClock, host: Nanoseconds) => WallClock): Instant {
		this.#file.change(change);
		return this.now();
	}
}

/**
 * Makes a clock.
 *
 * @param spec what it is at first: a clock spec, anchored now
 * @throws {VsyscallError} ERR_VSYSCALL_CLOCK when the name is none or taken, or there is no directory for clocks.
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC
 * @example
 *     const clock = createClock("shop", "@2027-01-31T23:59:00Z");
 *     const server = spawn("redis-server", [], { clock: "shop" });
 *     await clock.fastForward("30d");
 */
export const createClock = (name: string, spec = "host"): Clock =>
	new Clock(ClockFile.create(name, anchorNow(parseSpec(spec))));

/** @throws {VsyscallError} ERR_VSYSCALL_CLOCK when there is no such clock, or its file cannot be trusted. */
export const openClock = (name: string): Clock => new Clock(ClockFile.open(name));

/** Names of all clocks of this user. */
export const listClocks = (): readonly string[] => ClockFile.names();

/** What all clocks of this user show, and how many processes are on each; those whose file cannot be trusted are left out. */
export const clockStates = (): readonly (ClockState & { readonly processes: number })[] => {
	const names = listClocks();
	// One look at all processes of the host, not one for each clock.
	const pages = names.length === 0 ? undefined : readMappedPages();
	return names.flatMap((name) => {
		try {
			const file = ClockFile.open(name);
			using clock = new Clock(file);
			return [{ ...clock.state(), processes: membersOf(file, pages).length }];
		} catch (error) {
			if (error instanceof VsyscallError) return [];
			throw error;
		}
	});
};
