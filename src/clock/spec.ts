/**
 * The clock spec: the text of `--clock`.
 *
 *     SPEC = "host" | BASE { MOD } | MOD { MOD }        words are separated by spaces
 *     BASE = ("+"|"-") DUR       the host's time plus or minus a duration (duration-grammar.ts)
 *          | ["@"] TIME          starts there (instant.ts)
 *     MOD  = "frozen"            the wall clock stands
 *
 * `parseClockSpec` is total: any text gives a spec or a ClockSpecError. Nothing here depends on the time or on the
 * local zone; clock.ts brings both in.
 */
import { quoted } from "./clock-spec-error.ts";
import { type CalendarDuration, formatDuration } from "./duration.ts";
import { readDuration } from "./duration-grammar.ts";
import { type ClockTime, formatTime, readTime } from "./instant.ts";
import { SpecCursor } from "./spec-cursor.ts";

/** Where a clock is at the moment of its anchor. */
export type ClockBase =
	| { readonly kind: "now" }
	| { readonly kind: "offset"; readonly duration: CalendarDuration }
	| { readonly kind: "start"; readonly time: ClockTime };

export type ClockSpec =
	| { readonly kind: "host" }
	| { readonly kind: "clock"; readonly base: ClockBase; readonly isFrozen: boolean };

const FORMS = "+DURATION, -DURATION, a time, each also with frozen; frozen; host";
/** Words of later releases. They are told apart from misspellings, so that nobody looks for the right spelling. */
const LATER = /^(?:x\d|paused$|auto$|step=|drift=|strobe=|%)/;
/** A sign and six digits are a year when a month follows, and seconds otherwise. */
const SIGNED_YEAR = /[+-]\d{6}-/y;

const unexpected = (cursor: SpecCursor, reason: string, example: string): Error => {
	const word = cursor.word();
	if (!LATER.test(word)) return cursor.error(reason, example);
	return cursor.error(`${quoted(word)} is not in this release yet (it has: ${FORMS})`, "+30d frozen");
};

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
		throw unexpected(cursor, `unknown word ${quoted(word)} (expected ${FORMS})`, "+30d");
	}
	return { kind: "start", time: readTime(cursor) };
};

const readBase = (cursor: SpecCursor): ClockBase => {
	if (cursor.word() === "frozen") return { kind: "now" };
	if (cursor.peek(/@/y) !== undefined || cursor.peek(SIGNED_YEAR) !== undefined) {
		return { kind: "start", time: readTime(cursor) };
	}
	if (cursor.peek(/[+-]/y) !== undefined) return { kind: "offset", duration: readDuration(cursor) };
	return readPlainBase(cursor);
};

/** Moves to the next word. Returns whether there is one. */
const hasWord = (cursor: SpecCursor): boolean => {
	cursor.take(/ +/y);
	return !cursor.isAtEnd;
};

/** Reads the words behind the base. Returns whether "frozen" is one of them. */
const readModifiers = (cursor: SpecCursor): boolean => {
	let isFrozen = false;
	while (hasWord(cursor)) {
		const word = cursor.word();
		if (word !== "frozen") {
			throw unexpected(
				cursor,
				`unexpected ${quoted(word)} (only frozen can follow an offset or a time)`,
				"+30d frozen",
			);
		}
		if (isFrozen) throw cursor.error("frozen is there twice", "+30d frozen");
		cursor.take(/frozen/y);
		isFrozen = true;
	}
	return isFrozen;
};

/**
 * Reads a clock spec.
 *
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when `text` is not a clock spec, or has a time outside the years
 * -9999 to 9999, or names a time zone that Node does not know.
 * @example
 * parseClockSpec("+30d frozen");
 * // { kind: "clock", base: { kind: "offset", duration: { sign: 1, months: 0n, exact: 2592000000000000n } }, isFrozen: true }
 */
export const parseClockSpec = (text: string): ClockSpec => {
	const cursor = new SpecCursor(text);
	if (!hasWord(cursor)) throw cursor.error(`the spec is empty (expected ${FORMS})`, "+30d");
	if (cursor.word() === "host") {
		cursor.take(/host/y);
		if (hasWord(cursor)) throw unexpected(cursor, "nothing can follow host", "host");
		return { kind: "host" };
	}
	const base = readBase(cursor);
	if (base.kind !== "now" && !cursor.isAtEnd && cursor.peek(/ /y) === undefined) {
		throw cursor.error(
			`unexpected ${quoted(cursor.word())}`,
			base.kind === "offset" ? "+1h30m" : "2038-01-19T03:14:07Z",
		);
	}
	return { kind: "clock", base, isFrozen: readModifiers(cursor) };
};

const formatBase = (base: ClockBase): string => {
	if (base.kind === "now") return "";
	return base.kind === "offset" ? formatDuration(base.duration) : formatTime(base.time);
};

/**
 * The text of a spec, which `parseClockSpec` reads back as the same value. An instant is shown in UTC, a duration in
 * the units y mo d h m s ms us ns.
 *
 * The clock that is the host's and not frozen has no text but `host`; it is the one value that does not come back.
 */
export const formatClockSpec = (spec: ClockSpec): string => {
	if (spec.kind === "host") return "host";
	const words = [formatBase(spec.base), spec.isFrozen ? "frozen" : ""].filter((word) => word !== "");
	return words.length === 0 ? "host" : words.join(" ");
};
