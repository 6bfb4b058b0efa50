/** The filter program: what it says to every kind of call, by a small interpreter of classic BPF. The kernel's own word: spawn-filter.test.ts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ByteReader } from "../../src/bytes.ts";
import { buildFilter, type FilterOptions, PAGE_CALL, SEGV_ACTION } from "../../src/linux/seccomp.ts";

const X86_64 = 0xc000_003e;
const I386 = 0x4000_0003;
const X32 = 0x4000_0000;
const PAGE = 0xffff_ffff_ff60_0000n;
const ALLOW = 0x7fff_0000;
const TRACE = 0x7ff0_0000;

interface Call {
	readonly nr: number;
	readonly arch: number;
	readonly pointer: bigint;
	readonly args: readonly [bigint, bigint];
}

interface Instruction {
	readonly code: number;
	readonly yes: number;
	readonly no: number;
	readonly k: number;
}

const instructionsOf = (filter: Uint8Array): readonly Instruction[] => {
	const reader = new ByteReader(filter);
	return Array.from({ length: filter.length / 8 }, (_, index) => ({
		code: reader.u16(8 * index),
		yes: reader.u8(8 * index + 2),
		no: reader.u8(8 * index + 3),
		k: reader.u32(8 * index + 4),
	}));
};

/** struct seccomp_data: include/uapi/linux/seccomp.h. */
const wordsOf = ({ nr, arch, pointer, args }: Call): Uint32Array => {
	const data = new DataView(new ArrayBuffer(64));
	data.setUint32(0, nr, true);
	data.setUint32(4, arch, true);
	[pointer, ...args].forEach((word, index) => data.setBigUint64(8 + 8 * index, word, true));
	return new Uint32Array(data.buffer);
};

/** The answer, and the offsets of the data that it depends on. */
const interpret = (
	filter: Uint8Array,
	call: Call,
): { readonly answer: number; readonly reads: ReadonlySet<number> } => {
	const instructions = instructionsOf(filter);
	const words = wordsOf(call);
	const reads = new Set<number>();
	let accumulator = 0;
	for (let index = 0; ; index++) {
		const { code, yes, no, k } = instructions[index] ?? assert.fail(`runs past its end at ${index}`);
		if (code === 0x06) return { answer: k, reads };
		if (code === 0x20) {
			reads.add(k);
			accumulator = words[k / 4] ?? assert.fail(`loads from ${k}`);
		} else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
		else if (code === 0x15) index += accumulator === k ? yes : no;
		else assert.fail(`instruction ${code.toString(16)}`);
	}
};

const OPTIONS: readonly FilterOptions[] = [true, false].flatMap((tracesPageCalls) =>
	[true, false].map((tracesSegvActions) => ({ tracesPageCalls, tracesSegvActions })),
);
const BOTH = buildFilter({ tracesPageCalls: true, tracesSegvActions: true });

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
	const signal = BigInt.asIntN(32, args[0]);
	if (tracesSegvActions && nr === 13 && signal === 11n && args[1] !== 0n) return TRACE + SEGV_ACTION;
	return ALLOW;
};

for (const options of OPTIONS) {
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

		test("every jump stays inside the program, which ends with an answer", () => {
			const instructions = instructionsOf(filter);
			instructions.forEach(({ code, yes, no }, index) => {
				if (code === 0x15) assert.ok(index + 1 + Math.max(yes, no) < instructions.length, `jump at ${index}`);
			});
			assert.equal(instructions.at(-1)?.code, 0x06);
		});
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
	const text = instructionsOf(BOTH).map(({ code, yes, no, k }, index) => {
		const value = k.toString(16);
		if (code === 0x20) return `${index} load ${names.get(k) ?? value}`;
		if (code === 0x54) return `${index} and ${value}`;
		if (code === 0x15) return `${index} if ${value} go ${index + 1 + yes} else ${index + 1 + no}`;
		return `${index} return ${value}`;
	});
	assert.deepEqual(text, [
		"0 load arch",
		"1 if c000003e go 2 else 7",
		"2 load nr",
		"3 if 60 go 8 else 4",
		"4 if c9 go 8 else 5",
		"5 if 135 go 8 else 6",
		"6 if d go 14 else 7",
		"7 return 7fff0000",
		"8 load ip high",
		"9 if ffffffff go 10 else 21",
		"10 load ip low",
		"11 and fffff3ff",
		"12 if ff600000 go 13 else 21",
		"13 return 7ff07673",
		"14 load signal",
		"15 if b go 16 else 21",
		"16 load action low",
		"17 if 0 go 18 else 20",
		"18 load action high",
		"19 if 0 go 21 else 20",
		"20 return 7ff07674",
		"21 return 7fff0000",
	]);
});
