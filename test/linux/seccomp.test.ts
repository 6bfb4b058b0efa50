/** The filter program: what it says to every kind of call, by a small interpreter of classic BPF. The kernel's own word: spawn-filter.test.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
	buildFilter,
	type FilterOptions,
	IO_URING_CALL,
	PAGE_CALL,
	SEGV_ACTION,
	TIME_CALL,
	TRACER_CALL,
	UNTRACED_CLONE,
} from "../../src/linux/seccomp.ts";
import { type Architecture, TIME_CALLS } from "../../src/syscalls/time-calls.ts";
import { ALLOW, type Call, I386, instructionsOf, interpret, TRACE, X32, X86_64 } from "../helpers/seccomp.ts";

const PAGE = 0xffff_ffff_ff60_0000n;

const OPTIONS: readonly FilterOptions[] = [true, false].flatMap((tracesPageCalls) =>
	[true, false].flatMap((tracesSegvActions) =>
		[true, false].map((tracesTimeCalls) => ({ tracesPageCalls, tracesSegvActions, tracesTimeCalls })),
	),
);
const BOTH = buildFilter({ tracesPageCalls: true, tracesSegvActions: true, tracesTimeCalls: false });
const ACTIONS = buildFilter({ tracesPageCalls: false, tracesSegvActions: true, tracesTimeCalls: false });
const KEY = 0x1234_5678;
const TIMES = buildFilter({
	tracesPageCalls: true,
	tracesSegvActions: false,
	tracesTimeCalls: true,
	syscallKey: KEY,
});

const usual: Call = { nr: 0, arch: X86_64, pointer: 0x40_1000n, args: [0n, 0n] };
const [page, action, neither] = [TRACE + PAGE_CALL, TRACE + SEGV_ACTION, ALLOW];

describe("the filter answers", () => {
	for (const [name, call, answer] of [
		["gettimeofday at its entry", { nr: 96, pointer: PAGE }, page],
		["time at its entry", { nr: 201, pointer: PAGE + 0x400n }, page],
		["getcpu at its entry", { nr: 309, pointer: PAGE + 0x800n }, page],
		["gettimeofday elsewhere", { nr: 96 }, neither],
		["time elsewhere", { nr: 201 }, neither],
		["getcpu elsewhere", { nr: 309 }, neither],
		["a stub's own syscall, native", { nr: 96, pointer: PAGE + 9n }, neither],
		["the page behind", { nr: 96, pointer: PAGE + 0x1000n }, neither],
		["the byte before", { nr: 96, pointer: PAGE - 1n }, neither],
		["the same low half below 4 GiB", { nr: 96, pointer: 0xff60_0000n }, neither],
		["the same low half in the middle", { nr: 96, pointer: 0x7fff_ff60_0000n }, neither],
		["another number at an entry", { nr: 228, pointer: PAGE }, neither],
		["i386, where 96 is getpriority", { nr: 96, arch: I386, pointer: PAGE }, neither],
		["x32", { nr: X32 + 201, pointer: PAGE + 0x400n }, neither],
		["number -1", { nr: 0xffff_ffff, pointer: PAGE }, neither],
		["an action for SIGSEGV", { nr: 13, args: [11n, 0x7ffe_1234_5678n] }, action],
		["an action for SIGSEGV whose signal has another upper half", { nr: 13, args: [0x5_0000_000bn, 8n] }, action],
		["an action whose address has only a low half", { nr: 13, args: [11n, 1n] }, action],
		["an action whose address has only a high half", { nr: 13, args: [11n, 0x7f00_0000_0000n] }, action],
		["a question for SIGSEGV's action", { nr: 13, args: [11n, 0n] }, neither],
		["an action for SIGBUS", { nr: 13, args: [7n, 0x7ffe_1234_5678n] }, neither],
		["an action for signal 11 in the upper half", { nr: 13, args: [0xb_0000_0007n, 8n] }, neither],
		["i386, where 13 is time", { nr: 13, arch: I386, args: [11n, 8n] }, neither],
		["x32's number 13", { nr: X32 + 13, args: [11n, 8n] }, neither],
	] as const)
		test(name, () => assert.equal(interpret(BOTH, { ...usual, ...call }).answer, answer));
});

const TRACERS = buildFilter({
	tracesPageCalls: false,
	tracesSegvActions: false,
	tracesTimeCalls: false,
	tracesTracers: true,
	syscallKey: KEY,
});

describe("of the calls of io_uring, the filter stops", () => {
	const filters = (["host", "refuse", "follow"] as const).map((ioUring) =>
		buildFilter({ tracesPageCalls: false, tracesSegvActions: false, tracesTimeCalls: true, ioUring }),
	);
	for (const [name, nr, argument, stops] of [
		["setup, but under host", 425, 0x7ffe_0000_1000n, [false, true, true]],
		["an enter that submits, under follow", 426, 1n, [false, false, true]],
		["no enter that only waits", 426, 0n, [false, false, false]],
		["the registration of ring descriptors, under follow", 427, 20n, [false, false, true]],
		["the same by a registered index", 427, 0x8000_0015n, [false, false, true]],
		["the resizing of a ring, under follow", 427, 33n, [false, false, true]],
		["no other registration", 427, 0n, [false, false, false]],
	] as const) {
		test(name, () => {
			for (const [arch, architecture] of [
				[X86_64, "x86-64"],
				[I386, "i386"],
			] as const) {
				const answers = filters.map(
					(filter) => interpret(filter, { nr, arch, pointer: 0x40_1000n, args: [5n, argument] }).answer,
				);
				const expected = stops.map((isStopped) => (isStopped ? TRACE + IO_URING_CALL[architecture] : ALLOW));
				assert.deepEqual(answers, expected);
			}
		});
	}

	test("nothing of x32", () => {
		for (const filter of filters) {
			const call = { nr: X32 + 425, arch: X86_64, pointer: 0x40_1000n, args: [5n, 1n] };
			assert.equal(interpret(filter, call).answer, ALLOW);
		}
	});
});

describe("of the calls of ptrace(2), the filter stops those that begin tracing, look at what was executed, or leave it", () => {
	for (const [name, nr, arch, request, isStopped] of [
		["TRACEME", 101, X86_64, 0n, true],
		["ATTACH", 101, X86_64, 16n, true],
		["DETACH", 101, X86_64, 17n, true],
		["SEIZE", 101, X86_64, 0x4206n, true],
		["CONT", 101, X86_64, 7n, true],
		["GETEVENTMSG", 101, X86_64, 0x4201n, true],
		["not SYSCALL", 101, X86_64, 24n, false],
		["not INTERRUPT", 101, X86_64, 0x4207n, false],
		["TRACEME on i386", 26, I386, 0n, true],
		["not DETACH on i386", 26, I386, 17n, false],
		["SEIZE on i386", 26, I386, 0x4206n, true],
		["not 101 on i386, where it is ioperm", 101, I386, 0n, false],
		["not 26 on x86-64, where it is msync", 26, X86_64, 0n, false],
	] as const) {
		const { answer } = interpret(TRACERS, { nr, arch, pointer: 0x40_1000n, args: [request, 1n] });
		test(name, () => assert.equal(answer, isStopped ? TRACE + TRACER_CALL : ALLOW));
	}

	test("with the key, only what begins", () => {
		const answers = [0n, 16n, 17n, 0x4206n, 7n, 0x4201n].map(
			(request) =>
				interpret(TRACERS, { nr: 101, arch: X86_64, pointer: 0x40_1000n, args: [request, 1n, 0n, 0n, BigInt(KEY)] })
					.answer,
		);
		const stop = TRACE + TRACER_CALL;
		assert.deepEqual(answers, [stop, stop, ALLOW, stop, ALLOW, ALLOW]);
	});
});

const CLONE_UNTRACED = 0x80_0000n;
const SIGCHLD = 17n;

describe("of the calls of clone(2), the filter stops those that ask for a task without a tracer", () => {
	for (const [name, nr, arch, args, isStopped] of [
		["CLONE_UNTRACED", 56, X86_64, [CLONE_UNTRACED | SIGCHLD], true],
		["CLONE_UNTRACED with another upper half", 56, X86_64, [(3n << 32n) | CLONE_UNTRACED], true],
		["not a fork", 56, X86_64, [SIGCHLD], false],
		["not a thread", 56, X86_64, [0x3d_0f00n], false],
		["not with the key", 56, X86_64, [CLONE_UNTRACED, 0n, 0n, 0n, BigInt(KEY)], false],
		["not 56 on i386, where it is mpx", 56, I386, [CLONE_UNTRACED], false],
	] as const) {
		const { answer } = interpret(TRACERS, { nr, arch, pointer: 0x40_1000n, args });
		test(name, () => assert.equal(answer, isStopped ? TRACE + UNTRACED_CLONE : ALLOW));
	}
});

test("an action for SIGSEGV with the key passes", () => {
	const options = { tracesPageCalls: false, tracesSegvActions: true, tracesTimeCalls: false, syscallKey: KEY };
	const [keyed, plain] = [BigInt(KEY), 0n].map((word) =>
		interpret(buildFilter(options), { ...usual, nr: 13, args: [11n, 0x7ffe_1234_5678n, 0n, 8n, word] }),
	);
	assert.deepEqual([keyed?.answer, plain?.answer], [ALLOW, action]);
});

const time = TRACE + TIME_CALL["x86-64"];
const narrow = TRACE + TIME_CALL.i386;
const POINTER = 0x7ffe_1234_5678n;

const stops = (name: string, nr: number, args: readonly bigint[]) => [name, { nr, args }, time] as const;
const passes = (name: string, nr: number, args: readonly bigint[]) => [name, { nr, args }, neither] as const;

describe("of the calls that may mean the wall clock, the filter stops", () => {
	for (const [name, call, answer] of [
		stops("clock_gettime(REALTIME)", 228, [0n, POINTER]),
		stops("clock_gettime(REALTIME_COARSE)", 228, [5n, POINTER]),
		stops("clock_gettime(TAI)", 228, [11n, POINTER]),
		passes("not clock_gettime(MONOTONIC)", 228, [1n, POINTER]),
		passes("not clock_gettime of a process's clock", 228, [-6n, POINTER]),
		stops("clock_gettime whose id has another upper half", 228, [(5n << 32n) | 11n, POINTER]),
		passes("not clock_gettime with the key of the image", 228, [0n, POINTER, BigInt(KEY)]),
		passes("not with the key under another upper half", 228, [0n, POINTER, (7n << 32n) | BigInt(KEY)]),
		stops("gettimeofday outside of the page", 96, [POINTER, 0n]),
		["gettimeofday at the page, as a call of the page", { nr: 96, pointer: PAGE }, page],
		["getcpu at the page, as a call of the page", { nr: 309, pointer: PAGE + 0x800n }, page],
		passes("not getcpu elsewhere", 309, [POINTER]),
		stops("time", 201, [0n]),
		stops("timerfd_settime until a time of the wall", 286, [3n, 1n, POINTER, 0n, 0n]),
		passes("not timerfd_settime with the key", 286, [3n, 1n, POINTER, 0n, BigInt(KEY)]),
		stops("clock_settime(REALTIME)", 227, [0n, POINTER]),
		passes("not clock_settime of other clocks", 227, [1n, POINTER]),
		stops("settimeofday", 164, [POINTER]),
		stops("adjtimex", 159, [POINTER]),
		stops("clock_adjtime(REALTIME)", 305, [0n, POINTER]),
		passes("not clock_adjtime of a hardware clock", 305, [-29n, POINTER]),
		stops("clock_nanosleep until a time of the wall", 230, [0n, 1n, POINTER]),
		stops("clock_nanosleep until a time of TAI", 230, [11n, 1n, POINTER]),
		passes("not clock_nanosleep for a length of time", 230, [0n, 0n, POINTER]),
		passes("not clock_nanosleep on CLOCK_MONOTONIC", 230, [1n, 1n, POINTER]),
		stops("timer_create(REALTIME)", 222, [0n, 0n, POINTER]),
		passes("not timer_create(MONOTONIC)", 222, [1n, 0n, POINTER]),
		stops("timer_settime(ABSTIME)", 223, [7n, 1n, POINTER]),
		passes("not timer_settime for a length of time", 223, [7n, 0n, POINTER]),
		stops("timerfd_settime(ABSTIME)", 286, [7n, 1n, POINTER]),
		stops("timerfd_settime(ABSTIME | CANCEL_ON_SET)", 286, [7n, 3n, POINTER]),
		passes("not timerfd_settime for a length of time", 286, [7n, 0n, POINTER]),
		stops("FUTEX_WAIT_BITSET on the wall", 202, [POINTER, 9n | 256n, 0n, POINTER]),
		stops("the same, private", 202, [POINTER, 9n | 128n | 256n, 0n, POINTER]),
		passes("not FUTEX_WAIT_BITSET on CLOCK_MONOTONIC", 202, [POINTER, 9n | 128n, 0n, POINTER]),
		passes("not FUTEX_WAIT_BITSET without a deadline", 202, [POINTER, 9n | 256n, 0n, 0n]),
		stops("a deadline with nothing but an upper half", 202, [POINTER, 9n | 256n, 0n, 1n << 32n]),
		stops("FUTEX_LOCK_PI", 202, [POINTER, 6n | 128n, 0n, POINTER]),
		passes("not FUTEX_LOCK_PI without a deadline", 202, [POINTER, 6n, 0n, 0n]),
		stops("FUTEX_LOCK_PI2 on the wall", 202, [POINTER, 13n | 256n, 0n, POINTER]),
		passes("not FUTEX_LOCK_PI2 on CLOCK_MONOTONIC", 202, [POINTER, 13n, 0n, POINTER]),
		stops("FUTEX_WAIT_REQUEUE_PI on the wall", 202, [POINTER, 11n | 128n | 256n, 0n, POINTER]),
		passes("not FUTEX_WAIT", 202, [POINTER, 128n, 0n, POINTER]),
		passes("not FUTEX_WAKE", 202, [POINTER, 129n, 1n, POINTER]),
		stops("futex_waitv on the wall", 449, [POINTER, 1n, 0n, POINTER, 0n]),
		passes("not futex_waitv on CLOCK_MONOTONIC", 449, [POINTER, 1n, 0n, POINTER, 1n]),
		stops("futex_wait on the wall", 455, [POINTER, 1n, 1n, 0n, POINTER, 0n]),
		passes("not futex_wait on CLOCK_MONOTONIC", 455, [POINTER, 1n, 1n, 0n, POINTER, 1n]),
		stops("mq_timedsend", 242, [0n, 0n, 0n, 0n, POINTER]),
		passes("not mq_send", 242, [0n, 0n, 0n, 0n, 0n]),
		stops("mq_timedreceive", 243, [0n, 0n, 0n, 0n, POINTER]),
		["i386's clock_gettime", { nr: 265, arch: I386 }, narrow],
		["i386's clock_gettime64", { nr: 403, arch: I386, args: [11n, 0n] }, narrow],
		["i386's time", { nr: 13, arch: I386 }, narrow],
		["not i386's futex without a deadline", { nr: 240, arch: I386, args: [0n, 9n | 256n, 0n, 0n] }, neither],
		["i386's futex with one", { nr: 422, arch: I386, args: [0n, 9n | 256n, 0n, 8n] }, narrow],
		["not x86-64's number on i386", { nr: 228, arch: I386 }, neither],
		["not x32's", { nr: X32 + 228 }, neither],
	] as const)
		test(name, () => assert.equal(interpret(TIMES, { ...usual, ...call }).answer, answer));

	test("nothing of another number, which costs no run of the filter", () => {
		const names = { [X86_64]: "x86-64", [I386]: "i386" } as const;
		for (const arch of [X86_64, I386] as const) {
			const name: Architecture = names[arch];
			const watched = new Set(TIME_CALLS[name].map(({ number }) => number));
			if (arch === X86_64) watched.add(309);
			for (let nr = 0; nr < 600; nr++) {
				if (watched.has(nr)) continue;
				const { answer, reads } = interpret(TIMES, { ...usual, arch, nr });
				assert.deepEqual([answer, [...reads].filter((offset) => offset > 4)], [ALLOW, []], `${name} ${nr}`);
			}
		}
	});
});

const arbitraryCall: fc.Arbitrary<Call> = fc.record({
	nr: fc.oneof(fc.constantFrom(13, 96, 201, 309, X32 + 13, X32 + 96), fc.nat(0xffff_ffff)),
	arch: fc.constantFrom(X86_64, X86_64, X86_64, I386, 0),
	pointer: fc.oneof(
		fc.constantFrom(PAGE, PAGE + 0x400n, PAGE + 0x800n, PAGE + 0xc00n, PAGE + 1n, PAGE - 0x400n),
		fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
	),
	args: fc.tuple(
		fc.oneof(fc.constantFrom(11n, 7n, 0x1_0000_000bn), fc.bigInt(0n, 0xffff_ffff_ffff_ffffn)),
		fc.oneof(fc.constantFrom(0n, 1n, 1n << 32n), fc.bigInt(0n, 0xffff_ffff_ffff_ffffn)),
	),
});

/** The rule in a sentence per line. */
const ruled = ({ tracesPageCalls, tracesSegvActions }: FilterOptions, { nr, arch, pointer, args }: Call): number => {
	if (arch !== X86_64) return ALLOW;
	if (tracesPageCalls && [96, 201, 309].includes(nr) && (pointer & ~0xc00n) === PAGE) return TRACE + PAGE_CALL;
	const [signal = 0n, pointerToAction = 0n] = args;
	if (tracesSegvActions && nr === 13 && BigInt.asIntN(32, signal) === 11n && pointerToAction !== 0n)
		return TRACE + SEGV_ACTION;
	return ALLOW;
};

for (const options of OPTIONS.filter(({ tracesTimeCalls }) => !tracesTimeCalls)) {
	describe(`with ${JSON.stringify(options)}`, () => {
		const filter = buildFilter(options);

		test("the answer follows the rule for any call", () => {
			fc.assert(
				fc.property(arbitraryCall, (call) => assert.equal(interpret(filter, call).answer, ruled(options, call))),
				{ numRuns: 5000 },
			);
		});

		test("every other number is allowed by architecture and number alone", () => {
			const watched = [...(options.tracesPageCalls ? [96, 201, 309] : []), ...(options.tracesSegvActions ? [13] : [])];
			for (let nr = 0; nr < 1024; nr++) {
				const { answer, reads } = interpret(filter, { ...usual, nr });
				const depends = [...reads].some((offset) => offset > 4);
				assert.deepEqual([answer, depends], [ALLOW, watched.includes(nr)], `number ${nr}`);
			}
		});
	});
}

for (const options of OPTIONS) {
	test(`with ${JSON.stringify(options)} every jump stays inside the program, which ends with an answer`, () => {
		const instructions = instructionsOf(buildFilter(options));
		instructions.forEach(({ code, yes, no, k }, index) => {
			const furthest = code === 0x05 ? k : Math.max(yes, no);
			if ([0x05, 0x15, 0x45].includes(code)) assert.ok(index + 1 + furthest < instructions.length, `jump at ${index}`);
		});
		assert.equal(instructions.at(-1)?.code, 0x06);
	});
}

test("the program reads as what it is", () => {
	const names = new Map([
		[0, "nr"],
		[4, "arch"],
		[8, "ip low"],
		[12, "ip high"],
		[16, "signal"],
		[24, "action low"],
		[28, "action high"],
	]);
	const text = instructionsOf(ACTIONS).map(({ code, yes, no, k }, index) => {
		const value = k.toString(16);
		if (code === 0x20) return `${index} load ${names.get(k) ?? value}`;
		if (code === 0x54) return `${index} and ${value}`;
		if (code === 0x05) return `${index} go ${index + 1 + k}`;
		if (code === 0x15) return `${index} if ${value} go ${index + 1 + yes} else ${index + 1 + no}`;
		return `${index} return ${value}`;
	});
	assert.deepEqual(text, [
		"0 load arch",
		"1 if c000003e go 3 else 2",
		"2 go 14",
		"3 load nr",
		"4 if d go 5 else 13",
		"5 load signal",
		"6 if b go 7 else 12",
		"7 load action low",
		"8 if 0 go 9 else 11",
		"9 load action high",
		"10 if 0 go 12 else 11",
		"11 return 7ff07674",
		"12 return 7fff0000",
		"13 return 7fff0000",
		"14 return 7fff0000",
	]);
});
