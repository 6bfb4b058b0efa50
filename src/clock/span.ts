/** Moments of a run, and the part of it that lies between some of them. */
import type { Nanoseconds } from "../units.ts";

/** When so much has passed, or so many reads of the wall clock have been answered: then in front of the answer to the next. */
export type Moment = { readonly delay: Nanoseconds } | { readonly reads: number };

/** A part of a run: from when all of its beginnings have come, until one of its ends has. */
export interface Span {
	/** Counted from the start of the run. */
	readonly begins: readonly Moment[];
	/** Counted from the start of the run. */
	readonly ends: readonly Moment[];
	/** Counted from the beginning of the part. @default it has no length of its own */
	readonly length?: Moment | undefined;
}
