/** Waits for moments of a run: its time is CLOCK_MONOTONIC's, and who answers its reads counts them. */
import type { Moment } from "../clock/span.ts";
import { afterDelay } from "./alarm.ts";

/** Calls `action` once, when so many reads have been answered from now on, in front of the answer to the next. @returns a function that calls it off */
export type AtRead = (count: number, action: () => void) => () => void;

/** Calls `action` once, when so much has passed or been read from now on. @returns a function that calls it off */
export const atMoment = (moment: Moment, action: () => void, atRead: AtRead): (() => void) =>
	"reads" in moment ? atRead(moment.reads, action) : afterDelay(moment.delay, action);
