/**
 * How a clock goes on from its base: the words behind the base of a clock spec.
 *
 *     frozen       it stands
 *     drift=PPM    it ticks faster or slower than the host (drift.ts)
 *     step=DUR     it stands and moves by DUR with each read
 *
 * Only the wall clock is meant, so timers and sleeps run as usual. Words that would move waits as well are known and
 * refused.
 */
import { type Nanoseconds, nanoseconds } from "../units.ts";
import { quoted } from "./clock-spec-error.ts";
import { formatDrift, readDrift } from "./drift.ts";
import { formatDuration } from "./duration.ts";
import { readLength } from "./duration-grammar.ts";
import type { SpecCursor } from "./spec-cursor.ts";

export type ClockMotion =
	/** With the host. */
	| { readonly kind: "ticking" }
	| { readonly kind: "frozen" }
	/** Gains so much on the host; `|partsPerTrillion| < 10^12`. */
	| { readonly kind: "drift"; readonly partsPerTrillion: bigint }
	/** Stands, and moves by this with each read; more than 0. */
	| { readonly kind: "step"; readonly by: Nanoseconds };

const MODIFIER = /^(?:frozen$|drift=|step=)/;
/** Words that need waits to follow the clock: a rate, `paused`, `auto`. */
const MOVES_WAITS = /^(?:x(?:\d+(?:\.\d+)?|\.\d+)|paused|auto)$/;
const STROBE = /^strobe=/;

const EXAMPLE = "+30d frozen";
const STEP_EXAMPLE = "step=1s";

/** Whether a word belongs to the motion, so that no base is in front of it. */
export const isMotionWord = (word: string): boolean =>
	MODIFIER.test(word) || MOVES_WAITS.test(word) || STROBE.test(word);

/** What the word here is refused with, when it is one of a later release; otherwise an error with `reason`. */
export const unexpectedWord = (cursor: SpecCursor, reason: string, example: string): Error => {
	const word = cursor.word();
	if (MOVES_WAITS.test(word)) {
		const why = "moves sleeps and timeouts too, and waits do not follow the clock yet";
		return cursor.error(`not yet: ${quoted(word)} ${why}`, EXAMPLE);
	}
	if (STROBE.test(word)) return cursor.error(`not yet: ${quoted(word)} is not in this release`, EXAMPLE);
	return cursor.error(reason, example);
};

const readStep = (cursor: SpecCursor): Nanoseconds => {
	const start = cursor.position;
	const { months, exact } = readLength(cursor);
	if (months !== 0n) throw cursor.error("a step has no months or years, whose length varies", "step=30d", start);
	if (exact === 0n) throw cursor.error("a step is more than 0 (a clock that stands is frozen)", STEP_EXAMPLE, start);
	return nanoseconds(exact);
};

const readModifier = (cursor: SpecCursor): ClockMotion => {
	if (cursor.take(/frozen(?= |$)/y) !== undefined) return { kind: "frozen" };
	if (cursor.take(/drift=/y) !== undefined) return { kind: "drift", partsPerTrillion: readDrift(cursor) };
	if (cursor.take(/step=/y) !== undefined) return { kind: "step", by: readStep(cursor) };
	const reason = `unexpected ${quoted(cursor.word())} (only frozen, drift=PPM or step=DURATION can follow)`;
	throw unexpectedWord(cursor, reason, EXAMPLE);
};

/** Moves to the next word. Returns whether there is one. */
export const hasWord = (cursor: SpecCursor): boolean => {
	cursor.take(/ +/y);
	return !cursor.isAtEnd;
};

/** Reads the words behind the base, to the end. */
export const readMotion = (cursor: SpecCursor): ClockMotion => {
	let motion: ClockMotion = { kind: "ticking" };
	while (hasWord(cursor)) {
		const start = cursor.position;
		const next = readModifier(cursor);
		if (cursor.peek(/[^ ]/y) !== undefined) throw cursor.error(`unexpected ${quoted(cursor.word())}`, EXAMPLE);
		if (motion.kind === next.kind) throw cursor.error(`${next.kind} is there twice`, EXAMPLE, start);
		if (motion.kind !== "ticking") {
			throw cursor.error(`a clock has one of ${motion.kind} and ${next.kind}, not both`, EXAMPLE, start);
		}
		motion = next;
	}
	return motion;
};

/** A motion as the grammar has it; empty when the clock ticks with the host. */
export const formatMotion = (motion: ClockMotion): string => {
	switch (motion.kind) {
		case "ticking":
			return "";
		case "frozen":
			return "frozen";
		case "drift":
			return `drift=${formatDrift(motion.partsPerTrillion)}`;
		case "step":
			return `step=${formatDuration({ sign: 1, months: 0n, exact: motion.by }).slice(1)}`;
	}
};
