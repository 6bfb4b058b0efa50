/**
 * Readers on other processors while clocks are pushed: every time that is read is that of one clock, never of two.
 *
 * A reader is a child that shares our memory and runs nothing but machine code (koffi 3.3.4 crashes in a Worker).
 *
 * The host's clocks stand, so each pushed clock makes one time, and all of them differ in seconds and in nanoseconds.
 */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { describe, test } from "node:test";
import { type WallClock, wallTime } from "../../src/clock/clock.ts";
import { CLONE_VM, SYS_wait4, WALL } from "../../src/linux/constants.ts";
import { cloneInto, syscallResult, viewMemory } from "../../src/linux/ffi.ts";
import { type Nanoseconds, nanoseconds, splitNanoseconds } from "../../src/units.ts";
import * as vvar from "../../src/vvar/layout.ts";
import { LOOP, mapCheckingLoop, TABLE_ENTRY_WORDS, UNTOUCHED } from "./checking-loop.ts";
import { callable, mapMemory } from "./machine.ts";
import { FakeHostSandbox, KNOWN_SHIFTS, type KnownLayout } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const TAI = 37n;
const WIDE = 1n << 34n;
const PUSHES = 300_000;
const MIN_READS = 300_000n;
/** A reader whose test has died ends by itself. */
const MAX_READS = 2_000_000_000n;

const offset = (seconds: bigint, rest: bigint): WallClock => ({
	kind: "offset",
	offset: nanoseconds(seconds * E9 + rest),
});
const frozen = (seconds: bigint, rest: bigint): WallClock => ({ kind: "frozen", at: nanoseconds(seconds * E9 + rest) });

const NARROW_CLOCKS = [
	offset(1000n, 1_001n),
	offset(-2000n, 2_002n),
	offset(3000n, 999_003_003n),
	{ kind: "host" } as const,
];
const WIDE_CLOCKS = [offset(WIDE, 4_004n), offset(-WIDE, 5_005n), offset(2n * WIDE + 1n, 999_006_006n)];
const FROZEN_CLOCKS = [frozen(7n, 7_007n), frozen(-88_888n, 8_008n), frozen(WIDE + 9n, 9_009n)];

const HOST = { seconds: 1_700_000_000n, nanoseconds: 123_456_789n } as const;
const hostTime = nanoseconds(HOST.seconds * E9 + HOST.nanoseconds);

/** One of the reads that are made, and the two words that it stores under a clock. */
interface Read {
	readonly name: string;
	readonly symbol: string;
	/** With the address of the result in the place of "result". */
	readonly arguments: readonly (number | "result")[];
	readonly expected: (clock: WallClock) => readonly [bigint, bigint];
}

const pair = (time: Nanoseconds): readonly [bigint, bigint] => {
	const { seconds, nanoseconds: rest } = splitNanoseconds(time);
	return [seconds, rest];
};
const taiOf = (clock: WallClock): readonly [bigint, bigint] => {
	const [seconds, rest] = pair(wallTime(clock, hostTime));
	return [seconds + TAI, rest];
};

const gettime = (id: number, expected: Read["expected"]): Pick<Read, "symbol" | "arguments" | "expected"> => ({
	symbol: "clock_gettime",
	arguments: [id, "result"],
	expected,
});

const READS: readonly Read[] = [
	{ name: "clock_gettime(REALTIME)", ...gettime(0, (clock) => pair(wallTime(clock, hostTime))) },
	{ name: "clock_gettime(TAI)", ...gettime(11, taiOf) },
	{ name: "clock_gettime(REALTIME_COARSE)", ...gettime(5, (clock) => pair(wallTime(clock, hostTime))) },
	{
		name: "gettimeofday",
		symbol: "gettimeofday",
		arguments: ["result", 0],
		expected: (clock) => {
			const [seconds, rest] = pair(wallTime(clock, hostTime));
			return [seconds, rest / 1000n];
		},
	},
	{
		name: "time",
		symbol: "time",
		arguments: ["result", 0],
		expected: (clock) => [pair(wallTime(clock, hostTime))[0], UNTOUCHED],
	},
];

const newHost = (layout: KnownLayout): FakeHostSandbox => {
	const fake = new FakeHostSandbox({ layout, taiSeconds: TAI });
	for (const id of [0, 5]) fake.setClock(id, HOST);
	fake.setClock(11, { ...HOST, seconds: HOST.seconds + TAI });
	return fake;
};

/** What a checking loop is given, in memory that both threads see. */
class LoopTask {
	readonly address = mapMemory(4096);
	readonly #words = new BigInt64Array(viewMemory(this.address, 4096).buffer);
	readonly #tableStart = 32;
	readonly #count: number;

	constructor(fake: FakeHostSandbox, read: Read, clocks: readonly WallClock[]) {
		const result = this.address + 128n;
		const [first = 0, second = 0] = read.arguments.map((argument) => (argument === "result" ? result : argument));
		this.#words[LOOP.function] = fake.sandbox.functions.get(read.symbol) ?? 0n;
		this.#words[LOOP.iterations] = MAX_READS;
		this.#words[LOOP.argument0] = BigInt(first);
		this.#words[LOOP.argument1] = BigInt(second);
		this.#words[LOOP.result] = result;
		this.#words[LOOP.table] = this.address + BigInt(this.#tableStart * 8);
		this.#words[LOOP.tableCount] = BigInt(clocks.length);
		this.#count = clocks.length;
		for (const [index, clock] of clocks.entries())
			this.#words.set(read.expected(clock), this.#tableStart + index * TABLE_ENTRY_WORDS);
	}

	get reads(): bigint {
		return Atomics.load(this.#words, LOOP.reads);
	}

	stop(): void {
		Atomics.store(this.#words, LOOP.stop, 1n);
	}

	get unknown(): readonly [count: bigint, seconds: bigint, rest: bigint] {
		const [count = 0n, seconds = 0n, rest = 0n] = this.#words.subarray(LOOP.unknown);
		return [count, seconds, rest];
	}

	/** How often each clock was seen. */
	get seen(): readonly bigint[] {
		return Array.from(
			{ length: this.#count },
			(_, index) => this.#words[this.#tableStart + index * TABLE_ENTRY_WORDS + 2] ?? 0n,
		);
	}
}

const STACK_SIZE = 64 * 1024;
const SEEN_WITHIN_MS = 30_000;

/** Starts a reader. @returns its pid */
const startReader = (loop: bigint, { address }: LoopTask): number => {
	const stack = mapMemory(STACK_SIZE) + BigInt(STACK_SIZE);
	const pid = cloneInto(loop, stack, CLONE_VM | constants.signals.SIGCHLD, address);
	assert.ok(pid > 0, `clone: ${pid}`);
	return pid;
};

interface Run {
	readonly read: Read;
	readonly clocks: readonly WallClock[];
	readonly readers: number;
	readonly layout?: KnownLayout;
}

/** Pushes the clocks in a random order while readers check; every clock must be seen, and nothing else. */
const assertNeverTorn = ({ read, clocks, readers, layout = "fine" }: Run): void => {
	const fake = newHost(layout);
	const { page } = fake.sandbox;
	const loop = mapCheckingLoop();
	const tasks = Array.from({ length: readers }, () => new LoopTask(fake, read, clocks));
	page.push(clocks[0] ?? { kind: "host" });
	const pids = tasks.map((task) => startReader(loop, task));
	let random = 1;
	try {
		// A reader that the scheduler keeps out for long has to see every clock all the same.
		const deadline = Date.now() + SEEN_WITHIN_MS;
		const isEveryClockSeen = (): boolean => tasks.every(({ seen }) => seen.every((count) => count > 0n));
		const isEnough = (pushes: number): boolean =>
			pushes >= PUSHES &&
			pushes % 1024 === 0 &&
			tasks.every(({ reads }) => reads >= MIN_READS) &&
			(isEveryClockSeen() || Date.now() > deadline);
		for (let pushes = 0; !isEnough(pushes); pushes++) {
			random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0;
			page.push(clocks[(random >>> 8) % clocks.length] ?? { kind: "host" });
		}
	} finally {
		for (const task of tasks) task.stop();
		const status = new Int32Array(1);
		for (const pid of pids) {
			assert.equal(syscallResult(SYS_wait4, pid, status, WALL, 0), pid);
			assert.equal(status[0], 0);
		}
	}
	for (const task of tasks) {
		assert.deepEqual(task.unknown, [0n, 0n, 0n], "a time of no clock: count, seconds, nanoseconds");
		for (const [index, count] of task.seen.entries())
			assert.ok(count > 0n, `clock ${index} of ${clocks.length} was never seen`);
	}
};

describe("a reader never sees half a push", { timeout: 120_000 }, () => {
	for (const read of READS) {
		test(`${read.name}, all kinds of clocks`, () => {
			assertNeverTorn({ read, clocks: [...NARROW_CLOCKS, ...WIDE_CLOCKS, ...FROZEN_CLOCKS], readers: 1 });
		});
	}
	const [realtime] = READS;
	if (realtime === undefined) return;
	const more: readonly (readonly [string, Omit<Run, "read">])[] = [
		["clocks in slots only", { clocks: [...WIDE_CLOCKS, ...FROZEN_CLOCKS], readers: 1 }],
		["two readers", { clocks: [...NARROW_CLOCKS, ...WIDE_CLOCKS, ...FROZEN_CLOCKS], readers: 2 }],
		["narrow offsets only", { clocks: NARROW_CLOCKS, readers: 2 }],
		["without the host's layout", { clocks: [...WIDE_CLOCKS, ...NARROW_CLOCKS], readers: 1, layout: "none" }],
	];
	for (const [name, run] of more)
		test(`${realtime.name}, ${name}`, () => {
			assertNeverTorn({ ...run, read: realtime });
		});
});

describe("a reader never sees half an update of the host's page", { timeout: 120_000 }, () => {
	const TIMES = [HOST, { seconds: HOST.seconds + 5n, nanoseconds: 987_654_321n }, { seconds: 3n, nanoseconds: 30n }];
	// One that drifts by nothing shows the host's time, computed on a line.
	const standing = nanoseconds(0n);
	const walls: readonly (readonly [id: number, wall: WallClock])[] = [
		...[0, 1, 7, 11].map((id) => [id, { kind: "host" }] as const),
		[0, { kind: "drift", hostAnchor: standing, at: standing, rate: 0n }],
	];
	for (const [id, wall] of walls) {
		test(`clock_gettime(${id}) of a wall of kind ${wall.kind}, while the host writes and changes its clock mode`, () => {
			const fake = newHost("fine");
			fake.sandbox.page.push(wall);
			const read: Read = { name: "", ...gettime(id, (clock) => pair(wallTime(clock, nanoseconds(0n)))) };
			// The table's entries are those of offsets from 0 here: one per time of the host's.
			const clocks = TIMES.map((time) => offset(time.seconds, time.nanoseconds));
			const task = new LoopTask(fake, read, clocks);
			const show = (round: number): void => {
				const time = TIMES[round % TIMES.length] ?? HOST;
				// While the sequence is odd the host's function is asked, whose time stands.
				fake.setSequence(2 * round + 1, round % 7 === 0 ? 2 : 1);
				fake.setBase(id, { ...time, nanoseconds: time.nanoseconds << BigInt(KNOWN_SHIFTS.fine) });
				fake.setSequence(2 * round + 2, round % 5 === 0 ? 2 : 1);
			};
			fake.setClock(id, HOST);
			const pid = startReader(mapCheckingLoop(), task);
			const deadline = Date.now() + SEEN_WITHIN_MS;
			const isSeen = (): boolean => task.seen.every((count) => count > 0n) || Date.now() > deadline;
			for (let round = 0; round < PUSHES || task.reads < MIN_READS || !isSeen(); round++) {
				show(round);
				// A kernel updates its page a thousand times a second at most; here some reads have to fit in between.
				const { reads } = task;
				for (let wait = 0; wait < 20 && task.reads === reads; wait++);
			}
			task.stop();
			const status = new Int32Array(1);
			assert.equal(syscallResult(SYS_wait4, pid, status, WALL, 0), pid);
			assert.deepEqual(task.unknown, [0n, 0n, 0n]);
			assert.ok(task.seen.every((count) => count > 0n));
		});
	}
});

test("the loop that checks does find a time that no clock makes", () => {
	const fake = newHost("fine");
	const [read] = READS;
	assert.ok(read !== undefined);
	const task = new LoopTask(fake, read, NARROW_CLOCKS);
	fake.sandbox.page.push(offset(1000n, 2_002n));
	task.stop();
	assert.equal(callable(mapCheckingLoop())(task.address), 0n);
	assert.deepEqual(task.unknown, [1n, HOST.seconds + 1000n, HOST.nanoseconds + 2_002n]);
	assert.ok(task.seen.every((count) => count === 0n));
});

describe("a pusher that stops in the middle of a push", () => {
	const prior = [...NARROW_CLOCKS, ...WIDE_CLOCKS, ...FROZEN_CLOCKS];
	for (const [index, clock] of prior.entries()) {
		test(`is not waited for: the clock before goes on (${clock.kind} ${index})`, () => {
			for (const layout of ["fine", "coarse", "none"] as const) {
				const { sandbox } = newHost(layout);
				const { page, pageBytes } = sandbox;
				page.push(frozen(1n, 1n));
				page.push(clock);
				const word = new BigUint64Array(pageBytes.buffer)[vvar.PAGE.wall / 8] ?? 0n;
				const isInSlot = Number(word & 0x3fff_ffffn) > 999_999_999;
				const used = Number((word >> 30n) & 1n);
				for (let slot = 0; slot < vvar.SLOT_COUNT; slot++) {
					if (isInSlot && slot === used) continue;
					const start = vvar.PAGE.slots + slot * vvar.SLOT.size;
					const line = vvar.PAGE.lines + slot * vvar.LINE.size;
					pageBytes.fill(0xa5, start, start + vvar.SLOT.size);
					pageBytes.fill(0xa5, line, line + vvar.LINE.size);
				}
				for (const read of READS) {
					const args = read.arguments.map((argument) => (argument === "result" ? sandbox.outputAddress : argument));
					sandbox.output.fill(UNTOUCHED);
					sandbox.call(read.symbol, ...args);
					assert.deepEqual([...sandbox.output.subarray(0, 2)], [...read.expected(clock)], read.name);
				}
			}
		});
	}
});
