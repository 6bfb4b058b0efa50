/** The host's page read inline, against exact arithmetic: the counter is the processor's, everything else is of our choice. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Assembler } from "../../src/asm/assembler.ts";
import { rax, rdx } from "../../src/asm/registers.ts";
import { SYS_clock_gettime } from "../../src/linux/constants.ts";
import { rawSyscall } from "../../src/linux/ffi.ts";
import { nanoseconds } from "../../src/units.ts";
import { callable, mapAssembled } from "./machine.ts";
import { type ClockMode, type Counting, FakeHostSandbox, KNOWN_SHIFTS, type Time } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const RUNS = 20_000;
const TAI = 37n;
const U64 = 1n << 64n;
/** A clock source's cycles are 63 bits with a sign, so that a counter that lies behind is told from one far ahead. */
const LARGEST_LIMIT = 1n << 62n;
const CHAINED: Time = { seconds: 77n, nanoseconds: 7n };
const HOUR = 3600n * E9;
const YEARS = nanoseconds(315_569_520n * E9 + 123_456_789n);

const readCounter = ((): (() => bigint) => {
	const assembler = new Assembler(64);
	assembler.rdtscp();
	assembler.lfence();
	assembler.shl(rdx, 32);
	assembler.or(rax, rdx);
	assembler.ret();
	const call = callable(mapAssembled(assembler.assemble()));
	return () => call();
})();

/** A page as a kernel could have it, updated `age` cycles ago. */
interface Page extends Pick<Counting, "multiplier" | "shift" | "maxCycles"> {
	readonly age: bigint;
	readonly base: Time;
}

/** Rates from a tick in many days, where one value is right, to several per cycle. */
const pages: fc.Arbitrary<Page> = fc
	.record({
		multiplier: fc.oneof(fc.bigInt(1n, 1000n), fc.bigInt(1n, (1n << 30n) - 1n)),
		shift: fc.oneof(fc.constantFrom(23n, 24n), fc.bigInt(1n, 32n)),
		seconds: fc.bigInt(0n, 1n << 34n),
		rest: fc.bigInt(0n, E9 - 1n),
		fraction: fc.bigInt(0n, (1n << 32n) - 1n),
		age: fc.oneof(fc.bigInt(0n, 1000n), fc.bigInt(0n, 1n << 31n), fc.bigInt(0n, 1n << 36n)),
		slack: fc.bigInt(0n, 1n << 40n),
	})
	.map(({ multiplier, shift, seconds, rest, fraction, age, slack }) => {
		const nanosecondsShifted = (rest << shift) | (fraction & ((1n << shift) - 1n));
		const overflow = (U64 - nanosecondsShifted) / multiplier - 1n;
		const limit = overflow < LARGEST_LIMIT ? overflow : LARGEST_LIMIT;
		return {
			multiplier,
			shift,
			age,
			base: { seconds, nanoseconds: nanosecondsShifted },
			maxCycles: limit - (slack % limit),
		};
	})
	// The kernel brings its page up to date within this time; more would only repeat the carry.
	.filter(({ multiplier, shift, age }) => ((age + (1n << 24n)) * multiplier) >> shift < HOUR);

interface Drift {
	readonly at: bigint;
	/** From the host's base. */
	readonly anchor: bigint;
	readonly rate: bigint;
}

const RATE_SHIFT = 40n;
const RATE_ONE = 1n << RATE_SHIFT;
/** Whether a drift is from half as fast to one and a half. */
const fits = (rate: bigint): boolean => rate >= -RATE_ONE / 2n && rate < RATE_ONE / 2n;

const drifts: fc.Arbitrary<Drift> = fc.record({
	at: fc.bigInt(-62_135_596_800n * E9, 253_402_300_799n * E9),
	anchor: fc.oneof(fc.bigInt(-2n * E9, 2n * E9), fc.bigInt(-(1n << 32n) * E9, (1n << 32n) * E9)),
	rate: fc.oneof(
		fc.constantFrom(0n, 1n, -1n, RATE_ONE / 2n - 1n, -RATE_ONE / 2n, RATE_ONE - 1n, 1n - RATE_ONE),
		fc.bigInt(-(1n << 31n), 1n << 31n),
		fc.bigInt(-RATE_ONE / 2n, RATE_ONE / 2n - 1n),
		fc.bigInt(1n - RATE_ONE, RATE_ONE - 1n),
	),
});

const exact = ({ base, multiplier, shift }: Page, delta: bigint): bigint =>
	base.seconds * E9 + ((base.nanoseconds + delta * multiplier) >> shift);

/** The wall on the line of a drift, at the host's time with its fraction. */
const drifted = ({ base, multiplier, shift }: Page, { at, anchor, rate }: Drift, delta: bigint): bigint => {
	const elapsed = ((base.seconds * E9 - anchor) << shift) + base.nanoseconds + delta * multiplier;
	return at + ((elapsed * (RATE_ONE + rate)) >> (shift + RATE_SHIFT));
};

const LAYOUTS: readonly (readonly [keyof typeof KNOWN_SHIFTS, limitOf: (page: Page) => bigint])[] = [
	["fine", ({ maxCycles }) => maxCycles],
	["fine without max_cycles", () => (1n << 32n) - 1n],
];

for (const [layout, limitOf] of LAYOUTS) {
	describe(`the host's fine clocks, ${layout}`, () => {
		const fake = new FakeHostSandbox({ layout, taiSeconds: TAI });
		const { call, output, outputAddress, page: vvar } = fake.sandbox;

		const gettime = (id: number): bigint => {
			output.fill(-1n);
			assert.equal(BigInt.asIntN(32, call("clock_gettime", id, outputAddress)), 0n);
			const [seconds = 0n, rest = -1n] = output;
			assert.ok(rest >= 0n && rest < E9, `${rest} nanoseconds`);
			return seconds * E9 + rest;
		};

		const show = (page: Page, id: number): bigint => {
			fake.setSequence(2);
			fake.setClock(id, CHAINED);
			const cycleLast = readCounter() - page.age;
			fake.count({ ...page, cycleLast });
			fake.setBase(id, page.base);
			return cycleLast;
		};

		test("are base + (counter - last) * multiplier >> shift, to the last bit", () => {
			let certain = 0;
			fc.assert(
				fc.property(pages, fc.constantFrom(0, 1, 7, 11), fc.boolean(), (page, id, isAhead) => {
					vvar.push(isAhead ? { kind: "offset", offset: YEARS } : { kind: "host" });
					const shift = isAhead && (id === 0 || id === 11) ? YEARS : 0n;
					const cycleLast = show(page, id);
					const calls = fake.calls;
					const first = readCounter() - cycleLast;
					const time = gettime(id) - shift;
					const last = readCounter() - cycleLast;
					const limit = limitOf(page);
					if (fake.calls > calls) {
						assert.ok(last > limit, "asked the host for what the page tells");
						assert.equal(time, CHAINED.seconds * E9 + CHAINED.nanoseconds);
						return;
					}
					assert.ok(first <= limit, "went beyond what 64 bits hold");
					const [low, high] = [exact(page, first), exact(page, last)];
					assert.ok(low <= time && time <= high, `${low} ${time} ${high}`);
					if (low === high) certain++;
				}),
				{ numRuns: RUNS },
			);
			assert.ok(certain > RUNS / 20, `${certain} values without any doubt`);
		});

		test("drift with their fraction of a nanosecond, rounded down once", () => {
			let [certain, refined] = [0, 0];
			fc.assert(
				fc.property(pages, drifts, fc.constantFrom(0, 11), (page, drift, id) => {
					const { at, anchor, rate } = drift;
					const hostAnchor = nanoseconds(page.base.seconds * E9 + anchor);
					vvar.push({ kind: "drift", at: nanoseconds(at), hostAnchor, rate });
					const seen = { ...drift, anchor: hostAnchor };
					const cycleLast = show(page, id);
					fake.setBase(0, page.base);
					const calls = fake.calls;
					const first = readCounter() - cycleLast;
					const time = gettime(id) - (id === 11 ? TAI * E9 : 0n);
					const last = readCounter() - cycleLast;
					if (fake.calls > calls) return;
					// By whole nanoseconds of the host's where the numbers do not fit.
					const whole = at + (((exact(page, first) - hostAnchor) * (RATE_ONE + rate)) >> RATE_SHIFT);
					const [low, high] = [drifted(page, seen, first), drifted(page, seen, last)];
					const isFolded =
						page.shift === BigInt(KNOWN_SHIFTS[layout]) &&
						fits(rate) &&
						(page.multiplier * (RATE_ONE + rate)) << (24n - page.shift) < U64;
					assert.ok((isFolded ? low : whole) <= time && time <= high, `${low} ${time} ${high}`);
					if (isFolded && low === high) certain++;
					if (isFolded && low === high && low > whole) refined++;
				}),
				{ numRuns: RUNS },
			);
			assert.ok(certain > RUNS / 40, `${certain} values without any doubt`);
			assert.ok(refined > 0, "no value that whole nanoseconds would have missed");
		});

		test("gettimeofday is the microsecond of the same nanosecond", () => {
			vvar.push({ kind: "offset", offset: YEARS });
			fc.assert(
				fc.property(pages, (page) => {
					const cycleLast = show(page, 0);
					const calls = fake.calls;
					const first = readCounter() - cycleLast;
					assert.equal(BigInt.asIntN(32, call("gettimeofday", outputAddress, 0)), 0n);
					const last = readCounter() - cycleLast;
					if (fake.calls > calls) return;
					const [seconds = 0n, microseconds = -1n] = output;
					const time = seconds * 1_000_000n + microseconds;
					const [low, high] = [first, last].map((delta) => (exact(page, delta) + YEARS) / 1000n);
					assert.ok(microseconds >= 0n && microseconds < 1_000_000n);
					assert.ok((low ?? 0n) <= time && time <= (high ?? 0n), `${low} ${time} ${high}`);
				}),
				{ numRuns: RUNS / 4 },
			);
		});

		test("a counter before the last update is the host's business", () => {
			fc.assert(
				fc.property(pages, fc.constantFrom(0, 1, 7, 11), fc.bigInt(1n << 33n, 1n << 62n), (page, id, ahead) => {
					vvar.push({ kind: "host" });
					show(page, id);
					fake.count({ ...page, cycleLast: readCounter() + ahead });
					assert.equal(gettime(id), CHAINED.seconds * E9 + CHAINED.nanoseconds);
				}),
				{ numRuns: RUNS / 10 },
			);
		});

		const away: readonly (readonly [string, sequence: number, mode: ClockMode])[] = [
			["kvm-clock", 2, 2],
			["a time namespace", 1, 0x7fff_ffff],
			["a kernel that never ends to write", 3, 1],
		];
		for (const [name, sequence, mode] of away) {
			test(`${name} is the host's business, in every function`, () => {
				vvar.push({ kind: "offset", offset: YEARS });
				for (const id of [0, 1, 7, 11]) fake.setClock(id, CHAINED);
				fake.setSequence(sequence, mode);
				const chained = CHAINED.seconds * E9 + CHAINED.nanoseconds;
				for (let round = 0; round < 100; round++) {
					for (const id of [0, 11]) assert.equal(gettime(id), chained + YEARS);
					for (const id of [1, 7]) assert.equal(gettime(id), chained);
					assert.equal(BigInt.asIntN(32, call("gettimeofday", outputAddress, 0)), 0n);
					assert.equal((output[0] ?? 0n) * 1_000_000n + (output[1] ?? 0n), (chained + YEARS) / 1000n);
				}
			});
		}

		test("without a clock in user space the image makes the system call itself, whose time is shifted once", () => {
			vvar.push({ kind: "offset", offset: YEARS });
			fake.setSequence(2, 0);
			const time = new BigInt64Array(2);
			const kernel = (id: number): bigint => {
				assert.equal(rawSyscall(SYS_clock_gettime, id, time), 0);
				return (time[0] ?? 0n) * E9 + (time[1] ?? 0n);
			};
			const calls = fake.calls;
			for (let round = 0; round < 1000; round++) {
				for (const id of [0, 11]) {
					const before = kernel(id);
					const seen = gettime(id) - YEARS;
					assert.ok(before <= seen && seen <= kernel(id));
				}
			}
			assert.equal(fake.calls, calls);
		});
	});
}
