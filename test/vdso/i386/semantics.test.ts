/** What the functions of the 32-bit image return: against exact arithmetic, on a fake host that stands. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc, { type Arbitrary } from "fast-check";
import { type WallClock, wallTime } from "../../../src/clock/clock.ts";
import { nanoseconds, splitNanoseconds } from "../../../src/units.ts";
import {
	type CallResult,
	fakeClock,
	fakeCounter,
	fakeHost,
	type KnownLayout,
	pageCommand,
	pageOf,
	Sandbox32,
} from "./sandbox.ts";

const E9 = 1_000_000_000n;
const TAI = 37n;
const [REALTIME, MONOTONIC, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME, TAI_ID, CPU] = [0, 1, 5, 6, 7, 11, 2];
const UNTOUCHED = 0xaa;

/** A host's time in nanoseconds; REALTIME_COARSE and MONOTONIC_COARSE are some ticks older. */
interface Hour {
	readonly realtime: bigint;
	readonly coarse: bigint;
	readonly monotonic: bigint;
}

const secondOf = (time: bigint): bigint => splitNanoseconds(nanoseconds(time)).seconds;
const hourOf = (realtime: bigint, lag = 3_000_000n): Hour => {
	const coarse = realtime - lag;
	// The kernel's page has one second for both.
	const bounded = secondOf(coarse) === secondOf(realtime) ? coarse : secondOf(realtime) * E9;
	return { realtime, coarse: bounded, monotonic: 12_345n * E9 + 999_999_999n };
};

const hostTime = (hour: Hour, id: number): bigint => {
	switch (id) {
		case REALTIME:
			return hour.realtime;
		case TAI_ID:
			return hour.realtime + TAI * E9;
		case REALTIME_COARSE:
			return hour.coarse;
		case MONOTONIC:
			return hour.monotonic;
		case BOOTTIME:
			return hour.monotonic + 5n * E9;
		case MONOTONIC_COARSE:
			return hour.monotonic - 999_999_999n;
		default:
			return 42n * E9 + 1n;
	}
};

const IDS = [REALTIME, MONOTONIC, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME, TAI_ID, CPU];

const isMoved = (id: number): boolean => [REALTIME, REALTIME_COARSE, TAI_ID].includes(id);

/** What a clock shows at an hour of the host's. */
const shown = (clock: WallClock, hour: Hour, id: number): bigint => {
	const host = hostTime(hour, id);
	if (!isMoved(id)) return host;
	if (id !== TAI_ID || clock.kind === "host" || clock.kind === "offset") return wallTime(clock, nanoseconds(host));
	return wallTime(clock, nanoseconds(hour.realtime)) + TAI * E9;
};

const hostCommands = (hour: Hour): readonly string[] => [
	...IDS.filter((id) => id !== REALTIME_COARSE).flatMap((id) => {
		const { seconds, nanoseconds: rest } = splitNanoseconds(nanoseconds(hostTime(hour, id)));
		return fakeClock(id, seconds, rest);
	}),
	...fakeClock(REALTIME_COARSE, secondOf(hour.coarse), splitNanoseconds(nanoseconds(hour.coarse)).nanoseconds),
];

const calls = (box: Sandbox32): readonly string[] => [
	...IDS.map((id) => `call ${box.offset("__vdso_clock_gettime64")} ${id} $0 0`),
	...IDS.map((id) => `call ${box.offset("__vdso_clock_gettime")} ${id} $0 0`),
	`call ${box.offset("__vdso_gettimeofday")} $0 $1 0`,
	`call ${box.offset("__vdso_gettimeofday")} $0 0 0`,
	`call ${box.offset("__vdso_gettimeofday")} 0 $1 0`,
	`call ${box.offset("__vdso_time")} $0 0 0`,
	`call ${box.offset("__vdso_time")} 0 0 0`,
];

const words = (...values: readonly (readonly [width: 4 | 8, value: bigint])[]): Buffer => {
	const bytes = Buffer.alloc(16, UNTOUCHED);
	let place = 0;
	for (const [width, value] of values) {
		if (width === 8) bytes.writeBigInt64LE(BigInt.asIntN(64, value), place);
		else bytes.writeInt32LE(Number(BigInt.asIntN(32, value)), place);
		place += width;
	}
	return bytes;
};

const NOTHING = words();
const ZONE = words([4, -60n], [4, 1n]);

const expectedOf = (clock: WallClock, hour: Hour): readonly Pick<CallResult, "eax" | "stored">[] => {
	const split = (id: number) => splitNanoseconds(nanoseconds(shown(clock, hour, id)));
	const realtime = split(REALTIME);
	const day = words([4, realtime.seconds], [4, realtime.nanoseconds / 1000n]);
	const { seconds } = split(REALTIME_COARSE);
	const time = Number(BigInt.asIntN(32, seconds));
	return [
		...IDS.map((id) => ({
			eax: 0,
			stored: [words([8, split(id).seconds], [8, split(id).nanoseconds]), NOTHING] as const,
		})),
		...IDS.map((id) => ({
			eax: 0,
			stored: [words([4, split(id).seconds], [4, split(id).nanoseconds]), NOTHING] as const,
		})),
		{ eax: 0, stored: [day, ZONE] },
		{ eax: 0, stored: [day, NOTHING] },
		{ eax: 0, stored: [NOTHING, ZONE] },
		{ eax: time, stored: [words([4, seconds]), NOTHING] },
		{ eax: time, stored: [NOTHING, NOTHING] },
	];
};

const COUNT = expectedOf({ kind: "host" }, hourOf(0n)).length;

const check = (
	box: Sandbox32,
	cases: readonly (readonly [WallClock, Hour])[],
	counter = fakeCounter(),
): readonly CallResult[] => {
	const script = cases.flatMap(([clock, hour]) => [
		...counter,
		...hostCommands(hour),
		pageCommand(pageOf(clock, TAI, [{ kind: "frozen", at: nanoseconds(7n) }])),
		...calls(box),
	]);
	const results = box.results(script);
	assert.equal(results.length, cases.length * COUNT);
	for (const [index, [clock, hour]] of cases.entries()) {
		const seen = results.slice(index * COUNT, (index + 1) * COUNT);
		assert.deepEqual(
			seen.map(({ eax, stored }) => ({ eax, stored })),
			expectedOf(clock, hour),
			`${clock.kind} ${Object.values(clock).join(" ")} at ${hour.realtime}`,
		);
	}
	assert.equal(results.at(-1)?.changed, 0, "registers that a function keeps");
	return results;
};

/** A counter that has gone on since the start of the machine. */
const LATE = "host 8 0000000000000000";

/** Around 10^9 nanoseconds, 2^31 and 2^32 seconds, before 1970, and far away. */
const HOURS: readonly Hour[] = [
	hourOf(1_795_612_766n * E9 + 444_410_533n),
	hourOf(1_795_612_766n * E9 + 999_999_999n),
	hourOf(1_795_612_766n * E9, 0n),
	hourOf((2n ** 31n - 1n) * E9 + 999_999_999n),
	hourOf(2n ** 31n * E9, 0n),
	hourOf((2n ** 32n + 5n) * E9 + 1n),
];

const YEAR = 31_556_952n * E9;
const CLOCKS: readonly WallClock[] = [
	{ kind: "host" },
	...[1n, -1n, E9, -E9, 999_999_999n, 10n * YEAR, 12n * YEAR + 1n, -60n * YEAR - 1n, -268n * YEAR, 271n * YEAR].map(
		(offset): WallClock => ({ kind: "offset", offset: nanoseconds(offset) }),
	),
	...[5000n * YEAR + 999_999_999n, -9000n * YEAR - 1n].map(
		(offset): WallClock => ({ kind: "offset", offset: nanoseconds(offset) }),
	),
	...[0n, -1n, 2n ** 31n * E9, 9999n * YEAR + 5n, -9999n * YEAR].map(
		(at): WallClock => ({ kind: "frozen", at: nanoseconds(at) }),
	),
];

const anyTime = (years: bigint): Arbitrary<bigint> => fc.bigInt({ min: -years * YEAR, max: years * YEAR });
const anyRate = fc.oneof(
	fc.bigInt({ min: -(1n << 40n) + 1n, max: (1n << 40n) - 1n }),
	fc.constantFrom(0n, 1n, -1n, (1n << 40n) - 1n, -(1n << 40n) + 1n, 1n << 39n),
);
const drifting: Arbitrary<readonly [WallClock, Hour]> = fc
	.record({
		realtime: anyTime(280n),
		apart: fc.oneof(anyTime(1n), anyTime(200n), fc.bigInt(-E9, E9)),
		at: anyTime(9000n),
		rate: anyRate,
	})
	.map(({ realtime, apart, at, rate }) => [
		{ kind: "drift", hostAnchor: nanoseconds(realtime - apart), at: nanoseconds(at), rate },
		hourOf(realtime, 0n),
	]);

for (const layout of ["fine", "coarse", "none"] as const satisfies readonly KnownLayout[])
	describe(`32-bit functions on a host whose layout is known as ${layout}`, () => {
		const box = new Sandbox32(fakeHost(layout), "fake", { entryForm: "int80" });
		const all = CLOCKS.flatMap((clock) => HOURS.map((hour) => [clock, hour] as const));

		test("every clock and function at every wall", () => {
			check(box, all);
		});

		test("a drifting wall, to the nanosecond", () => {
			check(box, fc.sample(drifting, 400));
		});

		test("while the kernel writes, in a time namespace, and with another counter", () => {
			for (const counter of [fakeCounter(3), fakeCounter(1, 0x7fff_ffff), fakeCounter(2, 2)])
				check(box, all.slice(0, 40), counter);
		});

		test("a counter that is too far away, and a shift that is too far", () => {
			const tooFar = [...fakeCounter(), "host 32 0000000020000000"];
			check(box, all.slice(0, 40), tooFar);
			check(box, all.slice(0, 40), [...fakeCounter(), LATE]);
		});

		test("an error of the host's is returned and nothing is stored", () => {
			const drift: WallClock = { kind: "drift", hostAnchor: nanoseconds(0n), at: nanoseconds(1n), rate: 5n };
			for (const clock of [...CLOCKS.filter(({ kind }) => kind !== "frozen"), drift]) {
				const results = box.results([
					...fakeCounter(3),
					pageCommand(pageOf(clock, TAI)),
					"fail -38",
					`call ${box.offset("__vdso_clock_gettime64")} 0 $0 0`,
					`call ${box.offset("__vdso_clock_gettime64")} 11 $0 0`,
					`call ${box.offset("__vdso_clock_gettime")} 1 $0 0`,
					`call ${box.offset("__vdso_gettimeofday")} $0 0 0`,
				]);
				for (const { eax, stored, changed } of results)
					assert.deepEqual({ eax, stored, changed }, { eax: -38, stored: [NOTHING, NOTHING], changed: 0 });
			}
		});
	});

test("a clock that is read inline needs no call of the host", () => {
	const box = new Sandbox32(fakeHost("fine"), "fake", { entryForm: "int80" });
	const [clock, hour] = [CLOCKS[6], HOURS[0]];
	assert.ok(clock !== undefined && hour !== undefined);
	const results = check(box, [[clock, hour]]);
	const calledFor = results.map(({ hostCalls }, index) => hostCalls - (results[index - 1]?.hostCalls ?? 0));
	// The CPU clock twice, and the time zone twice.
	assert.deepEqual(calledFor, [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0]);
});

test("with reads of the tick the fine clocks are the coarse ones", () => {
	const box = new Sandbox32(fakeHost("fine"), "fake", { entryForm: "int80", reads: "coarse" });
	const hour = hourOf(1_795_612_766n * E9 + 444_410_533n);
	const offset = nanoseconds(10n * YEAR + 1n);
	const call = (id: number): string => `call ${box.offset("__vdso_clock_gettime64")} ${id} $0 0`;
	const results = box.results([
		...fakeCounter(),
		...hostCommands(hour),
		pageCommand(pageOf({ kind: "offset", offset }, TAI)),
		call(REALTIME),
		call(MONOTONIC),
	]);
	const times = [hour.coarse + offset, hostTime(hour, MONOTONIC_COARSE)].map((time) => {
		const { seconds, nanoseconds: rest } = splitNanoseconds(nanoseconds(time));
		return words([8, seconds], [8, rest]);
	});
	assert.deepEqual(
		results.map(({ stored: [first] }) => first),
		times,
	);
});

test("without RDPID getcpu stores what the host's does", () => {
	const box = new Sandbox32(fakeHost("none"), "fake", { entryForm: "int80" });
	const getcpu = box.offset("__vdso_getcpu");
	const [both, none] = box.results([`call ${getcpu} $0 $1 0`, `call ${getcpu} 0 0 0`]);
	assert.deepEqual(both?.stored, [words([4, 5n]), words([4, 6n])]);
	assert.deepEqual(none?.stored, [NOTHING, NOTHING]);
	assert.deepEqual([both.eax, none.eax], [0, 0]);
});

test("a function of the host's that is not ours is reached with its arguments", () => {
	const box = new Sandbox32(fakeHost("none"), "fake", { entryForm: "int80" });
	const [result] = box.results([`call ${box.offset("__vdso_clock_getres")} 1 $0 0`]);
	assert.equal(result?.eax, 4711);
	assert.equal(result.changed, 0);
});

test("where nobody can read the counter, the image makes the system call itself", () => {
	const box = new Sandbox32(fakeHost("fine"), "fake", { entryForm: "int80" });
	const offset = nanoseconds(10n * YEAR);
	const lines = box.run([
		...fakeCounter(2, 0),
		pageCommand(pageOf({ kind: "offset", offset }, TAI)),
		"fail -1",
		`bracket ${box.offset("__vdso_clock_gettime64")} clock_gettime64 ${REALTIME} 20`,
		`bracket ${box.offset("__vdso_clock_gettime64")} clock_gettime64 ${MONOTONIC} 20`,
	]);
	assert.equal(lines.length, 40);
	for (const [index, line] of lines.entries()) {
		const [eax, seconds = 0n, rest = 0n, ...around] = line.split(" ").map(BigInt);
		const [first = 0n, firstRest = 0n, last = 0n, lastRest = 0n] = around;
		const time = seconds * E9 + rest - (index < 20 ? offset : 0n);
		assert.equal(eax, 0n);
		assert.ok(first * E9 + firstRest <= time && time <= last * E9 + lastRest, line);
	}
});

test("a wall that steps is left to the system call", () => {
	const box = new Sandbox32(fakeHost("fine"), "fake", { entryForm: "int80" });
	const step: WallClock = { kind: "step", at: nanoseconds(5n), by: nanoseconds(E9) };
	const names = ["clock_gettime64", "clock_gettime", "gettimeofday"] as const;
	const lines = box.run([
		...fakeCounter(),
		pageCommand(pageOf(step, TAI)),
		"fail -1",
		...names.map((name) => `bracket ${box.offset(`__vdso_${name}`)} ${name} ${REALTIME} 1`),
		`bracket ${box.offset("__vdso_time")} time ${REALTIME} 1`,
	]);
	for (const line of lines) {
		const [eax, seconds = 0n, , first = 0n, , last = 0n] = line.split(" ").map(BigInt);
		// Nobody answers here in the kernel's place; its own time() is that of the tick.
		assert.equal(eax, 0n);
		assert.ok(first - 1n <= seconds && seconds <= last, line);
	}
	assert.equal(lines.length, 4);
});
