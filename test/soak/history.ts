/**
 * What a clock has been, from the notes of those who changed it: the oracle for readings that were made meanwhile.
 *
 * A change is noted before it is made and again when it is done; whoever is killed in between leaves a change of which nobody knows
 * whether it was made. The order of the notes is that of the changes, because they are written under the clock's lock. So the clock
 * of a note can be in force from the note on, and no longer than until a later change is known to be done.
 */
import { type WallClock, wallTime } from "../../src/clock/clock.ts";
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND } from "../../src/units.ts";

/** A line of the log. Times are the host's CLOCK_REALTIME in nanoseconds; clocks are as {@link clockText} has them. */
export type Note =
	| { readonly id: string; readonly at: string; readonly before: string; readonly after: string }
	| { readonly id: string; readonly done: string };

/** A clock as text, and back. */
export const clockText = (clock: WallClock): string =>
	JSON.stringify(clock, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value));

export const parseClock = (text: string): WallClock =>
	JSON.parse(text, (_, value: unknown) =>
		typeof value === "string" && /^-?\d+n$/.test(value) ? BigInt(value.slice(0, -1)) : value,
	) as WallClock;

interface Way {
	readonly name: string;
	readonly resolution: bigint;
	readonly isTai?: boolean;
}

/** Ways of reading, by the number that the fixture gives them: what they can tell apart, and which of them shows TAI. */
export const PATHS: readonly Way[] = [
	{ name: "clock_gettime REALTIME", resolution: 1n },
	{ name: "clock_gettime REALTIME_COARSE", resolution: 1n },
	{ name: "clock_gettime TAI", resolution: 1n, isTai: true },
	{ name: "gettimeofday", resolution: 1000n },
	{ name: "time", resolution: NANOSECONDS_PER_SECOND },
	{ name: "system call clock_gettime REALTIME", resolution: 1n },
	{ name: "system call clock_gettime REALTIME_COARSE", resolution: 1n },
	{ name: "system call clock_gettime TAI", resolution: 1n, isTai: true },
	{ name: "system call gettimeofday", resolution: 1000n },
	{ name: "system call time", resolution: NANOSECONDS_PER_SECOND },
	{ name: "vsyscall page gettimeofday", resolution: 1000n },
	{ name: "vsyscall page time", resolution: NANOSECONDS_PER_SECOND },
];

export interface Reading {
	readonly path: number;
	readonly pid: number;
	/** The host's CLOCK_REALTIME before and after it. */
	readonly before: bigint;
	readonly after: bigint;
	/** The same of the host's clock that the path shows: CLOCK_REALTIME_COARSE for the coarse ones. */
	readonly from: bigint;
	readonly to: bigint;
	readonly value: bigint;
}

interface Entry {
	readonly id: string;
	readonly at: bigint;
	readonly before: string;
	readonly after: string;
	readonly clock: WallClock;
	isDone: boolean;
	/** From here on it is not in force any more. */
	end: bigint | undefined;
}

const roundDown = (value: bigint, unit: bigint): bigint => value - (((value % unit) + unit) % unit);

export class History {
	readonly #entries: Entry[];
	readonly #last = new Map<string, number>();
	readonly #taiOffset: bigint;

	constructor(first: WallClock, taiSeconds: bigint) {
		const after = clockText(first);
		this.#entries = [{ id: "", at: 0n, before: "", after, clock: first, isDone: true, end: undefined }];
		this.#taiOffset = taiSeconds * NANOSECONDS_PER_SECOND;
	}

	add(note: Note): void {
		if ("done" in note) {
			this.#finish(note.id, BigInt(note.done));
			return;
		}
		const { id, before, after } = note;
		this.#last.set(id, this.#entries.length);
		const clock = parseClock(after);
		this.#entries.push({ id, at: BigInt(note.at), before, after, clock, isDone: false, end: undefined });
	}

	/** The kind of the clock that explains a reading; undefined when none does. */
	explain(reading: Reading): WallClock["kind"] | undefined {
		for (let index = this.#lastBefore(reading.after); index >= 0; index--) {
			const entry = this.#entries[index];
			if (entry === undefined || (entry.end !== undefined && entry.end < reading.before)) return undefined;
			if (this.#isShown(entry.clock, reading)) return entry.clock.kind;
		}
		return undefined;
	}

	/** Changes that found another clock than any that could be in force: each is a change lost or torn. */
	breaks(): readonly string[] {
		return this.#entries.flatMap(({ id, before }, index) => {
			if (index === 0 || this.#entries[index - 1]?.id === id) return [];
			return this.#couldBe(before, index - 1) ? [] : [`${id} found ${before}`];
		});
	}

	/** Whether a clock is what the last changes left. */
	endsWith(clock: WallClock): boolean {
		return this.#couldBe(clockText(clock), this.#entries.length - 1);
	}

	get changes(): number {
		return this.#entries.length - 1;
	}

	/** Changes whose maker was killed before it could say that they were done. */
	get unknown(): number {
		// A change that was made again, because its moment had passed, is done when the last form of it is.
		return this.#entries.filter(({ id, isDone }, index) => !isDone && this.#entries[index + 1]?.id !== id).length;
	}

	#isShown(clock: WallClock, { path, from, to, value }: Reading): boolean {
		const way = PATHS[path];
		if (way === undefined) return false;
		const ahead = way.isTai === true ? this.#taiOffset : 0n;
		const shown = (host: bigint): Nanoseconds =>
			nanoseconds(roundDown(wallTime(clock, nanoseconds(host)) + ahead, way.resolution));
		return shown(from) <= value && value <= shown(to);
	}

	#finish(id: string, done: bigint): void {
		const index = this.#last.get(id) ?? 0;
		const entry = this.#entries[index];
		if (entry !== undefined) entry.isDone = true;
		for (let earlier = index - 1; earlier >= 0; earlier--) {
			const replaced = this.#entries[earlier];
			if (replaced === undefined || (replaced.end !== undefined && replaced.end <= done)) return;
			replaced.end = done;
		}
	}

	#couldBe(text: string, last: number): boolean {
		for (let index = last; index >= 0; index--) {
			const entry = this.#entries[index];
			if (entry === undefined) return false;
			if (entry.after === text) return true;
			if (entry.isDone) return false;
		}
		return false;
	}

	/** The last entry whose note is not later than a time. */
	#lastBefore(time: bigint): number {
		let low = 0;
		let high = this.#entries.length;
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if ((this.#entries[middle]?.at ?? 0n) <= time) low = middle;
			else high = middle;
		}
		return low;
	}
}
