import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ClockSpecError } from "../../src/clock/clock-spec-error.ts";
import { type ClockSpec, formatClockSpec, parseClockSpec } from "../../src/clock/spec.ts";
import { anySpec } from "./arbitraries.ts";

const hour = { kind: "offset", duration: { sign: 1, months: 0n, exact: 3_600_000_000_000n } };
const now = { kind: "now" };
const ticking = { kind: "ticking" };
const frozen = { kind: "frozen" };
const clock = (base: unknown, motion: unknown): unknown => ({ kind: "clock", base, motion });
const file = (follow: string): unknown => ({ kind: "file", follow });
const drift = (partsPerTrillion: bigint): unknown => ({ kind: "drift", partsPerTrillion });
const step = (by: bigint): unknown => ({ kind: "step", by });

const rows: readonly (readonly [string, string, unknown])[] = [
	["host is the host's clock", "host", { kind: "host" }],
	["frozen alone stands at the anchor", "frozen", clock(now, frozen)],
	["a base ticks", "+1h", clock(hour, ticking)],
	["a base can be frozen", "+1h frozen", clock(hour, frozen)],
	["spaces can be many and around", "  +1h   frozen  ", clock(hour, frozen)],
	["a drift alone starts now", "drift=5", clock(now, drift(5_000_000n))],
	["a base can drift", "+1h drift=5", clock(hour, drift(5_000_000n))],
	["a drift can be back", "drift=-12.5", clock(now, drift(-12_500_000n))],
	["a drift can have a plus", "drift=+0.25", clock(now, drift(250_000n))],
	["a drift has six digits behind the point", "drift=0.000001", clock(now, drift(1n))],
	["zeros behind the sixth digit change nothing", "drift=1.0000000000", clock(now, drift(1_000_000n))],
	["a drift can be next to a million", "drift=-999999.999999", clock(now, drift(1n - 10n ** 12n))],
	["a drift can be nothing", "drift=-0", clock(now, drift(0n))],
	["a step alone starts now", "step=1s", clock(now, step(1_000_000_000n))],
	["a base can step", "+1h step=1d2h", clock(hour, step(93_600_000_000_000n))],
	["a step without a unit is in seconds", "step=0.5", clock(now, step(500_000_000n))],
	["a step can be an ISO 8601 duration", "step=PT1M", clock(now, step(60_000_000_000n))],
	["a file goes to the next space", "%/tmp/now frozen", clock(file("/tmp/now"), frozen)],
	["a file can be relative", "%now", clock(file("now"), ticking)],
	[
		"a file can have quotes",
		'%"/tmp/the \\"time\\" \\\\" drift=1',
		clock(file('/tmp/the "time" \\'), drift(1_000_000n)),
	],
	["a quote inside a file is a character", '%a"b', clock(file('a"b'), ticking)],
];

for (const [name, text, expected] of rows) {
	test(`spec: ${name}`, () => assert.deepEqual(parseClockSpec(text), expected));
}

const formatRows: readonly (readonly [string, string, string])[] = [
	["host", "host", "host"],
	["frozen", "frozen", "frozen"],
	["one space between words", "+1h   frozen", "+1h frozen"],
	["an instant in UTC", "2026-07-01 12:00[Europe/Paris] frozen", "@2026-07-01T10:00:00Z frozen"],
	["a local time without a zone", "2026-07-01", "@2026-07-01T00:00:00"],
	["seconds since 1970 as a date", "@0", "@1970-01-01T00:00:00Z"],
	["a drift without a plus and zeros", "drift=+007.500", "drift=7.5"],
	["a step in units", "@0 step=90", "@1970-01-01T00:00:00Z step=1m30s"],
	["a file without needless quotes", '%"/tmp/now"', "%/tmp/now"],
];

for (const [name, text, expected] of formatRows) {
	test(`format: ${name}`, () => assert.equal(formatClockSpec(parseClockSpec(text)), expected));
}

test("format: the host's clock without a freeze is host", () => {
	assert.equal(formatClockSpec({ kind: "clock", base: { kind: "now" }, motion: { kind: "ticking" } }), "host");
});

/** The position counts from 0; the text of the message from 1. */
const errorRows: readonly (readonly [string, string, number, RegExp])[] = [
	["an empty spec", "", 0, /the spec is empty/],
	["only spaces", "   ", 3, /the spec is empty/],
	["an unknown word", "tomorrow", 0, /unknown word "tomorrow" \(expected .*; host\)/],
	["frozen is lower case", "Frozen", 0, /unknown word "Frozen"/],
	["a base behind frozen", "frozen +1d", 7, /unexpected "\+1d"/],
	["frozen twice", "+1d frozen frozen", 11, /frozen is there twice/],
	["a word behind host", "host frozen", 5, /nothing can follow host/],
	["an unknown word behind a base", "+1d slow", 4, /unexpected "slow"/],
	["a rate", "x2", 0, /not yet: "x2" moves sleeps and timeouts too, and waits do not follow the clock yet/],
	["a rate with a fraction", "x0.5", 0, /not yet: "x0\.5" moves sleeps/],
	["a rate behind a base", "+1d x2", 4, /not yet: "x2" moves sleeps/],
	["a later word behind host", "host x2", 5, /not yet: "x2" moves sleeps/],
	["a rate that is no number", "xtwo", 0, /unknown word "xtwo"/],
	[
		"a rate that is no number behind a base",
		"+1d x",
		4,
		/unexpected "x" \(only frozen, drift=PPM or step=DURATION can follow\)/,
	],
	["paused", "paused", 0, /not yet: "paused" moves sleeps/],
	["auto", "frozen auto", 7, /not yet: "auto" moves sleeps/],
	["strobe", "strobe=1s/2s", 0, /not yet: "strobe=1s\/2s" is not in this release/],
	["a drift without a number", "drift=", 6, /expected a number of parts per million/],
	["a drift with a sign alone", "drift=-", 7, /expected a number of parts per million/],
	["a drift with a point alone", "drift=1.", 8, /expected a number/],
	["a drift with a comma", "drift=1,5", 7, /the decimal separator is "\."/],
	["a drift of seven digits behind the point", "drift=0.0000001", 7, /at most 6 digits behind the point/],
	["a drift of a million", "+1h drift=1000000", 10, /less than 1000000 parts per million/],
	["a drift back of a million", "drift=-1000000", 6, /less than 1000000 parts per million/],
	["a drift of very many digits", `drift=${"9".repeat(31)}`, 6, /expected a number of parts per million/],
	["a drift with a unit", "drift=5ppm", 7, /unexpected "ppm"/],
	["a step without a length", "step=", 5, /expected a number/],
	["a step with a sign", "step=-1s", 5, /expected a number/],
	["a step of nothing", "step=0", 5, /a step is more than 0 \(a clock that stands is frozen\)/],
	["a step of months", "step=1mo", 5, /a step has no months or years/],
	["a step that is too long", "step=20001d5000w9999999d", 5, /longer than 20000 years/],
	["frozen and a drift", "frozen drift=5", 7, /a clock has one of frozen and drift, not both/],
	["a drift and a step", "+1h drift=5 step=1s", 12, /a clock has one of drift and step, not both/],
	["a step twice", "step=1s step=1s", 8, /step is there twice/],
	["a file without a name", "%", 1, /expected the name of a file/],
	["a file without a name before a word", "% frozen", 1, /expected the name of a file/],
	["a file with nothing in its quotes", '%""', 1, /expected the name of a file/],
	["a file without its closing quote", '%"/tmp/now', 1, /expected a name in quotes/],
	["a file with an unknown escape", '%"\\n"', 1, /expected a name in quotes/],
	["a file with a NUL", "%a\0b", 1, /no NUL in its name/],
	["letters behind the quotes", '%"a"b', 4, /unexpected "b"/],
	["a tab is not a space", "+1d\tfrozen", 3, /unexpected "\\tfrozen"/],

	["a bare number", "1663468944", 0, /a number needs "@" .* or a sign .*, for example @1663468944 or \+3600$/],
	["a duration without a sign", "30d", 0, /a duration needs a sign/],
	["an ISO 8601 duration without a sign", "P1D", 0, /a duration needs a sign/],
	["an unknown unit", "+30q", 3, /unknown unit "q" \(expected one of ns us ms s m h d w mo y\), for example \+30d$/],
	["a unit in capitals", "+30D", 3, /unknown unit "D"/],
	["a number without a unit behind another", "+1h30", 5, /expected a unit/],
	["a sign alone", "-", 1, /expected a number/],
	["a sign inside", "+1h-30m", 3, /unexpected "-30m"/],
	["a point without digits", "+1.h", 3, /expected a number/],
	["a comma in a number", "+1,5h", 2, /the decimal separator is "\."/],
	["a fraction of a month", "+1.5mo", 2, /a fraction of a month or a year has no fixed length/],
	["a fraction of an ISO 8601 year", "+P0.5Y", 3, /a fraction of a month or a year has no fixed length/],
	["a fraction of a nanosecond", "+1.5ns", 2, /not a whole number of nanoseconds/],
	["a third of a second", "+0.3333333333s", 2, /not a whole number of nanoseconds/],
	["a number of too many digits", `+${"9".repeat(31)}d`, 31, /at most 30 digits/],
	["a duration longer than the range", "+20001y", 0, /longer than 20000 years/],
	["an ISO 8601 duration of nothing", "+P", 2, /expected a number/],
	["T without a time", "+P1DT", 5, /expected a number/],
	["an ISO 8601 part before T that belongs behind it", "+P1H", 3, /unknown part "H" \(expected one of Y M W D\)/],
	["an ISO 8601 part out of order", "+P1D1Y", 5, /"Y" is out of order/],
	["an ISO 8601 part twice", "+PT1H1H", 6, /"H" is out of order/],
	["an ISO 8601 number without its part", "+P1", 3, /expected one of Y M W D/],
	["a fraction before the last ISO 8601 part", "+PT1.5H1M", 4, /only the last part can have a fraction/],
	["sixty seconds in a duration", "+1:60", 3, /60 is outside 00 to 59/],
	["one digit behind a colon", "+1:5", 3, /expected two digits/],
	["four numbers with colons", "+1:00:00:00", 8, /unexpected ":00"/],

	["a month 13", "2026-13-01", 5, /month 13 is outside 01 to 12/],
	["a month 0", "2026-00-01", 5, /month 00 is outside 01 to 12/],
	["30 February", "2026-02-30", 8, /day 30 is outside 01 to 28/],
	["29 February of 1900", "1900-02-29", 8, /day 29 is outside 01 to 28/],
	["a month of one digit", "2026-1-1", 5, /expected two digits \(month\)/],
	["a year of five digits", "@12026-01-01", 1, /a year is four digits, or a sign and six digits/],
	["a year before 0 of four digits", "@-5000-01-01", 1, /a year is four digits, or a sign and six digits/],
	["a year 0 with a sign", "-000000-01-01", 0, /year 0 has no sign/],
	["a year after 9999", "+010000-01-01", 0, /outside the years -9999 to 9999/],
	["a year before -9999", "@-010000-01-01", 1, /outside the years -9999 to 9999/],
	["a time of day without a date", "12:30", 0, /expected a date YYYY-MM-DD/],
	["24:00", "2026-01-01T24:00", 11, /hour 24 is outside 00 to 23/],
	["a minute 60", "2026-01-01T00:60", 14, /minute 60 is outside 00 to 59/],
	["a leap second", "2026-12-31T23:59:60Z", 17, /second 60 is outside 00 to 59/],
	["an hour alone", "2026-01-01T10", 13, /expected ":" and a minute/],
	["T without a time of day", "2026-01-01T", 11, /expected two digits \(hour\)/],
	["a fraction of ten digits", "2026-01-01T00:00:00.1234567890", 29, /at most 9 digits/],
	["a fraction without digits", "2026-01-01T00:00:00.Z", 20, /expected the digits of a fraction/],
	["an offset without a colon", "2026-01-01T00:00+0100", 19, /expected ":" and minutes/],
	["an offset of a day", "2026-01-01T00:00+24:00", 17, /hour 24 is outside/],
	["an offset behind a space", "2026-01-01T00:00 +01:00", 17, /unexpected "\+01:00"/],
	["an offset that leaves the range", "9999-12-31T23:59-12:00", 0, /outside the years -9999 to 9999/],
	["an unknown zone", "2026-01-01[Mars/Olympus]", 11, /unknown time zone "Mars\/Olympus"/],
	["a zone without its end", "2026-01-01[Europe/Paris", 23, /expected "\]"/],
	["a zone without a name", "2026-01-01[]", 11, /expected the name of a time zone/],
	[
		"an offset the zone does not have then",
		"2026-07-01T12:00+01:00[Europe/Paris]",
		16,
		/Europe\/Paris does not have this offset/,
	],
	[
		"an offset at a skipped time",
		"2026-03-29T02:30+01:00[Europe/Paris]",
		16,
		/Europe\/Paris does not have this offset/,
	],
	["@ alone", "@", 1, /expected a date YYYY-MM-DD or seconds since 1970/],
	["@ before a plus", "@+5", 1, /expected a date YYYY-MM-DD or seconds since 1970/],
	["seconds beyond the range", "@999999999999", 1, /outside the years -9999 to 9999/],
	["a fraction of a nanosecond since 1970", "@0.1234567891", 2, /not a whole number of nanoseconds/],
	["letters behind seconds since 1970", "@0s", 2, /unexpected "s"/],
];

const errorOf = (text: string): ClockSpecError => {
	try {
		parseClockSpec(text);
	} catch (error) {
		assert.ok(error instanceof ClockSpecError, String(error));
		return error;
	}
	throw new assert.AssertionError({ message: `${JSON.stringify(text)} was accepted` });
};

for (const [name, text, position, reason] of errorRows) {
	test(`refused: ${name} (${JSON.stringify(text)})`, () => {
		const error = errorOf(text);
		assert.match(error.message, reason);
		assert.equal(error.position, position);
		assert.equal(error.input, text);
	});
}

test("a refusal has a code, a name and the whole message", () => {
	const error = errorOf("+30q");
	assert.equal(error.code, "ERR_VSYSCALL_CLOCK_SPEC");
	assert.equal(error.name, "ClockSpecError");
	assert.equal(
		error.message,
		'clock spec "+30q": position 4: unknown unit "q" (expected one of ns us ms s m h d w mo y), for example +30d',
	);
});

test("every refusal is one printable line that ends with a spec that is accepted", () => {
	for (const [, text] of errorRows) {
		const { message } = errorOf(text);
		assert.match(message, /^[\x20-\x7e]+$/);
		const example = message.slice(message.lastIndexOf(", for example ") + ", for example ".length);
		for (const spec of example.split(" or ")) assert.ok(parseClockSpec(spec), spec);
	}
});

test("format and parse are inverse", () => {
	fc.assert(
		fc.property(anySpec, (spec: ClockSpec) => {
			assert.deepEqual(parseClockSpec(formatClockSpec(spec)), spec);
		}),
		{ numRuns: 500 },
	);
});

const refuseOrRoundTrip = (text: string): void => {
	let spec: ClockSpec;
	try {
		spec = parseClockSpec(text);
	} catch (error) {
		assert.ok(error instanceof ClockSpecError, String(error));
		assert.ok(error.position >= 0 && error.position <= text.length, error.message);
		assert.doesNotMatch(error.message, /[\p{Cc}\u2028\u2029]/u);
		return;
	}
	assert.deepEqual(parseClockSpec(formatClockSpec(spec)), spec);
};

const fragments = fc.constantFrom(
	..."+ - @ % : . , T Z [ ] P y mo w d h m s ms us ns frozen host x2 drift= step= 2026 -01 -31 12 :30 :59 .5 000044 99999".split(
		" ",
	),
	" ",
	"[Europe/Paris]",
	"+01:00",
	"2026-03-29T02:30",
);

test("any text gives a spec or a ClockSpecError with a position inside it", () => {
	fc.assert(fc.property(fc.string(), refuseOrRoundTrip), { numRuns: 1000 });
	fc.assert(fc.property(fc.string({ unit: "binary" }), refuseOrRoundTrip), { numRuns: 1000 });
	fc.assert(
		fc.property(
			fc.array(fragments, { maxLength: 8 }).map((parts) => parts.join("")),
			refuseOrRoundTrip,
		),
		{
			numRuns: 5000,
		},
	);
});

test("a part of a spec, or a spec with one character changed, gives a spec or a ClockSpecError", () => {
	const changed = fc
		.record({ spec: anySpec, at: fc.nat(40), by: fc.string({ maxLength: 1 }) })
		.map(({ spec, at, by }) => {
			const text = formatClockSpec(spec);
			return text.slice(0, at) + by + text.slice(at + 1);
		});
	fc.assert(fc.property(changed, refuseOrRoundTrip), { numRuns: 1000 });
});

test("a text of 100,000 characters is answered at once", { timeout: 10_000 }, () => {
	for (const part of ["+", "1", "+1h", " ", "@", "[", "frozen ", "1.", "P", ":", "%", '%"', "drift=", "step=1"]) {
		const repeated = part.repeat(100_000 / part.length);
		for (const before of ["", "+", "@", "2026-01-01", "%", '%"', "drift=", "step="])
			refuseOrRoundTrip(before + repeated);
	}
});
