/**
 * The clock spec: the text of `--clock`.
 *
 *     SPEC = "host" | BASE [ MOTION ] | MOTION          words are separated by spaces
 *     BASE = ("+"|"-") DUR       the host's time plus or minus a duration (duration-grammar.ts)
 *          | ["@"] TIME          starts there (instant.ts)
 *          | "%" FILE            starts at the time of a file, again whenever that changes (file-name.ts)
 *     MOTION = "frozen" | "drift=" PPM | "step=" DUR    how it goes on from there (motion.ts)
 *
 * `parseClockSpec` is total: any text gives a spec or a ClockSpecError. Nothing here depends on the time, on files or on
 * the local zone; clock.ts brings them in.
 */
import { quoted } from "./clock-spec-error.ts";
import { type CalendarDuration, formatDuration } from "./duration.ts";
import { readDuration } from "./duration-grammar.ts";
import { formatFileName, readFileName } from "./file-name.ts";
import { type ClockTime, formatTime, readTime } from "./instant.ts";
import { type ClockMotion, formatMotion, hasWord, isMotionWord, readMotion, unexpectedWord } from "./motion.ts";
import { SpecCursor } from "./spec-cursor.ts";

/** Where a clock is at the moment of its anchor. */
export type ClockBase =
	| { readonly kind: "now" }
	| { readonly kind: "offset"; readonly duration: CalendarDuration }
	| { readonly kind: "start"; readonly time: ClockTime }
	/** At the time of last modification of the file `follow`; anchored again whenever that changes. */
	| { readonly kind: "file"; readonly follow: string };

export type ClockSpec =
	| { readonly kind: "host" }
	| { readonly kind: "clock"; readonly base: ClockBase; readonly motion: ClockMotion };

const FORMS = "+DURATION, -DURATION, a time or %FILE, each also with frozen, drift=PPM or step=DURATION; host";
/** A sign and six digits are a year when a month follows, and seconds otherwise. */
const SIGNED_YEAR = /[+-]\d{6}-/y;

/** A base that starts with neither a sign nor "@". */
const readPlainBase = (cursor: SpecCursor): ClockBase => {
	const word = cursor.word();
	if (/^\d+(?:\.\d*)?$/.test(word)) {
		const reason = 'a number needs "@" (seconds since 1970) or a sign (seconds from now)';
		throw cursor.error(reason, "@1663468944 or +3600");
	}
	if (/^(?:[\d.]+(?:ns|[u\u00b5\u03bc]s|ms|s|m|h|d|w|mo|y)|P[T\d])/i.test(word)) {
		throw cursor.error('a duration needs a sign, "+" or "-"', "+30d");
	}
	if (!/^\d/.test(word)) {
		throw unexpectedWord(cursor, `unknown word ${quoted(word)} (expected ${FORMS})`, "+30d");
	}
	return { kind: "start", time: readTime(cursor) };
};

const readBase = (cursor: SpecCursor): ClockBase => {
	if (isMotionWord(cursor.word())) return { kind: "now" };
	if (cursor.take(/%/y) !== undefined) return { kind: "file", follow: readFileName(cursor) };
	if (cursor.peek(/@/y) !== undefined || cursor.peek(SIGNED_YEAR) !== undefined) {
		return { kind: "start", time: readTime(cursor) };
	}
	if (cursor.peek(/[+-]/y) !== undefined) return { kind: "offset", duration: readDuration(cursor) };
	return readPlainBase(cursor);
};

const BASE_EXAMPLES = { now: "frozen", offset: "+1h30m", start: "2038-01-19T03:14:07Z", file: "%/tmp/now" } as const;

/**
 * Reads a clock spec.
 *
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when `text` is not a clock spec, or has a time outside the years
 * -9999 to 9999, or names a time zone that Node does not know.
 * @example
 * parseClockSpec("+30d frozen");
 * // { kind: "clock", base: { kind: "offset", duration: { sign: 1, months: 0n, exact: 2592000000000000n } }, motion: { kind: "frozen" } }
 */
export const parseClockSpec = (text: string): ClockSpec => {
	const cursor = new SpecCursor(text);
	if (!hasWord(cursor)) throw cursor.error(`the spec is empty (expected ${FORMS})`, "+30d");
	if (cursor.word() === "host") {
		cursor.take(/host/y);
		if (hasWord(cursor)) throw unexpectedWord(cursor, "nothing can follow host", "host");
		return { kind: "host" };
	}
	const base = readBase(cursor);
	if (base.kind !== "now" && !cursor.isAtEnd && cursor.peek(/ /y) === undefined) {
		throw cursor.error(`unexpected ${quoted(cursor.word())}`, BASE_EXAMPLES[base.kind]);
	}
	return { kind: "clock", base, motion: readMotion(cursor) };
};

const formatBase = (base: ClockBase): string => {
	switch (base.kind) {
		case "now":
			return "";
		case "offset":
			return formatDuration(base.duration);
		case "start":
			return formatTime(base.time);
		case "file":
			return formatFileName(base.follow);
	}
};

/**
 * The text of a spec, which `parseClockSpec` reads back as the same value. An instant is shown in UTC, a duration in
 * the units y mo d h m s ms us ns.
 *
 * The clock that starts now and ticks with the host has no text but `host`; it is the one value that does not come back.
 */
export const formatClockSpec = (spec: ClockSpec): string => {
	if (spec.kind === "host") return "host";
	const words = [formatBase(spec.base), formatMotion(spec.motion)].filter((word) => word !== "");
	return words.length === 0 ? "host" : words.join(" ");
};

/** The file whose time the clock of a spec follows, if there is one. */
export const followedFile = (spec: ClockSpec): string | undefined =>
	spec.kind === "clock" && spec.base.kind === "file" ? spec.base.follow : undefined;
