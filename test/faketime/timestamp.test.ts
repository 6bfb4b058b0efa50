/** faketime's own timestamps: what they mean, what is said, what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatClockSpec, parseClockSpec } from "../../src/clock/spec.ts";
import { VsyscallError } from "../../src/errors.ts";
import { dateWarnings, readFaketimeTimestamp, type TimestampContext } from "../../src/faketime/timestamp.ts";
import { DEFAULT_FORMAT } from "../../src/faketime/variables.ts";
import { nanoseconds } from "../../src/units.ts";

const CONTEXT: TimestampContext = {
	// 2026-11-25T08:00:00Z
	now: nanoseconds(1_795_593_600_000_000_000n),
	format: DEFAULT_FORMAT,
	followFile: "/tmp/now",
	followsAbsolutely: false,
};

type Row = readonly [name: string, timestamp: string, spec: string, warnings: readonly RegExp[], TimestampContext?];

const NONE: readonly RegExp[] = [];
const STANDS = /^a date without "@" stands: for a clock that ticks write "@/;
const COMMA = /^faketime reads the comma in ".*" by locale: here it is a point$/;
const withFormat = (format: string): TimestampContext => ({ ...CONTEXT, format });

const rows: readonly Row[] = [
	["an offset is in seconds", "-120", "-2m", NONE],
	["m is minutes", "+10m", "+10m", NONE],
	["h is hours", "-2h", "-2h", NONE],
	["d is days", "+14d", "+14d", NONE],
	["s is ignored, so seconds", "+90s", "+1m30s", NONE],
	["an offset can be nothing", "+0", "+0s", NONE],
	["an empty timestamp is an offset of nothing", "", "+0s", NONE],
	["an offset has a fraction", "+1.5h", "+1h30m", NONE],
	["a comma is a point, in every locale", "+1,5h", "+1h30m", [COMMA]],
	[
		"a year is 365 days; by the calendar it may not be",
		"-20y",
		"-7300d",
		[/^faketime reads "-20y" as -7300d; by the calendar it is vsyscall run --clock -20y$/],
	],
	["a year without a leap day is no difference", "+1y", "+365d", NONE],
	["a part of a year has no other reading", "+1.5y", "+547d12h", NONE],
	["words begin with their unit", "+2 hours", "+2h", NONE],
	["days in full", "-3days", "-3d", NONE],
	[
		"years in full are of 365 days too",
		"-20 years",
		"-7300d",
		[/as -7300d; by the calendar it is vsyscall run --clock -20y$/],
	],
	[
		"one unit, the first of m h d y that is there",
		"+2h30m",
		"+2m",
		[/^faketime reads "\+2h30m" as \+2m; by the calendar it is vsyscall run --clock \+2h30m$/],
	],
	[
		"two units without m",
		"+1d2h",
		"+1h",
		[/reads "\+1d2h" as \+1h; by the calendar it is vsyscall run --clock \+1d2h$/],
	],
	["two offsets", "+1d+2h", "+1h", [/reads "\+1d\+2h" as \+1h: it has the units m, h, d and y$/]],
	["a week is no unit", "+1w", "+1s", [/reads "\+1w" as \+1s; by the calendar it is vsyscall run --clock \+1w$/]],
	["a month is a minute", "+1mo", "+1m", [/reads "\+1mo" as \+1m; by the calendar/]],
	["a month in full is a minute", "+1 month", "+1m", [/reads "\+1 month" as \+1m: it has the units/]],
	["seconds in full are days", "+5 seconds", "+5d", [/reads "\+5 seconds" as \+5d: it has the units/]],
	["our word behind an offset is ignored", "+1d frozen", "+1d", [/reads "\+1d frozen" as \+1d: it has the units/]],

	["a date stands", "2020-12-24 20:30:00", "@2020-12-24T20:30:00 frozen", [STANDS]],
	["a date with @ ticks", "@2020-12-24 20:30:00", "@2020-12-24T20:30:00", NONE],
	["a date has a fraction", "@2020-12-24 20:30:00.25", "@2020-12-24T20:30:00.25", NONE],
	["a date has short numbers", "@2020-1-4 2:3:0", "@2020-01-04T02:03:00", NONE],
	["a date in another format", "@24 Dec 2020 20:30", "@2020-12-24T20:30:00", NONE, withFormat("%d %b %Y %R")],
	["a date in seconds since 1970", "@1663468944.5", "@2022-09-18T02:42:24.5Z", NONE, withFormat("%s")],
	["seconds since 1970 stand without @", "0", "@1970-01-01T00:00:00Z frozen", [STANDS], withFormat("%s")],

	["a rate of 1 is none", "+1d x1", "+1d", NONE],
	["a step", "+1d i2.0", "+1d step=2s", NONE],
	["a step with a comma", "+1d i1,5", "+1d step=1s500ms", [COMMA]],
	["a step alone", "i2", "+0s step=2s", NONE],
	["a step of 0 stands", "+0 i0", "+0s frozen", NONE],
	["a step from a date", "@2020-12-24 20:30:00 i1", "@2020-12-24T20:30:00 step=1s", NONE],
	[
		"a step of a date without @ is ignored",
		"2020-12-24 20:30:00 i1",
		"@2020-12-24T20:30:00 frozen",
		[STANDS, /^"i1" has no effect on a date without "@"$/],
	],
	[
		"a rate of a date without @ is ignored",
		"2020-12-24 20:30:00 x2",
		"@2020-12-24T20:30:00 frozen",
		[STANDS, /^"x2" has no effect/],
	],

	["the time of a file", "%", "%/tmp/now", NONE],
	["the time of a file, with steps", "% i1", "%/tmp/now step=1s", NONE],
	["the time of a file that does not tick", "%", "%/tmp/now frozen", NONE, { ...CONTEXT, followsAbsolutely: true }],
];

for (const [name, timestamp, spec, warnings, context] of rows) {
	test(`faketime: ${name} (${timestamp})`, () => {
		const clock = readFaketimeTimestamp(timestamp, context ?? CONTEXT);
		assert.deepEqual(clock.spec, parseClockSpec(spec));
		assert.equal(clock.warnings.length, warnings.length, clock.warnings.join("\n"));
		warnings.forEach((warning, index) => assert.match(clock.warnings[index] ?? "", warning));
	});
}

const refusals: readonly (readonly [name: string, timestamp: string, message: RegExp, TimestampContext?])[] = [
	["a rate", "+1d x2", /^not yet: the rate x2 moves sleeps and timeouts too, and waits do not follow the clock yet$/],
	["a rate alone", "x10", /^not yet: the rate x10 moves/],
	["a rate with a comma", "+1y x0,5", /^not yet: the rate x0,5 moves/],
	[
		"a rate of 0",
		"@2020-12-24 20:30:00 x0",
		/^not yet: the rate x0 moves.*; a clock whose waits go on is frozen with i0$/,
	],
	["a rate back", "@2020-12-24 20:30:00 x-1", /^not yet: the rate x-1 moves/],
	["a step back", "+0 i-5", /^the step i-5 goes back: a clock steps forward, for example i1$/],
	[
		"an i in a word, which is a step of 0",
		"+30min",
		/^faketime takes the "i" in "\+30min" for a step of 0, with which the clock stands/,
	],
	["an x in a word", "+1d next", /^faketime takes the "x" in "\+1d next" for a rate/],
	["an ISO 8601 duration, which is nothing", "+P1M", /^faketime timestamp "\+P1M": expected @YYYY-MM-DD/],
	["a sign alone", "+", /^faketime timestamp "\+": expected/],
	["an exponent", "+1e3", /^faketime timestamp "\+1e3": expected/],
	["a part of a nanosecond", "+0.0000000001", /^"0\.0000000001" is not a whole number of nanoseconds/],
	[
		"a date without a time of day",
		"2030-01-01",
		/^faketime timestamp "2030-01-01": it is not a date of the format "%Y-%m-%d %T"; seconds/,
	],
	["a date of ISO 8601", "@2030-01-01T00:00:00", /it is not a date of the format/],
	["seconds since 1970 without their format", "@1663468944", /seconds since 1970 need FAKETIME_FMT=%s/],
	["30 February", "@2030-02-30 00:00:00", /it is not a date of the format/],
	["hour 24", "@2030-02-03 24:00:00", /it is not a date of the format/],
	[
		"letters behind a date",
		"@2030-01-01 00:00:00junk",
		/^faketime timestamp "@2030-01-01 00:00:00junk": unexpected "junk"$/,
	],
	["a zone behind a date", "@2030-01-01 00:00:00Z", /unexpected "Z"/],
	["a word", "tomorrow", /it is not a date of the format/],
	[
		"a file that is not named",
		"%",
		/^faketime timestamp "%": FAKETIME_FOLLOW_FILE does not name the file to follow$/,
		{ ...CONTEXT, followFile: undefined },
	],
	["letters behind a file", "%abc", /^faketime timestamp "%abc": expected/],
	[
		"a format with a day of the week",
		"Thu",
		/^not yet: FAKETIME_FMT with %a; use %s or %Y-%m-%d %T$/,
		withFormat("%a"),
	],
	["a format without a day", "2030-01", /it is not a date of the format "%Y-%m"/, withFormat("%Y-%m")],
];

for (const [name, timestamp, message, context] of refusals) {
	test(`faketime refuses ${name} (${timestamp})`, () => {
		const code = "ERR_VSYSCALL_FAKETIME";
		assert.throws(() => readFaketimeTimestamp(timestamp, context ?? CONTEXT), { code, message });
	});
}

test("any text gives a clock spec that has a text, or a VsyscallError of one printable line", () => {
	const parts = fc.constantFrom(
		..."+ - @ % . , x i x2 i1 m h d y s 1 30 0 2030-01-01 00:00:00 .5 é".split(" "),
		" ",
		"\n",
	);
	const texts = fc.oneof(
		fc.string(),
		fc.array(parts, { maxLength: 6 }).map((words) => words.join("")),
	);
	fc.assert(
		fc.property(texts, fc.constantFrom(DEFAULT_FORMAT, "%s", "%d %b %Y"), (text, format) => {
			try {
				const { spec } = readFaketimeTimestamp(text, withFormat(format));
				assert.deepEqual(parseClockSpec(formatClockSpec(spec)), spec);
			} catch (error) {
				assert.ok(error instanceof VsyscallError, String(error));
				assert.doesNotMatch(error.message, /[\p{Cc}]/u);
			}
		}),
		{ numRuns: 3000 },
	);
});

const dateRows: readonly (readonly [string, string, boolean])[] = [
	["an offset", "+15d", true],
	["an offset with a rate", "+1y x2", true],
	["a start", "@2030-01-01 00:00:00", true],
	["seconds since 1970", "@1663468944", false],
	["a date", "2030-01-01", false],
	["words", "last friday 5 pm", false],
	["a sign and words", "+2 days", false],
];

for (const [name, text, isWarned] of dateRows) {
	test(`without -f ${name} is ${isWarned ? "" : "not "}warned of (${text})`, () => {
		assert.equal(dateWarnings(text).length, isWarned ? 1 : 0);
	});
}
