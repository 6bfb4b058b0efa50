/** Walls that stand in a slot: drifting ones against exact arithmetic, and those that the supervisor answers. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { setU32, setU64 } from "../../src/bytes.ts";
import { rawSyscall } from "../../src/linux/ffi.ts";
import { nanoseconds, splitNanoseconds } from "../../src/units.ts";
import { SYSCALLS } from "../../src/vdso/host.ts";
import { driftLine, fieldsOfLine } from "../../src/vvar/drift-line.ts";
import * as vvar from "../../src/vvar/layout.ts";
import { FakeHostSandbox, type KnownLayout, type Sandbox } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const TAI = 37n;
const RUNS = 20_000;
const RATE_LIMIT = 1n << 40n;
const LAYOUTS: readonly KnownLayout[] = ["fine", "fine without max_cycles", "coarse", "none"];

interface Slot {
	readonly kind: number;
	readonly time: bigint;
	readonly anchor: bigint;
	readonly rate: bigint;
}

let generation = 0n;

/** Puts a slot in the page and the word that names it. */
const show = (page: Uint8Array, { kind, time, anchor, rate }: Slot): void => {
	generation += 1n;
	const slot = vvar.PAGE.slots + Number(generation & 1n) * vvar.SLOT.size;
	const [wall, from] = [splitNanoseconds(nanoseconds(time)), splitNanoseconds(nanoseconds(anchor))];
	setU32(page, slot + vvar.SLOT.kind, kind);
	for (const [field, value] of [
		[vvar.SLOT.seconds, wall.seconds],
		[vvar.SLOT.nanoseconds, wall.nanoseconds],
		[vvar.SLOT.taiSeconds, TAI],
		[vvar.SLOT.anchorSeconds, from.seconds],
		[vvar.SLOT.anchorNanoseconds, from.nanoseconds],
		[vvar.SLOT.rate, rate],
	] as const)
		setU64(page, slot + field, BigInt.asUintN(64, value));
	const isDrift = kind === vvar.SLOT_KIND_DRIFT;
	const line = isDrift ? driftLine({ time: nanoseconds(time), anchor: nanoseconds(anchor), rate }) : undefined;
	if (line !== undefined)
		for (const [offset, value] of fieldsOfLine(line, Number(generation & 1n))) setU64(page, offset, value);
	const low = line === undefined ? vvar.WALL_IN_SLOT : vvar.WALL_ON_LINE;
	const word = (generation << BigInt(vvar.WALL_SECONDS_SHIFT)) | BigInt(low);
	setU64(page, vvar.PAGE.wall, word);
};

const drifted = ({ time, anchor, rate }: Slot, host: bigint): bigint =>
	time + (host - anchor) + (((host - anchor) * rate) >> BigInt(vvar.RATE_SHIFT));

const gettime = ({ call, output, outputAddress }: Sandbox, id: number): bigint => {
	output.fill(-1n);
	assert.equal(BigInt.asIntN(32, call("clock_gettime", id, outputAddress)), 0n);
	const [seconds = 0n, rest = -1n] = output;
	assert.ok(rest >= 0n && rest < E9, `${rest} nanoseconds`);
	return seconds * E9 + rest;
};

const timeval = ({ call, output, outputAddress }: Sandbox, symbol: string): bigint => {
	output.fill(-1n);
	assert.equal(BigInt.asIntN(32, call(symbol, outputAddress, 0)), 0n);
	const [seconds = 0n, microseconds = -1n] = output;
	assert.ok(microseconds >= 0n && microseconds < 1_000_000n);
	return seconds * 1_000_000n + microseconds;
};

const isBetween = (before: bigint, seen: bigint, after: bigint): void =>
	assert.ok(before <= seen && seen <= after, `${before} ${seen} ${after}`);

const floor = (value: bigint, divisor: bigint): bigint => (value - (((value % divisor) + divisor) % divisor)) / divisor;

const rates = fc.oneof(
	fc.constantFrom(0n, 1n, -1n, RATE_LIMIT - 1n, 1n - RATE_LIMIT, RATE_LIMIT / 2n),
	fc.bigInt(-(1n << 31n), 1n << 31n),
	fc.bigInt(1n - RATE_LIMIT, RATE_LIMIT - 1n),
);
/** Times of a host from 1970 to 2106, so that two of them are less than 2^32 seconds apart. */
const hostTimes = fc.oneof(
	fc.bigInt(0n, (1n << 32n) * E9 - 1n),
	fc.constantFrom(0n, 1n, E9 - 1n, E9, (1n << 32n) * E9 - 1n),
);
const drifts: fc.Arbitrary<Slot> = fc
	.record({
		time: fc.oneof(fc.bigInt(-62_135_596_800n * E9, 253_402_300_799n * E9), fc.bigInt(-2n * E9, 2n * E9)),
		anchor: hostTimes,
		rate: rates,
	})
	.map((slot) => ({ ...slot, kind: vvar.SLOT_KIND_DRIFT }));
/** The host's time: anywhere, and right at the anchor. */
const drifting = drifts.chain((slot) =>
	fc.tuple(
		fc.constant(slot),
		fc.oneof(
			hostTimes,
			fc.bigInt(-3n * E9, 3n * E9).map((distance) => (slot.anchor + distance < 0n ? 0n : slot.anchor + distance)),
		),
	),
);

for (const layout of LAYOUTS) {
	describe(`a slot, ${layout === "none" ? "calling the host" : `reading the host's page: ${layout}`}`, () => {
		const fake = new FakeHostSandbox({ layout, taiSeconds: TAI });
		const { sandbox } = fake;
		const setClock = (id: number, time: bigint): void => fake.setClock(id, splitNanoseconds(nanoseconds(time)));

		test("a drifting wall is v + d + floor(d * rate / 2^40), in every function", () => {
			fc.assert(
				fc.property(drifting, hostTimes, ([slot, host], coarse) => {
					show(sandbox.pageBytes, slot);
					setClock(5, coarse);
					const tick = drifted(slot, coarse);
					assert.equal(gettime(sandbox, 5), tick);
					assert.equal(sandbox.call("time", 0), floor(tick, E9));
					assert.equal(sandbox.call("entry time", 0), floor(tick, E9));
					setClock(0, host);
					const expected = drifted(slot, host);
					assert.equal(gettime(sandbox, 0), expected);
					assert.equal(gettime(sandbox, 11), expected + TAI * E9);
					for (const symbol of ["gettimeofday", "entry gettimeofday"])
						assert.equal(timeval(sandbox, symbol), floor(expected, 1000n));
				}),
				{ numRuns: RUNS },
			);
		});

		test("a drifting wall does not step back while the host's clock does not", () => {
			fc.assert(
				fc.property(drifting, fc.bigInt(0n, 3n), ([slot, host], distance) => {
					show(sandbox.pageBytes, slot);
					setClock(0, host);
					const before = gettime(sandbox, 0);
					setClock(0, host + distance);
					assert.ok(before <= gettime(sandbox, 0));
				}),
				{ numRuns: RUNS / 4 },
			);
		});

		test("under a trap every function makes its own system call and touches nothing else", () => {
			const time = new BigInt64Array(2);
			const kernel = (id: number): bigint => {
				assert.equal(rawSyscall(SYSCALLS.clock_gettime, id, time), 0);
				return (time[0] ?? 0n) * E9 + (time[1] ?? 0n);
			};
			show(sandbox.pageBytes, { kind: vvar.SLOT_KIND_TRAP, time: 0n, anchor: 0n, rate: 0n });
			const calls = fake.calls;
			for (let round = 0; round < 1000; round++) {
				for (const id of [0, 11, 5]) {
					const before = kernel(id);
					const seen = gettime(sandbox, id);
					isBetween(before, seen, kernel(id));
				}
				for (const symbol of ["gettimeofday", "entry gettimeofday"]) {
					const before = kernel(0) / 1000n;
					const seen = timeval(sandbox, symbol);
					isBetween(before, seen, kernel(0) / 1000n);
				}
				for (const symbol of ["time", "entry time"]) {
					const before = kernel(5) / E9;
					sandbox.output.fill(-1n);
					const seen = sandbox.call(symbol, sandbox.outputAddress);
					assert.equal(sandbox.output[0], seen);
					isBetween(before, seen, kernel(5) / E9);
					isBetween(before, sandbox.call(symbol, 0), kernel(5) / E9);
				}
			}
			assert.equal(fake.calls, calls);
		});
	});
}
