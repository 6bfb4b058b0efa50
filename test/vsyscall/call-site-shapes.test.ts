import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, suite, test } from "node:test";
import fc from "fast-check";
import { readElf } from "../../src/elf/reader.ts";
import { type Caller, type CallSite, findPatch, type GeneralRegister } from "../../src/vsyscall/call-site.ts";
import { VSYSCALL_ADDR } from "../../src/vsyscall/page.ts";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

const ENTRY = VSYSCALL_ADDR(1);
const TARGET = 0x3b60_0400n;
const RETURN = 0x40_1080n;
const WORD = 0x40_4010n;
const FUNCTION = 0x40_2000n;

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const word = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

type Memory = ReadonlyMap<bigint, Uint8Array>;

const reader =
	(memory: Memory): Caller["read"] =>
	(address, length) => {
		for (const [start, bytes] of memory) {
			const offset = Number(address - start);
			if (offset >= 0 && offset < bytes.length) return bytes.slice(offset, offset + length);
		}
		return new Uint8Array(0);
	};

/** As compilers align functions. */
const NOPS = new Uint8Array(128).fill(0x90);

interface Case {
	/** What ends at the return address, behind nops. */
	readonly code: string;
	/** Code at FUNCTION. */
	readonly callee?: string;
	/** What is at WORD. @default ENTRY */
	readonly pointer?: bigint;
	readonly registers?: Partial<Record<GeneralRegister, bigint>>;
	readonly further?: Memory;
	readonly entry?: bigint;
	readonly target?: bigint;
}

const find = ({ code, callee = "", pointer = ENTRY, registers = {}, ...rest }: Case): CallSite => {
	const bytes = hex(code);
	const before = NOPS.slice(bytes.length);
	const memory = new Map([
		[RETURN - 128n, Uint8Array.of(...before, ...bytes)],
		[FUNCTION, Uint8Array.of(...hex(callee), ...(callee === "" ? [] : new Uint8Array(64).fill(0xcc)))],
		[WORD, word(pointer)],
		...(rest.further ?? []),
	]);
	return findPatch(
		{ entry: rest.entry ?? ENTRY, returnAddress: RETURN, register: (name) => registers[name], read: reader(memory) },
		rest.target ?? TARGET,
	);
};

/** kind, address, before -> after */
const told = (site: CallSite): string => {
	if (site.kind !== "patch") return site.kind;
	const { operand, address, before, after, isAtomic } = site.patch;
	const distance = address - RETURN;
	const place =
		address === WORD ? "WORD" : address >= FUNCTION && address < WORD ? `FUNCTION+${address - FUNCTION}` : distance;
	return `${operand} ${place} ${text(before)}->${text(after)}${isAtomic ? " atomic" : ""}`;
};

const IMMEDIATE = "000460ff";
const WIDE = "000460ffffffffff";
const BYTE = "ff->3b atomic";
const POINTER = `pointer WORD ${WIDE}->0004603b00000000 atomic`;
/** The displacement of an operand at WORD for an instruction that ends `back` bytes before the return address. */
const rip = (back = 0): string => text(word(WORD - RETURN + BigInt(back)).slice(0, 4));
const CALL_FUNCTION = `e8 ${text(word(FUNCTION - RETURN).slice(0, 4))}`;
const FROM_FUNCTION = (end: number): string => text(word(WORD - FUNCTION - BigInt(end)).slice(0, 4));
const ABSOLUTE = text(word(WORD).slice(0, 4));

const SHAPES: readonly (readonly [string, Case, string])[] = [
	["mov $imm32, %rax; call *%rax", { code: `48c7c0${IMMEDIATE} ffd0` }, `immediate -3 ${BYTE}`],
	["mov $imm32, %r12; call *%r12", { code: `49c7c4${IMMEDIATE} 41ffd4` }, `immediate -4 ${BYTE}`],
	["mov $imm32, %rsp's number in r12 is not rsp", { code: `48c7c4${IMMEDIATE} 41ffd4` }, "unknown"],
	[
		"mov $imm32, %rbx; 3 others; call *%rbx",
		{ code: `48c7c3${IMMEDIATE} b801000000 31f6 4889ca ffd3` },
		`immediate -13 ${BYTE}`,
	],
	["a move that is copied", { code: `48c7c3${IMMEDIATE} 4889d8 ffd0` }, `immediate -6 ${BYTE}`],
	["a conditional jump in between", { code: `48c7c3${IMMEDIATE} 85c0 7402 ffc1 ffd3` }, `immediate -9 ${BYTE}`],
	["a call in between keeps rbx", { code: `48c7c3${IMMEDIATE} e800010000 ffd3` }, `immediate -8 ${BYTE}`],
	["movabs $imm64, %rax", { code: `48b8${WIDE} ffd0` }, `immediate64 -10 ${WIDE}->0004603b00000000`],
	[
		"movabs $imm64, %r9, further away",
		{ code: `49b9${WIDE} 31c0 41ffd1` },
		`immediate64 -13 ${WIDE}->0004603b00000000`,
	],
	["call *x(%rip)", { code: `ff15${rip()}` }, POINTER],
	["call *abs32", { code: `ff1425${ABSOLUTE}` }, POINTER],
	["call *(%rbx)", { code: "ff13", registers: { rbx: WORD } }, POINTER],
	["call *(%r12)", { code: "41ff1424", registers: { r12: WORD } }, POINTER],
	["call *-8(%rbp)", { code: "ff55f8", registers: { rbp: WORD + 8n } }, POINTER],
	["call *disp32(%r13,%r14,8)", { code: "43ff94f500010000", registers: { r13: WORD - 0x110n, r14: 2n } }, POINTER],
	["call *8(%rsp) counts from before the call", { code: "ff542408", registers: { rsp: WORD - 16n } }, POINTER],
	["mov x(%rip), %rax; call *%rax", { code: `488b05${rip(2)} ffd0` }, POINTER],
	["mov x(%rip), %r13; 2 others; call *%r13", { code: `4c8b2d${rip(10)} 31f6 ba07000000 41ffd5` }, POINTER],
	["mov abs32, %rbx; call *%rbx", { code: `488b1c25${ABSOLUTE} ffd3` }, POINTER],
	["movabs moffs64, %rax; call *%rax", { code: `48a1${text(word(WORD))} ffd0` }, POINTER],
	["mov 16(%rbx), %rax; call *%rax", { code: "488b4310 ffd0", registers: { rbx: WORD - 16n } }, POINTER],
	[
		"a base that is loaded itself, and lost",
		{ code: `488b05 ${text(word(FUNCTION - RETURN + 3n).slice(0, 4))} ff5008`, callee: text(word(WORD - 8n)) },
		POINTER,
	],
	["call of a PLT stub", { code: CALL_FUNCTION, callee: `ff25${FROM_FUNCTION(6)}` }, POINTER],
	[
		"call of a PLT stub with endbr64 and bnd",
		{ code: CALL_FUNCTION, callee: `f30f1efa f2ff25${FROM_FUNCTION(11)}` },
		POINTER,
	],
	[
		"call of a function that jumps on",
		{ code: CALL_FUNCTION, callee: `48c7c0${IMMEDIATE} ffe0` },
		`immediate FUNCTION+6 ${BYTE}`,
	],
	[
		"the same with endbr64 and arguments",
		{ code: CALL_FUNCTION, callee: `f30f1efa 31f6 48c7c0${IMMEDIATE} ffe0` },
		`immediate FUNCTION+12 ${BYTE}`,
	],
	[
		"the same through a kept register",
		{ code: "ffd3", registers: { rbx: FUNCTION }, callee: `48c7c0${IMMEDIATE} ffe0` },
		`immediate FUNCTION+6 ${BYTE}`,
	],
	[
		"the same through a pointer",
		{ code: `ff15${rip()}`, pointer: FUNCTION, callee: `48c7c0${IMMEDIATE} ffe0` },
		`immediate FUNCTION+6 ${BYTE}`,
	],
	[
		"a PLT stub of a function that jumps on",
		{
			code: CALL_FUNCTION,
			callee: `ff25${FROM_FUNCTION(6)}`,
			pointer: 0x7000_0000n,
			further: new Map([[0x7000_0000n, hex(`48c7c0${IMMEDIATE}ffe0`)]]),
		},
		`immediate ${0x7000_0003n + 3n - RETURN} ${BYTE}`,
	],
	[
		"call of the page itself",
		{ code: `e8 ${text(word(ENTRY - RETURN).slice(0, 4))}` },
		`displacement -4 ${text(word(ENTRY - RETURN).slice(0, 4))}->${text(word(TARGET - RETURN).slice(0, 4))}`,
	],
	[
		"a target with other low bytes takes four bytes",
		{ code: `48c7c0${IMMEDIATE} ffd0`, target: 0x3b61_0400n },
		`immediate -6 ${IMMEDIATE}->0004613b`,
	],
	[
		"an odd pointer is not atomic",
		{ code: "ff13", registers: { rbx: 0x9001n }, further: new Map([[0x9001n, word(ENTRY)]]) },
		`pointer ${0x9001n - RETURN} ${WIDE}->0004603b00000000`,
	],
];

const NEGATIVES: readonly (readonly [string, Case])[] = [
	["another entry's immediate", { code: "48c7c0000060ff ffd0" }],
	["an immediate of 32 bits", { code: `b8${IMMEDIATE} ffd0` }],
	["a move to another register", { code: `48c7c3${IMMEDIATE} ffd0`, registers: {} }],
	["a move in front of ret", { code: `48c7c0${IMMEDIATE} c3 ffd0` }],
	["a move in front of a jump", { code: `48c7c0${IMMEDIATE} eb02 ffd0` }],
	["a move in front of a function's first instruction", { code: `48c7c3${IMMEDIATE} f30f1efa ffd3` }],
	["a move that is overwritten", { code: `48c7c0${IMMEDIATE} 4889c8 ffd0` }],
	["a move that is changed", { code: `48c7c3${IMMEDIATE} 4883c300 ffd3` }],
	["a move to rax in front of another call", { code: `48c7c0${IMMEDIATE} e800010000 ffd0` }],
	["an immediate inside movabs", { code: `4889d8 4889ca 4889fe 49ba11 48c7c0${IMMEDIATE} ffd0` }],
	["an immediate inside a store", { code: `4889d8 4889ca 4889fe c783aa 48c7c0${IMMEDIATE} ffd0` }],
	["a pointer in fs", { code: `64ff1425${ABSOLUTE}` }],
	["a pointer in gs, relative to rip", { code: `65ff15${rip()}` }],
	["a base of 32 bits", { code: "67ff13", registers: { rbx: WORD } }],
	["a base that the load has overwritten", { code: "488b5b08 ffd3", registers: { rbx: WORD - 8n } }],
	["a base that is written in between", { code: "488b03 4883c308 ffd0", registers: { rbx: WORD } }],
	["a base that a call has clobbered", { code: "488b1f e800010000 ffd3", registers: { rdi: WORD } }],
	["rsp after a push", { code: "488b0424 50 ffd0", registers: { rsp: WORD - 8n } }],
	["a pointer to something else", { code: `ff15${rip()}`, pointer: ENTRY + 1n }],
	["a base that is lost", { code: "ff5008" }],
	["a computed address", { code: "48c7c0f6ffffff 48c1e014 480500040000 ffd0" }],
	["a function that does more than jump on", { code: CALL_FUNCTION, callee: `e800000000 48c7c0${IMMEDIATE} ffe0` }],
	["a function that returns", { code: CALL_FUNCTION, callee: `c3 48c7c1${IMMEDIATE} ffe1` }],
	["a function that jumps in a circle", { code: CALL_FUNCTION, callee: "ebfe" }],
	["a call that is none", { code: `48c7c0${IMMEDIATE} ffe0` }],
	[
		"a direct call with a target out of reach",
		{ code: `e8 ${text(word(ENTRY - RETURN).slice(0, 4))}`, target: 0x7f00_0060_0400n },
	],
	["an immediate with a target out of reach", { code: `48c7c0${IMMEDIATE} ffd0`, target: 0x9060_0400n }],
];

const PATCHED: readonly (readonly [string, Case])[] = [
	// 41 ff d0 alone is call *%r8.
	["immediate that ends in what looks like a prefix", { code: "48c7c000046041 ffd0", target: 0x4160_0400n }],
	["the same of another register, further away", { code: "48c7c300046041 31c0 ffd3", target: 0x4160_0400n }],
	["immediate", { code: "48c7c00004603b ffd0" }],
	["immediate of rbx that was read before", { code: "48c7c30004603b 31c0 ffd3", registers: { rbx: ENTRY } }],
	["movabs", { code: "48b80004603b00000000 ffd0" }],
	["pointer", { code: `ff15${rip()}`, pointer: TARGET }],
	["GOT word", { code: CALL_FUNCTION, callee: `ff25${FROM_FUNCTION(6)}`, pointer: TARGET }],
	["function that jumps on", { code: CALL_FUNCTION, callee: "48c7c00004603b ffe0" }],
	["direct call", { code: `e8 ${text(word(TARGET - RETURN).slice(0, 4))}` }],
];

suite("the operand of a call", () => {
	for (const [name, example, expected] of SHAPES) test(name, () => assert.equal(told(find(example)), expected));
	for (const number of [0, 1, 2] as const) {
		test(`entry ${number} keeps its distance`, () => {
			const low = ["00", "04", "08"][number] ?? "";
			const [entry, target] = [VSYSCALL_ADDR(number), 0x7e60_0000n + BigInt(1024 * number)];
			assert.equal(told(find({ code: `48c7c000${low}60ffffd0`, entry, target })), "immediate -3 ff->7e atomic");
		});
	}

	test("code at the start of a mapping is found", () => {
		const code = hex(`48c7c0${IMMEDIATE} ffd0`);
		const returnAddress = 0x5000n + BigInt(code.length);
		const read = reader(new Map([[0x5000n, code]]));
		assert.equal(findPatch({ entry: ENTRY, returnAddress, register: () => undefined, read }, TARGET).kind, "patch");
	});
});

suite("what is not an operand of the call is left alone", () => {
	for (const [name, example] of NEGATIVES) test(name, () => assert.equal(told(find(example)), "unknown"));
	test("a call of which nothing is mapped", () => {
		const read = reader(new Map());
		for (const returnAddress of [0n, 1n, RETURN, 2n ** 64n - 1n]) {
			const caller = { entry: ENTRY, returnAddress, register: () => 0n, read };
			assert.equal(findPatch(caller, TARGET).kind, "unknown");
		}
	});
});

suite("an operand that another thread has changed is patched", () => {
	for (const [name, example] of PATCHED) test(name, () => assert.equal(told(find(example)), "patched"));
});

const PIECES = [
	...SHAPES.map(([, { code }]) => hex(code)),
	...["41", "ffd0", "c3", "48", "e8", "ff15", "ff14", IMMEDIATE, WIDE, rip()].map(hex),
];
const anyCode = fc
	.array(fc.oneof(fc.uint8Array({ maxLength: 8 }), fc.constantFrom(...PIECES)), { maxLength: 24 })
	.map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])).slice(-200));
const anyRegister = fc.oneof(
	fc.constantFrom(ENTRY, WORD, FUNCTION, undefined),
	fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);

test("any bytes give an answer, and a patch only of what stands there and names the entry", () => {
	let patches = 0;
	fc.assert(
		fc.property(anyCode, anyCode, anyRegister, fc.boolean(), (code, callee, value, isStart) => {
			const memory = new Map([
				[
					isStart ? RETURN - BigInt(code.length) : RETURN - 256n,
					isStart ? code : Uint8Array.of(...NOPS, ...NOPS.slice(0, 128), ...code).slice(-256),
				],
				[FUNCTION, callee],
				[WORD, word(ENTRY)],
			]);
			const read = reader(memory);
			const site = findPatch({ entry: ENTRY, returnAddress: RETURN, register: () => value, read }, TARGET);
			if (site.kind !== "patch") return;
			patches += 1;
			const { operand, address, before, after, isAtomic } = site.patch;
			assert.deepEqual(read(address, before.length), before);
			assert.equal(after.length, before.length);
			if (isAtomic) assert.ok(before.length === 1 || (before.length === 8 && address % 8n === 0n));
			if (operand === "immediate") assert.deepEqual(text(read(address - 3n, 4)), IMMEDIATE);
			if (operand === "pointer" || operand === "immediate64") assert.equal(text(before), WIDE);
		}),
		{ numRuns: 2000, endOnFailure: true },
	);
	assert.ok(patches > 20, `only ${patches} of the samples led to a patch`);
});

const LINKS = [
	["glibc", []],
	["glibc", ["-fno-pie", "-no-pie"]],
	["glibc-static", ["-fno-pie", "-no-pie"]],
] as const;

/** What a fixture's site is patched in; the others in a pointer. */
const OPERANDS: readonly (readonly [RegExp, string])[] = [
	[/^immediate|^tail(?:_register|_indirect|_chain)?$/, "immediate"],
	[/^movabs|^tail_movabs$/, "immediate64"],
	[/^direct$/, "displacement"],
	[/^computed$/, "unknown"],
];

/** Registers that a shape has loaded an address into, by symbol, or a number. */
const REGISTERS: Readonly<Record<string, Partial<Record<GeneralRegister, string | bigint>>>> = {
	pointer_base: { rbx: "table_base" },
	pointer_index: { rbx: "table_index", r13: 2n },
	pointer_short: { r12: "table_short" },
	pointer_odd: { rbx: "word_odd" },
	loaded_base: { r12: "table_load" },
	tail_register: { rbx: "function_register" },
};

describe("call sites that the assembler has made", () => {
	for (const [toolchain, flags] of LINKS) {
		test(`${toolchain} ${flags.join(" ")}`, (t) => {
			if (!has(t, "gcc", "nm")) return;
			const program = build(toolchain, "call-sites.c", flags);
			const file = readFileSync(program);
			const segments = readElf(file).programHeaders.filter(({ type }) => type === 1);
			const read = reader(
				new Map(
					segments.map(({ virtualAddress, offset, fileSize }) => [
						virtualAddress,
						file.subarray(Number(offset), Number(offset) + Number(fileSize)),
					]),
				),
			);
			const lines = execFileSync("nm", [program], { encoding: "utf8" }).split("\n");
			const symbols = new Map(
				lines.map((line) => line.split(" ")).map(([value, , name]) => [name, BigInt(`0x${value || 0}`)]),
			);
			const at = (name: string): bigint => symbols.get(name) ?? assert.fail(`no symbol ${name}`);
			const shapes = execFileSync(program, ["--list"], { encoding: "utf8" }).trim().split("\n");
			assert.equal(shapes.length, flags.length === 0 ? 30 : 34);
			for (const shape of shapes) {
				const number = shape.endsWith("gettimeofday") ? 0 : shape.endsWith("getcpu") ? 2 : 1;
				const known = REGISTERS[shape] ?? {};
				const register = (name: GeneralRegister): bigint | undefined => {
					const value = known[name];
					return typeof value === "string" ? at(value) : value;
				};
				const target = 0x3b60_0000n + BigInt(number * 1024);
				const site = findPatch(
					{ entry: VSYSCALL_ADDR(number), returnAddress: at(`after_${shape}`), register, read },
					target,
				);
				const expected = OPERANDS.find(([pattern]) => pattern.test(shape))?.[1] ?? "pointer";
				assert.equal(site.kind === "patch" ? site.patch.operand : site.kind, expected, shape);
				if (shape === "pointer_odd") assert.ok(site.kind === "patch" && !site.patch.isAtomic);
				if (site.kind === "patch")
					assert.equal(text(read(site.patch.address, site.patch.before.length)), text(site.patch.before));
			}
		});
	}
});
