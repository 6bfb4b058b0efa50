/** The clock of a run, as the supervisor sees it: what it is now, how it is changed, and who must know when it has been. */
import type { ClockChange, ClockFile } from "../clock-file/clock-file.ts";
import { afterRead, type WallClock, wallTime } from "../clock/clock.ts";
import type { Nanoseconds } from "../units.ts";

export interface RunClock {
	readonly current: WallClock;
	/** Reads are answered by `read`; otherwise the host may answer them in its own time, which is the clock's. */
	readonly isAsked: boolean;
	/**
	 * What a read of the wall gets at a moment of the host's CLOCK_REALTIME, or of its coarse form. A clock that steps is moved by it,
	 * which is nothing that the listeners need to know.
	 */
	read(host: Nanoseconds): Nanoseconds;
	/** Makes another clock of it, for every process at its next read; then the listeners are told. Nobody else changes it meanwhile. */
	change(change: ClockChange): void;
	/** @param listener called after each change, with the clock that was there before */
	onStep(listener: (before: WallClock) => void): void;
}

/** What becomes of a clock that a program of the run has set, at a moment of the host's CLOCK_REALTIME. */
export type Settlement = (clock: WallClock, host: Nanoseconds) => WallClock;

/** The same clock, as programs of the run set it. @param settle undefined when it is what they make of it */
export const settledBy = (clock: RunClock, settle: Settlement | undefined): RunClock => {
	if (settle === undefined) return clock;
	return {
		get current() {
			return clock.current;
		},
		get isAsked() {
			return clock.isAsked;
		},
		read: (host) => clock.read(host),
		change: (change) =>
			clock.change((before, host) => {
				const after = change(before, host);
				return after === before ? before : settle(after, host);
			}),
		onStep: (listener) => clock.onStep(listener),
	};
};

const isSame = (a: WallClock, b: WallClock): boolean => {
	const other: Readonly<Record<string, unknown>> = { ...b };
	return a.kind === b.kind && Object.entries(a).every(([field, value]) => other[field] === value);
};

/** A named clock, which others change too. */
export class NamedRunClock implements RunClock {
	readonly #file: ClockFile;
	readonly #report: (message: string) => void;
	readonly #listeners: ((before: WallClock) => void)[] = [];
	/** As the listeners know it. */
	#known: WallClock;

	/** @param report is told when somebody has damaged the page */
	constructor(file: ClockFile, report: (message: string) => void) {
		this.#file = file;
		this.#report = report;
		this.#known = file.clock;
		file.onChange(() => this.look());
	}

	get current(): WallClock {
		this.#mend();
		return this.#file.clock;
	}

	get isAsked(): boolean {
		return this.current.kind !== "host";
	}

	read(host: Nanoseconds): Nanoseconds {
		const { current } = this;
		if (current.kind !== "step") return wallTime(current, host);
		const before = this.#file.step();
		// Somebody else may have changed it just now, which the listeners are still to be told.
		if (isSame(this.#known, before)) this.#known = afterRead(before);
		return wallTime(before, host);
	}

	change(change: ClockChange): void {
		this.#mend();
		this.#file.change(change);
		this.look();
	}

	onStep(listener: (before: WallClock) => void): void {
		this.#listeners.push(listener);
	}

	/** Tells the listeners of a change that has not been told yet. Nothing tells us of one whose maker was killed right after it. */
	look(): void {
		const { current } = this;
		const before = this.#known;
		if (isSame(before, current)) return;
		this.#known = current;
		for (const listener of this.#listeners) listener(before);
	}

	/** Programs read what is mapped, whatever somebody has written over it: so it must not stay there. */
	#mend(): void {
		const damage = this.#file.mend(this.#known);
		if (damage === undefined) return;
		this.#report(`the page of clock ${this.#file.name} was damaged (${damage}); it shows again what it did before`);
	}
}
