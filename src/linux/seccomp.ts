/**
 * The seccomp filter that stops the calls which the supervisor answers: a classic BPF program over struct seccomp_data.
 *
 *     offset  0  nr                    u32
 *             4  arch                  u32
 *             8  instruction_pointer   u64
 *            16  args[6]               u64 each
 *
 * The architecture is tested first, since the numbers of i386 and x32 mean other calls (a 64-bit program reaches those of i386 by
 * int 0x80). Whatever is not one of the numbers of a rule is allowed by architecture and number alone: the kernel finds such
 * numbers when the filter is installed and never runs it for them (the action cache of Linux 5.11, seccomp_cache_prepare in
 * kernel/seccomp.c), so they cost next to nothing.
 *
 *     load arch
 *     if x86-64      load nr;  if NUMBER  tests of the rule ... return TRACE | reason
 *                              if NUMBER  ...
 *                              return ALLOW
 *     if i386        the same with its own numbers
 *     return ALLOW
 *
 * Words are little-endian: the low half of a u64 comes first.
 */
import { setU16, setU32 } from "../bytes.ts";
import {
	IO_URING_ENTER,
	IO_URING_REGISTER,
	IO_URING_SETUP,
	IORING_REGISTER_RESIZE_RINGS,
	IORING_REGISTER_RING_FDS,
	IORING_REGISTER_USE_REGISTERED_RING,
	IORING_UNREGISTER_RING_FDS,
} from "../syscalls/io-uring.ts";
import type { Pretence } from "../syscalls/pretence.ts";
import { pretendedRules } from "../syscalls/pretended-calls.ts";
import type { IoUringWay } from "../syscalls/io-uring-way.ts";
import { NUMBERS } from "../syscalls/numbers.ts";
import {
	ARGUMENT_TESTS,
	type ArgumentTest,
	type Architecture,
	TIME_CALLS,
	type TimeCall,
	type TimeCallName,
} from "../syscalls/time-calls.ts";
import { VSYSCALL_SIZE, VSYSCALL_START, VSYSCALLS } from "../vsyscall/page.ts";
import {
	CLONE_UNTRACED,
	PTRACE_ATTACH,
	PTRACE_CONT,
	PTRACE_DETACH,
	PTRACE_GETEVENTMSG,
	PTRACE_SEIZE,
	PTRACE_TRACEME,
	SIGSEGV,
	SYS_clone,
	SYS_rt_sigaction,
} from "./constants.ts";

/**
 * What PTRACE_GETEVENTMSG says at a stop: why the filter has stopped the task. Other words come from a filter of the program's own:
 * these are such that no program will have them by chance.
 */
export const PAGE_CALL = 0x7673;
export const SEGV_ACTION = 0x7674;
/** A call of syscalls/time-calls.ts that may mean the wall clock, by the architecture whose number it has. */
export const TIME_CALL: Readonly<Record<Architecture, number>> = { "x86-64": 0x7675, i386: 0x7676 };
/** A call of ptrace(2) that fills or empties the tracer's slot of a task, or looks at one. */
export const TRACER_CALL = 0x7677;

/** A read of a descriptor that is watched (buildReadFilter), by architecture. */
export const WATCHED_READ: Readonly<Record<Architecture, number>> = { "x86-64": 0x7678, i386: 0x7679 };

/** A clone(2) with CLONE_UNTRACED. */
export const UNTRACED_CLONE = 0x767a;

/** A call of io_uring, by architecture. */
export const IO_URING_CALL: Readonly<Record<Architecture, number>> = { "x86-64": 0x7680, i386: 0x7681 };

/** A call of pretended-calls.ts, by architecture. */
export const PRETENDED_CALL: Readonly<Record<Architecture, number>> = { "x86-64": 0x7682, i386: 0x7683 };

export interface FilterOptions {
	/** Stops calls of the vsyscall page, told by the instruction pointer: on hosts that serve it. */
	readonly tracesPageCalls: boolean;
	/** Stops rt_sigaction(SIGSEGV, action, ...). */
	readonly tracesSegvActions: boolean;
	/** Stops the system calls that mean the wall clock. */
	readonly tracesTimeCalls: boolean;
	/**
	 * Stops ptrace(2) where it begins tracing, and where a tracer without the key looks at what was executed or leaves it; and clone(2)
	 * that makes a task which is not to be traced. @default false
	 */
	readonly tracesTracers?: boolean;
	/** Stops the calls that make rings ("refuse"), and those that submit to them or give them other names as well ("follow"). @default "host" */
	readonly ioUring?: IoUringWay;
	/** Stops the calls that it is about. @default undefined: none */
	readonly pretence?: Pretence | undefined;
	/** What calls pass that mean the host's time, and are not to be stopped: a 32-bit word, in the argument of KEY_ARGUMENT. */
	readonly syscallKey?: number | undefined;
}

const AUDIT_ARCH: Readonly<Record<Architecture, number>> = { "x86-64": 0xc000_003e, i386: 0x4000_0003 };
const SECCOMP_RET_ALLOW = 0x7fff_0000;
const SECCOMP_RET_TRACE = 0x7ff0_0000;
const SECCOMP_RET_ERRNO = 0x0005_0000;

const DATA = { nr: 0, arch: 4, pointerLow: 8, pointerHigh: 12, args: 16 } as const;
const low = (argument: number): number => DATA.args + 8 * argument;
const high = (argument: number): number => low(argument) + 4;

const BPF_LD_W_ABS = 0x20;
const BPF_ALU_AND_K = 0x54;
const BPF_JMP_JA = 0x05;
const BPF_JMP_JEQ_K = 0x15;
const BPF_JMP_JSET_K = 0x45;
const BPF_RET_K = 0x06;
/** struct sock_filter. */
export const FILTER_INSTRUCTION_SIZE = 8;

interface Instruction {
	readonly code: number;
	readonly k: number;
	/** How many instructions are skipped. */
	readonly yes?: number;
	readonly no?: number;
}

/** Where a test goes on: with the next instruction, with the next test, or not at all. */
type Way = "next" | "passed" | "failed";
type TestLine = { readonly code: number; readonly k: number; readonly yes?: Way; readonly no?: Way };

/** A call that stops the task where every test is passed. */
interface Rule {
	readonly number: number;
	readonly tests: readonly (readonly TestLine[])[];
	readonly reason: number;
}

const load = (offset: number): TestLine => ({ code: BPF_LD_W_ABS, k: offset });
const mask = (k: number): TestLine => ({ code: BPF_ALU_AND_K, k });
const equals = (k: number, yes: Way, no: Way): TestLine => ({ code: BPF_JMP_JEQ_K, k, yes, no });

const LOW_HALF = 0xffff_ffffn;
/** The bits of an address that tell one entry from another: addr_to_vsyscall_nr, vsyscall_64.c. */
const ENTRY_BITS = 3 * VSYSCALL_SIZE;

const IN_PAGE: readonly TestLine[] = [
	load(DATA.pointerHigh),
	equals(Number(VSYSCALL_START >> 32n), "next", "failed"),
	load(DATA.pointerLow),
	mask(~ENTRY_BITS),
	equals(Number(VSYSCALL_START & LOW_HALF), "passed", "failed"),
];

const testLines = (test: ArgumentTest): readonly TestLine[] => {
	const { argument } = test;
	if ("isNull" in test) {
		return [load(low(argument)), equals(0, "next", "passed"), load(high(argument)), equals(0, "failed", "passed")];
	}
	// What the kernel takes as an int: the upper half of the register does not count.
	if ("hasBit" in test) {
		return [load(low(argument)), { code: BPF_JMP_JSET_K, k: test.hasBit, yes: "passed", no: "failed" }];
	}
	const { isOneOf, without } = test;
	return [
		load(low(argument)),
		...(without === undefined ? [] : [mask(~without)]),
		...isOneOf.map((value, index) => equals(value, "passed", index === isOneOf.length - 1 ? "failed" : "next")),
	];
};

/** Arguments that the kernel does not look at. */
const KEY_ARGUMENT: Readonly<Partial<Record<TimeCallName, number>>> = {
	clock_gettime: 2,
	gettimeofday: 2,
	timerfd_settime: 4,
};
const SEGV_ACTION_KEY = 4;

/** Fails for a call that has the key. */
const keyTest = (argument: number | undefined, key: number | undefined): Rule["tests"] =>
	argument === undefined || key === undefined ? [] : [[load(low(argument)), equals(key, "failed", "passed")]];

const timeRule = ({ name, number }: TimeCall, reason: number, syscallKey: number | undefined): Rule => {
	const tests = (ARGUMENT_TESTS[name] ?? []).map(testLines);
	return { number, reason, tests: [...tests, ...keyTest(KEY_ARGUMENT[name], syscallKey)] };
};

const SEGV_ACTION_TESTS: readonly ArgumentTest[] = [
	{ argument: 0, isOneOf: [SIGSEGV] },
	{ argument: 1, isNull: false },
];

const TRACER_TESTS: readonly ArgumentTest[] = [{ argument: 0, isOneOf: [PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE] }];
/**
 * By which a tracer looks at what has been executed, or leaves it. With the key, it covers that itself, and leaves it to another tracer.
 */
const LOOK_TESTS: readonly ArgumentTest[] = [
	{ argument: 0, isOneOf: [PTRACE_CONT, PTRACE_DETACH, PTRACE_GETEVENTMSG] },
];
const TRACER_KEY = 4;

const UNTRACED_TESTS: readonly ArgumentTest[] = [{ argument: 0, hasBit: CLONE_UNTRACED }];
/** The thread pointer, which the kernel looks at with CLONE_SETTLS only. */
const UNTRACED_KEY = 4;

const REGISTER_TESTS: readonly ArgumentTest[] = [
	{
		argument: 1,
		without: IORING_REGISTER_USE_REGISTERED_RING,
		isOneOf: [IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS, IORING_REGISTER_RESIZE_RINGS],
	},
];
/** A call that submits nothing only waits. */
const SUBMIT_TESTS: readonly ArgumentTest[] = [{ argument: 1, isNull: false }];

const ioUringRules = (way: IoUringWay, reason: number): readonly Rule[] => {
	const setup: Rule = { number: IO_URING_SETUP, tests: [], reason };
	if (way !== "follow") return way === "host" ? [] : [setup];
	const enter: Rule = { number: IO_URING_ENTER, tests: SUBMIT_TESTS.map(testLines), reason };
	return [setup, enter, { number: IO_URING_REGISTER, tests: REGISTER_TESTS.map(testLines), reason }];
};

const rulesFor = (architecture: Architecture, options: FilterOptions): readonly Rule[] => {
	const rules: Rule[] = [];
	if (architecture === "x86-64" && options.tracesPageCalls) {
		for (const { syscall } of VSYSCALLS) rules.push({ number: syscall, tests: [IN_PAGE], reason: PAGE_CALL });
	}
	if (architecture === "x86-64" && options.tracesSegvActions) {
		const tests = [...SEGV_ACTION_TESTS.map(testLines), ...keyTest(SEGV_ACTION_KEY, options.syscallKey)];
		rules.push({ number: SYS_rt_sigaction, tests, reason: SEGV_ACTION });
	}
	if (options.tracesTracers === true) {
		const number = NUMBERS[architecture].ptrace;
		rules.push({ number, tests: TRACER_TESTS.map(testLines), reason: TRACER_CALL });
		const looks = [...LOOK_TESTS.map(testLines), ...keyTest(TRACER_KEY, options.syscallKey)];
		if (architecture === "x86-64") {
			rules.push({ number, tests: looks, reason: TRACER_CALL });
			const tests = [...UNTRACED_TESTS.map(testLines), ...keyTest(UNTRACED_KEY, options.syscallKey)];
			rules.push({ number: SYS_clone, tests, reason: UNTRACED_CLONE });
		}
	}
	rules.push(...ioUringRules(options.ioUring ?? "host", IO_URING_CALL[architecture]));
	for (const { number, tests, keyArgument } of pretendedRules(architecture, options.pretence)) {
		const reason = PRETENDED_CALL[architecture];
		const key = keyTest(keyArgument, options.syscallKey);
		rules.push(...tests.map((all) => ({ number, tests: [...all.map(testLines), ...key], reason })));
	}
	if (!options.tracesTimeCalls) return rules;
	const reason = TIME_CALL[architecture];
	return [...rules, ...TIME_CALLS[architecture].map((call) => timeRule(call, reason, options.syscallKey))];
};

const ALLOW: Instruction = { code: BPF_RET_K, k: SECCOMP_RET_ALLOW };

/** The tests and the answer of one rule; a test that fails goes to what stands behind. */
const ruleInstructions = ({ tests, reason }: Rule): readonly Instruction[] => {
	const end = tests.reduce((length, lines) => length + lines.length, 1);
	let start = 0;
	const instructions = tests.flatMap((lines) => {
		const passed = start + lines.length;
		const placed = lines.map(({ code, k, yes = "next", no = "next" }, index): Instruction => {
			const skip = (way: Way): number => (way === "next" ? 0 : (way === "passed" ? passed : end) - (start + index) - 1);
			return { code, k, yes: skip(yes), no: skip(no) };
		});
		start = passed;
		return placed;
	});
	return [...instructions, { code: BPF_RET_K, k: SECCOMP_RET_TRACE | reason }];
};

/** The calls of one architecture: each number with its rules, in their order. */
const callInstructions = (rules: readonly Rule[]): readonly Instruction[] => {
	const numbers = [...new Set(rules.map(({ number }) => number))];
	const blocks = numbers.flatMap((number) => {
		const ofNumber = rules.filter((rule) => rule.number === number).flatMap(ruleInstructions);
		const block = [...ofNumber, ALLOW];
		return [{ code: BPF_JMP_JEQ_K, k: number, yes: 0, no: block.length }, ...block];
	});
	return [{ code: BPF_LD_W_ABS, k: DATA.nr }, ...blocks, ALLOW];
};

/** A long way is one that a conditional jump (8 bits) cannot go. */
const ifArchitecture = (architecture: Architecture, block: readonly Instruction[]): readonly Instruction[] => [
	{ code: BPF_JMP_JEQ_K, k: AUDIT_ARCH[architecture], yes: 1, no: 0 },
	{ code: BPF_JMP_JA, k: block.length },
	...block,
];

const encode = (instructions: readonly Instruction[]): Uint8Array => {
	const bytes = new Uint8Array(instructions.length * FILTER_INSTRUCTION_SIZE);
	instructions.forEach(({ code, k, yes = 0, no = 0 }, index) => {
		const offset = index * FILTER_INSTRUCTION_SIZE;
		setU16(bytes, offset, code);
		bytes[offset + 2] = yes;
		bytes[offset + 3] = no;
		setU32(bytes, offset + 4, k >>> 0);
	});
	return bytes;
};

const assemble = (rulesOf: (architecture: Architecture) => readonly Rule[]): Uint8Array =>
	encode([
		{ code: BPF_LD_W_ABS, k: DATA.arch },
		...(["x86-64", "i386"] as const).flatMap((architecture) => {
			const rules = rulesOf(architecture);
			return rules.length === 0 ? [] : ifArchitecture(architecture, callInstructions(rules));
		}),
		ALLOW,
	]);

export const buildFilter = (options: FilterOptions): Uint8Array =>
	assemble((architecture) => rulesFor(architecture, options));

/** A filter on top of the other: stops read(descriptor, ...). */
export const buildReadFilter = (descriptor: number): Uint8Array =>
	assemble((architecture) => [
		{
			number: NUMBERS[architecture].read,
			tests: [testLines({ argument: 0, isOneOf: [descriptor] })],
			reason: WATCHED_READ[architecture],
		},
	]);

/** A filter by which a system call fails, whatever its architecture: to see who makes it. */
export const buildRefusal = (number: number, errno: number): Uint8Array =>
	encode([
		{ code: BPF_LD_W_ABS, k: DATA.nr },
		{ code: BPF_JMP_JEQ_K, k: number, yes: 0, no: 1 },
		{ code: BPF_RET_K, k: SECCOMP_RET_ERRNO | errno },
		ALLOW,
	]);
