/** Changes of a running clock: exact, and without a jump where none is asked for. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Temporal } from "temporal-polyfill";
import { type WallClock, wallTime } from "../../src/clock/clock.ts";
import { parseDuration } from "../../src/clock/duration-grammar.ts";
import { advance, freeze, resume, setDrift, setWall } from "../../src/clock/steering.ts";
import { type Nanoseconds, nanoseconds } from "../../src/units.ts";
import { modernInstant } from "./arbitraries.ts";

const instant = (text: string): Nanoseconds => nanoseconds(Temporal.Instant.from(text).epochNanoseconds);
const later = (time: Nanoseconds, distance: bigint): Nanoseconds => nanoseconds(time + distance);

const YEAR = 365n * 86_400n * 1_000_000_000n;
const HOST = instant("2026-01-31T10:00:00.000000001Z");

const anyRate = fc.oneof(fc.bigInt(1n - (1n << 40n), (1n << 40n) - 1n), fc.bigInt(-1000n, 1000n));
/** How long a clock has run, and how long it runs on: forward and, as NTP may step it, back. */
const anyDistance = fc.bigInt(-YEAR, 30n * YEAR);

const ticking: fc.Arbitrary<WallClock> = fc.oneof(
	fc.constant<WallClock>({ kind: "host" }),
	fc.bigInt(-100n * YEAR, 100n * YEAR).map((offset): WallClock => ({ kind: "offset", offset: nanoseconds(offset) })),
	fc
		.record({ hostAnchor: modernInstant, at: modernInstant, rate: anyRate })
		.map((drift): WallClock => ({ kind: "drift", ...drift })),
);
const standing: fc.Arbitrary<WallClock> = fc.oneof(
	modernInstant.map((at): WallClock => ({ kind: "frozen", at })),
	fc
		.record({ at: modernInstant, by: fc.bigInt(1n, YEAR).map(nanoseconds) })
		.map((step): WallClock => ({ kind: "step", ...step })),
);
const anyClock = fc.oneof(ticking, standing);
const anyExact = fc
	.record({ sign: fc.constantFrom(1 as const, -1 as const), exact: fc.bigInt(0n, 10n * YEAR).map(nanoseconds) })
	.map((duration) => ({ ...duration, months: 0n }));

describe("advance", () => {
	test("by exact durations moves by just that", () => {
		fc.assert(
			fc.property(anyClock, modernInstant, anyExact, anyDistance, (clock, host, duration, distance) => {
				const moved = advance(clock, duration, host);
				assert.equal(moved.kind, clock.kind === "host" ? "offset" : clock.kind);
				const at = later(host, distance);
				assert.equal(wallTime(moved, at) - wallTime(clock, at), BigInt(duration.sign) * duration.exact);
			}),
		);
	});

	test("by a, then by b, is by a + b, whenever b comes", () => {
		const twice = fc.record({ first: anyExact, second: anyExact });
		fc.assert(
			fc.property(anyClock, modernInstant, twice, anyDistance, (clock, host, { first, second }, distance) => {
				const at = later(host, distance);
				const sum = BigInt(first.sign) * first.exact + BigInt(second.sign) * second.exact;
				const once = { sign: sum < 0n ? -1 : 1, months: 0n, exact: nanoseconds(sum < 0n ? -sum : sum) } as const;
				const both = advance(advance(clock, first, host), second, at);
				assert.equal(wallTime(both, at), wallTime(advance(clock, once, host), at));
			}),
		);
	});

	test("counts months from the date that the clock shows", () => {
		const shown = instant("2027-01-31T08:00Z");
		const clock: WallClock = { kind: "offset", offset: nanoseconds(shown - HOST) };
		assert.equal(wallTime(advance(clock, parseDuration("1mo"), HOST), HOST), instant("2027-02-28T08:00Z"));
	});

	test("back is possible", () => {
		const clock = advance({ kind: "frozen", at: instant("2024-02-29T00:00Z") }, parseDuration("-1y"), HOST);
		assert.deepEqual(clock, { kind: "frozen", at: instant("2023-02-28T00:00Z") });
	});

	for (const text of ["9000y", "-13000y", "20000y"]) {
		test(`out of the years is refused: ${text}`, () => {
			assert.throws(() => advance({ kind: "host" }, parseDuration(text), HOST), {
				code: "ERR_VSYSCALL_CLOCK",
				message:
					"the clock would be outside the years -9999 to 9999; it stays at 2026-01-31T10:00:00.000000001Z; move it by less",
			});
		});
	}
});

describe("freeze and resume", () => {
	test("freeze stands at what the clock shows", () => {
		fc.assert(
			fc.property(anyClock, modernInstant, anyDistance, (clock, host, distance) => {
				const frozen = freeze(clock, host);
				assert.equal(frozen.kind, "frozen");
				assert.equal(wallTime(frozen, later(host, distance)), wallTime(clock, host));
			}),
		);
	});

	test("resume goes on from where the clock stands", () => {
		fc.assert(
			fc.property(standing, modernInstant, anyDistance, (clock, host, distance) => {
				const resumed = resume(clock, host);
				assert.equal(wallTime(resumed, host), wallTime(clock, host));
				assert.equal(wallTime(resumed, later(host, distance)), wallTime(clock, host) + distance);
			}),
		);
	});

	test("resume leaves a clock that ticks as it is, and freeze one that stands", () => {
		fc.assert(
			fc.property(ticking, modernInstant, modernInstant, (clock, first, second) => {
				assert.equal(resume(clock, first), clock);
				const frozen = freeze(clock, first);
				assert.equal(freeze(frozen, second), frozen);
			}),
		);
	});

	test("a pause is lost to the clock and nothing else is", () => {
		fc.assert(
			fc.property(anyClock, modernInstant, anyDistance, (clock, host, pause) => {
				const end = later(host, pause);
				assert.equal(wallTime(resume(freeze(clock, host), end), end), wallTime(clock, host));
			}),
		);
	});
});

describe("set", () => {
	test("shows the instant, and what the clock does goes on", () => {
		fc.assert(
			fc.property(anyClock, modernInstant, modernInstant, anyDistance, (clock, host, to, distance) => {
				const set = setWall(clock, to, host);
				assert.equal(wallTime(set, host), to);
				const at = later(host, distance);
				assert.equal(wallTime(set, at) - to, wallTime(clock, at) - wallTime(clock, host));
				if (clock.kind === "step") assert.deepEqual(set, { ...clock, at: to });
			}),
		);
	});

	test("outside the years is refused", () => {
		const after = instant("+010000-01-01T00:00Z");
		assert.throws(() => setWall({ kind: "host" }, after, HOST), { code: "ERR_VSYSCALL_CLOCK" });
		assert.equal(wallTime(setWall({ kind: "host" }, later(after, -1n), HOST), HOST), after - 1n);
	});
});

describe("a drift", () => {
	test("begins and changes without a jump", () => {
		fc.assert(
			fc.property(ticking, modernInstant, anyRate, anyDistance, (clock, host, rate, distance) => {
				const drifting = setDrift(clock, rate, host);
				assert.equal(wallTime(drifting, host), wallTime(clock, host));
				const gained = wallTime(drifting, later(host, distance)) - wallTime(drifting, host) - distance;
				// The floor of a quotient, by its definition.
				assert.ok(gained * (1n << 40n) <= distance * rate && distance * rate < (gained + 1n) * (1n << 40n));
			}),
		);
	});

	test("of 0 ends it without a jump", () => {
		fc.assert(
			fc.property(ticking, modernInstant, (clock, host) => {
				const ended = setDrift(clock, 0n, host);
				assert.equal(ended.kind, clock.kind === "host" ? "host" : "offset");
				assert.equal(wallTime(ended, host), wallTime(clock, host));
			}),
		);
	});

	const refused: readonly (readonly [string, WallClock, bigint, RegExp])[] = [
		["of a frozen clock", { kind: "frozen", at: HOST }, 1n, /^a clock that is frozen cannot drift: resume it first$/],
		["of a clock that steps", { kind: "step", at: HOST, by: HOST }, 1n, /steps with each read cannot drift/],
		["that stops the clock", { kind: "host" }, -(1n << 40n), /less than 1000000 parts per million/],
		["that is too fast", { kind: "host" }, 1n << 40n, /less than 1000000 parts per million/],
	];
	for (const [name, clock, rate, message] of refused) {
		test(`${name} is refused`, () => {
			assert.throws(() => setDrift(clock, rate, HOST), { code: "ERR_VSYSCALL_CLOCK", message });
		});
	}
});
