/** How the clock of a run goes on without its programs: what it is at first, and what sets it from then on. */
import type { WallClock } from "../clock/clock.ts";
import type { Nanoseconds } from "../units.ts";
import { afterDelay } from "./alarm.ts";

/** Sets a clock when something outside of the run says so. @returns a function that ends it */
export type ClockSource = (set: (clock: WallClock) => void) => () => void;

export interface ClockCourse {
	readonly clock: WallClock;
	/** undefined when nothing but programs of the run sets it. */
	readonly source: ClockSource | undefined;
}

/** A part of a run, counted from its start. */
export interface Span {
	readonly after: Nanoseconds;
	/** To the end of the run when undefined. */
	readonly length: Nanoseconds | undefined;
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
export const during = ({ after, length }: Span, { within, outside, report }: SpannedCourse): ClockCourse => {
	const first: ClockCourse = after === 0n ? within() : { clock: outside(), source: undefined };
	const source: ClockSource = (set) => {
		let stop = first.source?.(set);
		const begin = (): void => {
			try {
				const course = within();
				set(course.clock);
				stop = course.source?.(set);
			} catch (error) {
				report(`the clock stays as it is: ${error instanceof Error ? error.message : String(error)}`);
			}
		};
		const end = (): void => {
			stop?.();
			stop = undefined;
			set(outside());
		};
		const alarms = after === 0n ? [] : [afterDelay(after, begin)];
		if (length !== undefined) alarms.push(afterDelay((after + length) as Nanoseconds, end));
		return () => {
			for (const callOff of alarms) callOff();
			stop?.();
		};
	};
	return { clock: first.clock, source };
};
