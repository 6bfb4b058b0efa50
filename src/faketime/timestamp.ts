/**
 * The timestamp of `faketime -f` and of the variable FAKETIME -> a clock spec.
 *
 *     [@]DATE [MODIFIER]          starts there; without "@" it stands
 *     (+|-)NUMBER[UNIT] [MODIFIER]    the host's time plus or minus that (offset.ts)
 *     % [MODIFIER]                starts at the time of the file in FAKETIME_FOLLOW_FILE
 *     MODIFIER = xRATE | iSECONDS     runs faster or slower; moves by SECONDS with each read
 *
 * What faketime makes of a text is kept; where that is hardly what was meant, a warning says so.
 */
import { quoted } from "../clock/clock-spec-error.ts";
import type { ClockMotion } from "../clock/motion.ts";
import type { ClockBase, ClockSpec } from "../clock/spec.ts";
import { type Nanoseconds, nanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { readDate } from "./date-format.ts";
import { faketimeError } from "./error.ts";
import { NUMBER, readNumber } from "./number.ts";
import { readOffset } from "./offset.ts";
import type { FaketimeSettings } from "./variables.ts";

export type TimestampContext = Pick<FaketimeSettings, "format" | "followFile" | "followsAbsolutely"> & {
	/** The host's CLOCK_REALTIME. */
	readonly now: Nanoseconds;
};

export type FaketimeClock = { readonly spec: ClockSpec; readonly warnings: readonly string[] };

const MODIFIER = String.raw`(?:\s*([xi])(-?${NUMBER}))?\s*$`;
const OFFSET = new RegExp(String.raw`^([+-]${NUMBER})([^+\-\d.,].*?)?${MODIFIER}`, "s");
const BEHIND_DATE = new RegExp(String.raw`^(?:\.(\d{1,9}))?${MODIFIER}`, "s");
const MODIFIER_ALONE = new RegExp(`^${MODIFIER}`, "s");
const FORMS = "@YYYY-MM-DD hh:mm:ss, +NUMBER or -NUMBER with m, h, d or y, %; then iSECONDS";

const unreadable = (text: string): Error =>
	faketimeError(`faketime timestamp ${quoted(text)}: expected ${FORMS}; or use vsyscall run --clock`);

const readMotion = (letter: string | undefined, number: string | undefined): ClockMotion => {
	if (letter === undefined || number === undefined) return { kind: "ticking" };
	const isNegative = number.startsWith("-");
	const size = readNumber(number.replace("-", ""), NANOSECONDS_PER_SECOND);
	if (letter === "x") {
		if (size === NANOSECONDS_PER_SECOND && !isNegative) return { kind: "ticking" };
		const hint = size === 0n ? "; a clock whose waits go on is frozen with i0" : "";
		throw faketimeError(
			`not yet: the rate x${number} moves sleeps and timeouts too, and waits do not follow the clock yet${hint}`,
		);
	}
	if (size === 0n) return { kind: "frozen" };
	if (isNegative) throw faketimeError(`the step i${number} goes back: a clock steps forward, for example i1`);
	return { kind: "step", by: nanoseconds(size) };
};

const clock = (base: ClockBase, motion: ClockMotion): ClockSpec => ({ kind: "clock", base, motion });

const readOffsetClock = (text: string, now: Nanoseconds): FaketimeClock => {
	const match = OFFSET.exec(text);
	const [, number = "", unit = "", letter, modifier] = match ?? [];
	if (match === null || /^e\d/i.test(unit)) throw unreadable(text);
	const trap = /[xi]/.exec(unit)?.[0];
	if (trap !== undefined) {
		const effect = trap === "i" ? "a step of 0, with which the clock stands" : "a rate";
		throw faketimeError(`faketime takes the "${trap}" in ${quoted(text)} for ${effect}: write the units m, h, d or y`);
	}
	const { duration, warnings } = readOffset(number, unit, now);
	return { spec: clock({ kind: "offset", duration }, readMotion(letter, modifier)), warnings };
};

const readDateClock = (text: string, format: string): FaketimeClock => {
	const ticks = text.startsWith("@");
	const date = readDate(ticks ? text.slice(1) : text, format);
	if (date === undefined) {
		const hint = "seconds since 1970 need FAKETIME_FMT=%s; or use vsyscall run --clock";
		throw faketimeError(
			`faketime timestamp ${quoted(text)}: it is not a date of the format ${quoted(format)}; ${hint}`,
		);
	}
	const match = BEHIND_DATE.exec(date.rest);
	if (match === null) throw faketimeError(`faketime timestamp ${quoted(text)}: unexpected ${quoted(date.rest)}`);
	const [, fraction = "", letter, modifier] = match;
	const further = BigInt(fraction.padEnd(9, "0"));
	const time =
		date.time.kind === "instant"
			? ({ kind: "instant", at: nanoseconds(date.time.at + further) } as const)
			: ({ kind: "local", dateTime: nanoseconds(date.time.dateTime + further) } as const);
	const base: ClockBase = { kind: "start", time };
	if (ticks) return { spec: clock(base, readMotion(letter, modifier)), warnings: [] };
	const warnings = [`a date without "@" stands: for a clock that ticks write ${quoted(`@${text}`)}`];
	if (letter !== undefined) warnings.push(`"${letter}${modifier}" has no effect on a date without "@"`);
	return { spec: clock(base, { kind: "frozen" }), warnings };
};

const readFollowedClock = (text: string, context: TimestampContext): FaketimeClock => {
	const { followFile, followsAbsolutely } = context;
	if (followFile === undefined || followFile === "") {
		throw faketimeError('faketime timestamp "%": FAKETIME_FOLLOW_FILE does not name the file to follow');
	}
	const match = MODIFIER_ALONE.exec(text.slice(1));
	if (match === null) throw unreadable(text);
	const motion = followsAbsolutely ? ({ kind: "frozen" } as const) : readMotion(match[1], match[2]);
	return { spec: clock({ kind: "file", follow: followFile }, motion), warnings: [] };
};

/** A comma is a fraction only in some locales, and otherwise the end of the number. */
const COMMA = /\d,\d/;

/**
 * Reads a timestamp in faketime's own grammar. An empty one, and a modifier alone, is an offset of nothing.
 *
 * @throws {VsyscallError} ERR_VSYSCALL_FAKETIME when it is none, or asks for a rate.
 */
export const readFaketimeTimestamp = (text: string, context: TimestampContext): FaketimeClock => {
	if (text.startsWith("%")) return readFollowedClock(text, context);
	if (/^(?:[xi][\d.-]|$)/.test(text)) return readOffsetClock(`+0 ${text}`, context.now);
	if (!/^[+-]/.test(text)) return readDateClock(text, context.format);
	const { spec, warnings } = readOffsetClock(text, context.now);
	if (!COMMA.test(text)) return { spec, warnings };
	return { spec, warnings: [...warnings, `faketime reads the comma in ${quoted(text)} by locale: here it is a point`] };
};

/** What is said of a timestamp for date(1) that looks like one of faketime's own grammar. */
export const dateWarnings = (text: string): readonly string[] =>
	/^(?:[+-]\d[\d.,]*[a-z]*|@\d{4}-.*)(?: [xi].*)?$/.test(text)
		? [`without -f the timestamp ${quoted(text)} is read by date(1): put -f in front of it for faketime's own forms`]
		: [];
