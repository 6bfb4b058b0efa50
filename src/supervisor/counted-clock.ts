/**
 * A run's own clock, whose reads are counted while somebody waits for a number of them.
 *
 *     nobody waits      the page shows the clock, and nobody sees who reads it
 *     somebody waits    the page says that every read is to be asked for; the clock is kept here, and answers come from it
 *
 * A read that was on its way when the page changed back makes its system call all the same, and is answered from the page.
 */
import type { ClockChange } from "../clock-file/clock-file.ts";
import { afterRead, type WallClock, wallTime } from "../clock/clock.ts";
import { hostRealtime } from "../linux/host-vdso.ts";
import { type Nanoseconds, nanoseconds } from "../units.ts";
import type { SteeredClock } from "./clock-course.ts";
import type { AtRead } from "./moments.ts";
import type { RunClock } from "./run-clock.ts";

interface Awaited {
	readonly answered: number;
	readonly action: () => void;
}

export class CountedClock implements RunClock, SteeredClock {
	readonly #page: RunClock;
	readonly #listeners: ((before: WallClock) => void)[] = [];
	readonly #awaited = new Set<Awaited>();
	/** Reads, while they are counted. */
	#answered = 0;
	/** The clock, while the page does not show it. */
	#kept: WallClock | undefined;

	/** @param page which nobody else changes */
	constructor(page: RunClock) {
		this.#page = page;
	}

	get current(): WallClock {
		return this.#kept ?? this.#page.current;
	}

	get isAsked(): boolean {
		return this.#kept !== undefined || this.#page.isAsked;
	}

	read(host: Nanoseconds): Nanoseconds {
		if (this.#kept === undefined) return this.#page.read(host);
		for (const awaited of this.#awaited) {
			if (awaited.answered > this.#answered) continue;
			this.#awaited.delete(awaited);
			awaited.action();
		}
		this.#letGo();
		if (this.#awaited.size === 0) return this.#page.read(host);
		this.#answered++;
		const clock = this.#kept;
		this.#kept = afterRead(clock);
		return wallTime(clock, host);
	}

	change(change: ClockChange): void {
		const before = this.current;
		if (this.#kept === undefined) this.#page.change(change);
		else this.#kept = change(before, hostRealtime());
		for (const listener of this.#listeners) listener(before);
	}

	onStep(listener: (before: WallClock) => void): void {
		this.#listeners.push(listener);
	}

	readonly set = (clock: WallClock): void => this.change(() => clock);

	readonly atRead: AtRead = (count, action) => {
		const awaited = { answered: this.#answered + count, action };
		this.#awaited.add(awaited);
		if (this.#kept === undefined) this.#keep();
		return () => {
			this.#awaited.delete(awaited);
			this.#letGo();
		};
	};

	#keep(): void {
		this.#page.change((clock, host) => {
			this.#kept = clock;
			// A clock that does not move by itself, so that the page says to ask; who looks at it sees where it was.
			return { kind: "step", at: wallTime(clock, host), by: nanoseconds(0n) };
		});
	}

	/** Shows the clock again when nobody waits any more. */
	#letGo(): void {
		const clock = this.#kept;
		if (clock === undefined || this.#awaited.size > 0) return;
		this.#kept = undefined;
		this.#page.change(() => clock);
	}
}
