/** The clock of a run, as the supervisor sees it: what it is now, how it is changed, and who must know when it has been. */
import type { WallClock } from "../clock/clock.ts";

export interface RunClock {
	readonly current: WallClock;
	/** Makes another clock the time of every process, at its next read; then the listeners are told. */
	push(clock: WallClock): void;
	/** @param listener called after each change, with the clock that was there before */
	onStep(listener: (before: WallClock) => void): void;
}
