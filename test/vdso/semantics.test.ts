/** What the functions return, against exact arithmetic: the image runs in this process on a host whose clocks we choose. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type WallClock, wallTime } from "../../src/clock/clock.ts";
import { type Nanoseconds, nanoseconds, splitNanoseconds } from "../../src/units.ts";
import { FakeHostSandbox, type KnownLayout, type Time } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const TAI = 37n;
const ENOSYS = -38;
const EINVAL = -22;
const [REALTIME, MONOTONIC, REALTIME_COARSE, MONOTONIC_COARSE, CLOCK_TAI] = [0, 1, 5, 6, 11];
const RUBBISH = 0x5a5a_5a5a_5a5a_5a5an;
const RUNS = 10_000;

const years = (count: bigint): bigint => count * 31_556_952n * E9;
const YEAR_1 = -62_135_596_800n;
const YEAR_9999_END = 253_402_300_799n;
const NARROW = (1n << 33n) * E9;

const hostTimes: fc.Arbitrary<Time> = fc.record({
	seconds: fc.oneof(
		fc.constantFrom(
			0n,
			1n,
			-1n,
			2n ** 31n - 1n,
			2n ** 31n,
			2n ** 32n - 1n,
			2n ** 32n,
			2n ** 33n - 1n,
			2n ** 33n,
			-(2n ** 31n),
		),
		fc.bigInt(-100n, 100n),
		fc.bigInt(0n, 2n ** 34n),
		fc.bigInt(YEAR_1, YEAR_9999_END),
	),
	nanoseconds: fc.oneof(fc.constantFrom(0n, 1n, 999n, 1000n, 999_999_000n, E9 - 1n), fc.bigInt(0n, E9 - 1n)),
});

/** Both packings, and the borders between them: +-2^33 seconds, 272 years. */
const offsets: fc.Arbitrary<Nanoseconds> = fc
	.oneof(
		fc.constantFrom(0n, 1n, -1n, E9 - 1n, E9, -E9, 1n - E9, -E9 - 1n),
		fc
			.tuple(fc.constantFrom(NARROW, -NARROW, NARROW - E9, E9 - NARROW), fc.bigInt(-2n, 2n))
			.map(([border, distance]) => border + distance),
		fc.bigInt(-2n * E9, 2n * E9),
		fc.bigInt(-years(20n), years(20n)),
		fc.bigInt(-NARROW, NARROW - 1n),
		fc.bigInt(-years(10_000n), years(10_000n)),
		fc.bigInt(-100_000n, 100_000n).map((seconds) => seconds * E9),
	)
	.map(nanoseconds);

const instants: fc.Arbitrary<Nanoseconds> = fc
	.oneof(
		fc.constantFrom(0n, -1n, 1n, E9 - 1n, -E9, 2n ** 31n * E9, 2n ** 31n * E9 - 1n, YEAR_1 * E9, YEAR_9999_END * E9),
		fc.bigInt(YEAR_1 * E9, YEAR_9999_END * E9 + E9 - 1n),
		fc.bigInt(-3n * E9, 3n * E9),
	)
	.map(nanoseconds);

const clocks: fc.Arbitrary<WallClock> = fc.oneof(
	{ weight: 1, arbitrary: fc.constant<WallClock>({ kind: "host" }) },
	{ weight: 6, arbitrary: offsets.map((offset): WallClock => ({ kind: "offset", offset })) },
	{ weight: 2, arbitrary: instants.map((at): WallClock => ({ kind: "frozen", at })) },
);

const total = ({ seconds, nanoseconds: rest }: Time): Nanoseconds => nanoseconds(seconds * E9 + rest);

const floorDivide = (value: bigint, divisor: bigint): bigint => {
	const quotient = value / divisor;
	return value % divisor < 0n ? quotient - 1n : quotient;
};

const assertTime = (actual: Time & { readonly result: bigint }, expected: Nanoseconds): void => {
	assert.deepEqual(actual, { result: 0n, ...splitNanoseconds(expected) });
};

const LAYOUTS: readonly (readonly [string, KnownLayout])[] = [
	["reading the host's page", "fine"],
	["reading the host's page as before Linux 6.10", "fine without max_cycles"],
	["reading the host's coarse clocks", "coarse"],
	["calling the host for everything", "none"],
];

for (const [way, layout] of LAYOUTS) {
	describe(way, () => {
		const fake = new FakeHostSandbox({ layout, taiSeconds: TAI });
		// Without max_cycles, a counter 2^32 beyond the last update is the host's business: it never stands.
		const isRead = (id: number): boolean =>
			fake.reads(id) && (layout !== "fine without max_cycles" || id === 5 || id === 6);
		const { call, page, output, outputAddress: out } = fake.sandbox;

		/** clock_gettime(id) into rubbish. */
		const gettime = (id: number): Time & { readonly result: bigint } => {
			output.fill(RUBBISH);
			// The result is an int: only the lower half of rax counts.
			const result = BigInt.asIntN(32, call("__vdso_clock_gettime", id, out));
			assert.equal(output[2], RUBBISH, "stored beyond the timespec");
			return { result, seconds: output[0] ?? 0n, nanoseconds: output[1] ?? 0n };
		};

		const reset = (): void => {
			fake.result = 0;
			fake.isSilent = false;
			fake.setSequence(2);
		};

		test("clock_gettime is the host's clock, shifted or frozen, to the nanosecond", () => {
			reset();
			fc.assert(
				fc.property(clocks, hostTimes, hostTimes, hostTimes, (clock, realtime, tai, coarse) => {
					page.push(clock);
					fake.setClock(REALTIME_COARSE, coarse);
					assertTime(gettime(REALTIME_COARSE), wallTime(clock, total(coarse)));
					fake.setClock(REALTIME, realtime);
					fake.setClock(CLOCK_TAI, tai);
					assertTime(gettime(REALTIME), wallTime(clock, total(realtime)));
					const frozenTai = wallTime(clock, nanoseconds(0n)) + TAI * E9;
					assertTime(
						gettime(CLOCK_TAI),
						clock.kind === "frozen" ? nanoseconds(frozenTai) : wallTime(clock, total(tai)),
					);
				}),
				{ numRuns: RUNS },
			);
		});

		test("gettimeofday cuts the shifted nanoseconds to microseconds, and stores the host's time zone", () => {
			reset();
			fc.assert(
				fc.property(clocks, hostTimes, fc.boolean(), fc.bigInt(0n, 2n ** 62n), (clock, realtime, wantsZone, zone) => {
					page.push(clock);
					fake.setClock(REALTIME, realtime);
					fake.timezone = zone;
					output.fill(RUBBISH);
					const result = BigInt.asIntN(32, call("__vdso_gettimeofday", out, wantsZone ? out + 32n : 0));
					const { seconds, nanoseconds: rest } = splitNanoseconds(wallTime(clock, total(realtime)));
					assert.deepEqual(
						[result, ...output.subarray(0, 5)],
						[0n, seconds, rest / 1000n, RUBBISH, RUBBISH, wantsZone ? zone : RUBBISH],
					);
				}),
				{ numRuns: RUNS },
			);
		});

		test("time is the second of the shifted coarse clock, returned and stored", () => {
			reset();
			fc.assert(
				fc.property(clocks, hostTimes, fc.boolean(), (clock, coarse, wantsStore) => {
					page.push(clock);
					fake.setClock(REALTIME_COARSE, coarse);
					output.fill(RUBBISH);
					const result = call("__vdso_time", wantsStore ? out : 0);
					const expected = floorDivide(wallTime(clock, total(coarse)), E9);
					assert.deepEqual([result, output[0], output[1]], [expected, wantsStore ? expected : RUBBISH, RUBBISH]);
				}),
				{ numRuns: RUNS },
			);
		});

		test("while the kernel writes, and in a time namespace, the coarse clocks come from the host's function", () => {
			reset();
			fake.setSequence(1, 0x7fff_ffff);
			fc.assert(
				fc.property(clocks, hostTimes, hostTimes, hostTimes, (clock, coarse, monotonic, torn) => {
					page.push(clock);
					// What stands in the page while the kernel writes must not be looked at.
					fake.setClock(REALTIME_COARSE, coarse);
					const calls = fake.calls;
					assertTime(gettime(REALTIME_COARSE), wallTime(clock, total(coarse)));
					assert.equal(call("__vdso_time", 0), floorDivide(wallTime(clock, total(coarse)), E9));
					fake.setClock(MONOTONIC_COARSE, torn);
					fake.setClock(MONOTONIC_COARSE, monotonic);
					assertTime(gettime(MONOTONIC_COARSE), total(monotonic));
					assert.equal(fake.calls - calls, clock.kind === "frozen" ? 1 : 3);
				}),
				{ numRuns: RUNS / 5 },
			);
			reset();
		});

		test("clocks that are no wall clocks are the host's, whatever the wall does", () => {
			reset();
			const ids = [MONOTONIC, 2, 3, 4, MONOTONIC_COARSE, 7, 8, 9, 10, 12, 15, 16, 23, 24, 31];
			fc.assert(
				fc.property(clocks, hostTimes, fc.constantFrom(...ids), (clock, time, id) => {
					page.push(clock);
					fake.setClock(id, time);
					const before = fake.calls;
					assertTime(gettime(id), total(time));
					assert.equal(fake.calls - before, isRead(id) ? 0 : 1);
					if (!isRead(id)) assert.deepEqual(fake.lastCall.slice(0, 3), ["clock_gettime", BigInt(id), out]);
				}),
				{ numRuns: RUNS / 2 },
			);
		});

		test("ids that no clock has reach the host as they came, with what it returns", () => {
			reset();
			const strange = fc.oneof(
				fc.constantFrom(-1, -2, -3, -6, -7, 12, 13, 32, 100, 0x7fff_ffff, -0x8000_0000, 0x4000_0000),
				fc.integer({ min: -0x8000_0000, max: -1 }),
				fc.integer({ min: 12, max: 0x7fff_ffff }),
			);
			fake.isSilent = true;
			fc.assert(
				fc.property(clocks, strange, fc.integer({ min: -4095, max: -1 }), (clock, id, error) => {
					page.push(clock);
					fake.result = error;
					const { result, seconds, nanoseconds: rest } = gettime(id);
					assert.deepEqual([result, seconds, rest], [BigInt(error), RUBBISH, RUBBISH]);
					assert.equal(fake.lastCall[0], "clock_gettime");
					assert.equal(BigInt.asIntN(32, fake.lastCall[1]), BigInt(id));
					assert.equal(fake.lastCall[2], out);
				}),
				{ numRuns: RUNS / 2 },
			);
			reset();
		});

		test("only the lower half of the register with the id counts", () => {
			reset();
			page.push({ kind: "offset", offset: nanoseconds(5n * E9) });
			fake.setClock(REALTIME, { seconds: 1000n, nanoseconds: 7n });
			output.fill(RUBBISH);
			assert.equal(BigInt.asIntN(32, call("clock_gettime", 0xabcd_ef01_0000_0000n, out)), 0n);
			assert.deepEqual([...output.subarray(0, 2)], [1005n, 7n]);
		});

		test("an error of the host is returned, and nothing is stored, whether the host stored a time or not", () => {
			reset();
			const ticking = clocks.filter(({ kind }) => kind !== "frozen");
			fake.setSequence(1);
			fc.assert(
				fc.property(
					ticking,
					hostTimes,
					fc.boolean(),
					fc.constantFrom(ENOSYS, EINVAL, -1),
					(clock, time, isSilent, error) => {
						page.push(clock);
						fake.isSilent = isSilent;
						fake.result = error;
						for (const id of [REALTIME, CLOCK_TAI]) {
							fake.setClock(id, time);
							const { result, seconds, nanoseconds: rest } = gettime(id);
							assert.equal(result, BigInt(error));
							assert.deepEqual([seconds, rest], [RUBBISH, RUBBISH]);
						}
						output.fill(RUBBISH);
						assert.equal(BigInt.asIntN(32, call("gettimeofday", out, out + 32n)), BigInt(error));
						assert.deepEqual([...output.subarray(0, 5)], [RUBBISH, RUBBISH, RUBBISH, RUBBISH, RUBBISH]);
					},
				),
				{ numRuns: RUNS / 5 },
			);
			reset();
		});

		test("gettimeofday without a timeval is the host's", () => {
			reset();
			fc.assert(
				fc.property(clocks, fc.bigInt(0n, 2n ** 62n), (clock, zone) => {
					page.push(clock);
					fake.timezone = zone;
					output.fill(RUBBISH);
					assert.equal(BigInt.asIntN(32, call("gettimeofday", 0, out)), 0n);
					assert.equal(output[0], zone);
					assert.equal(BigInt.asIntN(32, call("gettimeofday", 0, 0)), 0n);
					assert.deepEqual(fake.lastCall.slice(0, 3), ["gettimeofday", 0n, 0n]);
				}),
				{ numRuns: 200 },
			);
		});

		test("getcpu and clock_getres reach the host with their arguments, and return what it returns", () => {
			reset();
			fake.result = -14;
			for (const name of ["getcpu", "clock_getres"] as const) {
				for (const symbol of [name, `__vdso_${name}`]) {
					assert.equal(BigInt.asIntN(32, call(symbol, 0x1234, 0x5678, 0x9abc)), -14n);
					assert.deepEqual(fake.lastCall, [name, 0x1234n, 0x5678n, 0x9abcn]);
				}
			}
			reset();
		});

		test("a frozen wall asks the host nothing", () => {
			reset();
			page.push({ kind: "frozen", at: nanoseconds(-1n) });
			const before = fake.calls;
			for (const id of [REALTIME, CLOCK_TAI, REALTIME_COARSE]) gettime(id);
			call("gettimeofday", out, 0);
			call("time", 0);
			assert.equal(fake.calls, before);
		});

		test("every call of the host had an aligned stack", () => {
			assert.ok(fake.calls > RUNS / 2);
			assert.equal(fake.misalignedCalls, 0);
		});
	});
}
