/** How the clock of a run goes on without its programs: what it is at first, and what sets it from then on. */
import type { WallClock } from "../clock/clock.ts";
import type { Moment, Span } from "../clock/span.ts";
import { atMoment, type AtRead } from "./moments.ts";

/** The clock of a run, to whom sets it from outside. */
export interface SteeredClock {
	readonly set: (clock: WallClock) => void;
	readonly atRead: AtRead;
}

/** Sets a clock when something outside of its programs says so. @returns a function that ends it */
export type ClockSource = (clock: SteeredClock) => () => void;

export interface ClockCourse {
	readonly clock: WallClock;
	/** undefined when nothing but programs of the run sets it. */
	readonly source: ClockSource | undefined;
}

export interface SpannedCourse {
	/** The course within the span, as of now; throws when there is none. */
	readonly within: () => ClockCourse;
	/** The clock before and behind it. */
	readonly outside: () => WallClock;
	/** Told why the course could not begin; then the clock stays as it is. */
	readonly report: (message: string) => void;
}

/** One course within a span of the run, and the clock outside of it. The start is the moment when the source is started. */
export const during = ({ begins, ends, length }: Span, { within, outside, report }: SpannedCourse): ClockCourse => {
	const first: ClockCourse | undefined = begins.length === 0 ? within() : undefined;
	const source: ClockSource = (clock) => {
		const alarms: (() => void)[] = [];
		let stop: (() => void) | undefined;
		let state: "before" | "within" | "behind" = "before";
		let missing = begins.length;
		const wait = (moment: Moment, action: () => void): void => {
			alarms.push(atMoment(moment, action, clock.atRead));
		};
		const callOff = (): void => {
			for (const forget of alarms) forget();
			stop?.();
			stop = undefined;
		};
		const end = (): void => {
			// First of all: a clock that waits for no read any more is shown to everybody.
			if (state === "within") clock.set(outside());
			state = "behind";
			callOff();
		};
		const enter = (course: ClockCourse): void => {
			state = "within";
			stop = course.source?.(clock);
			if (length !== undefined) wait(length, end);
		};
		const begin = (): void => {
			missing--;
			if (missing > 0 || state === "behind") return;
			try {
				const course = within();
				clock.set(course.clock);
				enter(course);
			} catch (error) {
				report(`the clock stays as it is: ${error instanceof Error ? error.message : String(error)}`);
			}
		};
		if (first !== undefined) enter(first);
		for (const moment of ends) wait(moment, end);
		for (const moment of begins) wait(moment, begin);
		return callOff;
	};
	return { clock: first?.clock ?? outside(), source };
};
