/** The page, its modes and the answers to calls: pure arithmetic against what the kernel's sources and real kernels say. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { disassemble } from "../../src/asm/disassembler.ts";
import { nanoseconds } from "../../src/units.ts";
import { answerCall, type CallWorld } from "../../src/vsyscall/emulate.ts";
import { ENTRY_PAGE_PLACES, entryPage, entryPagePlace } from "../../src/vsyscall/entry-page.ts";
import { finishLoad, planLoad } from "../../src/vsyscall/load.ts";
import {
	decidePolicy,
	type HostMode,
	MODES,
	type PagePolicy,
	parseMode,
	type RequestedMode,
} from "../../src/vsyscall/mode.ts";
import * as page from "../../src/vsyscall/page.ts";

suite("the page", () => {
	test("addresses are those of arch/x86/include/asm/vsyscall.h", () => {
		assert.equal(page.VSYSCALL_START, BigInt.asUintN(64, -10n << 20n));
		assert.equal(page.VSYSCALL_END, BigInt.asUintN(64, -2n << 20n));
		assert.deepEqual(([0, 1, 2] as const).map(page.VSYSCALL_ADDR), [
			0xffff_ffff_ff60_0000n,
			0xffff_ffff_ff60_0400n,
			0xffff_ffff_ff60_0800n,
		]);
	});

	test("an address is an entry when the kernel's mask says so", () => {
		const near = fc.bigInt({ min: page.VSYSCALL_START - 8192n, max: page.VSYSCALL_START + 8192n });
		fc.assert(
			fc.property(fc.oneof(near, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })), (address) => {
				const isEntry = (address & ~0xc00n) === page.VSYSCALL_START && (address & 0xc00n) >> 10n < 3n;
				const expected = isEntry ? Number((address & 0xc00n) >> 10n) : undefined;
				assert.equal(page.vsyscallAt(address), expected);
			}),
			{ numRuns: 5000, examples: [[0xffff_ffff_ff60_0c00n], [0xffff_ffff_ff60_0400n]] },
		);
	});

	test("its bytes are three stubs and int3", () => {
		const bytes = page.vsyscallPage();
		assert.equal(bytes.length, page.VSYSCALL_PAGE_SIZE);
		for (const [number, { syscall }] of page.VSYSCALLS.entries()) {
			const text = disassemble(bytes.subarray(number * 1024, number * 1024 + 10), 64, 0n).map((line) => line.text);
			assert.deepEqual(text, [`mov rax, 0x${syscall.toString(16)}`, "syscall", "ret"]);
			assert.ok(bytes.subarray(number * 1024 + 10, number * 1024 + 1024).every((byte) => byte === 0xcc));
		}
		assert.ok(bytes.subarray(3072).every((byte) => byte === 0xcc));
	});

	test("the entry page is three jumps to the words behind it, and int3", () => {
		const bytes = entryPage();
		const text = [0, 1, 2].map(
			(number) => disassemble(bytes.subarray(number * 1024, number * 1024 + 6), 64, BigInt(number * 1024))[0]?.text,
		);
		assert.deepEqual(text, ["jmp qword [rel 0x1000]", "jmp qword [rel 0x1008]", "jmp qword [rel 0x1010]"]);
		assert.equal(bytes.filter((byte) => byte !== 0xcc).length, 18);
	});

	test("every place of the entry page differs from the page in the top byte of an imm32 alone", () => {
		for (let index = 0; index < ENTRY_PAGE_PLACES; index++) {
			const place = entryPagePlace(index);
			assert.ok(place < 1n << 31n && (place & 0xff_ffffn) === (page.VSYSCALL_START & 0xff_ffffn));
		}
	});
});

const decide = (requested: RequestedMode, host: HostMode, isHostClock: boolean): PagePolicy | undefined =>
	decidePolicy({ requested, host, isHostClock, patches: true });

suite("modes", () => {
	test("names are exact, as the kernel's are", () => {
		for (const mode of [...MODES, "auto"]) assert.equal(parseMode(mode), mode);
		for (const name of ["", "Native", "xonly ", "none,xonly"])
			assert.throws(() => parseMode(name), { code: "ERR_VSYSCALL_MODE" });
	});

	test("what a host does by itself is left to it", () => {
		assert.equal(decide("auto", "emulate", true), undefined);
		assert.equal(decide("none", "none", false), undefined);
		assert.equal(decide("auto", "none", true)?.mode, "xonly");
		assert.equal(decide("auto", "emulate", false)?.mode, "emulate");
		assert.equal(decide("xonly", "none", true)?.tracesCalls, false);
		assert.equal(decide("none", "xonly", true)?.tracesSegvActions, false);
		assert.equal(decide("emulate", "xonly", true)?.copy, "readable");
		assert.equal(decide("emulate", "emulate", true)?.copy, "none");
		assert.equal(decide("native", "emulate", true)?.copy, "executable");
	});
});

/** A world in which only some addresses can be written; what is written is kept. */
const world = (writable: readonly bigint[]): CallWorld & { readonly written: Map<bigint, string> } => {
	const written = new Map<bigint, string>();
	return {
		written,
		wall: () => nanoseconds(-1_500n),
		coarseWall: () => nanoseconds(-2_000_000_001n),
		timezone: () => Uint8Array.from([60, 0, 0, 0, 1, 0, 0, 0]),
		cpu: () => ({ cpu: 3, node: 1 }),
		write: (address, bytes) => {
			if (!writable.includes(address)) return false;
			written.set(address, Buffer.from(bytes).toString("hex"));
			return true;
		},
	};
};

suite("answers", () => {
	const GOOD = 0x1000n;
	const ALSO = 0x2000n;
	const BAD = 0x3000n;
	const KERNEL = 0xffff_8800_0000_0000n;

	test("a time before 1970 is rounded down", () => {
		const place = world([GOOD]);
		assert.deepEqual(answerCall({ number: 0, rdi: GOOD, rsi: 0n }, place), { kind: "returned", rax: 0n });
		assert.equal(place.written.get(GOOD), "ffffffffffffffff3e420f0000000000");
		assert.deepEqual(answerCall({ number: 1, rdi: 0n, rsi: BAD }, place), {
			kind: "returned",
			rax: BigInt.asUintN(64, -3n),
		});
	});

	test("the time is stored before the zone faults", () => {
		const place = world([GOOD]);
		assert.deepEqual(answerCall({ number: 0, rdi: GOOD, rsi: BAD }, place), { kind: "fault" });
		assert.equal(place.written.size, 1);
	});

	test("the node is stored though the cpu faults", () => {
		const place = world([ALSO]);
		assert.deepEqual(answerCall({ number: 2, rdi: BAD, rsi: ALSO }, place), { kind: "fault" });
		assert.deepEqual([...place.written], [[ALSO, "01000000"]]);
	});

	test("both pointers are checked before anything is stored, the first one first", () => {
		const place = world([GOOD]);
		assert.deepEqual(answerCall({ number: 0, rdi: GOOD, rsi: KERNEL }, place), {
			kind: "not-user-memory",
			pointer: KERNEL,
		});
		assert.deepEqual(answerCall({ number: 2, rdi: KERNEL, rsi: KERNEL + 1n }, place), {
			kind: "not-user-memory",
			pointer: KERNEL,
		});
		assert.deepEqual(answerCall({ number: 1, rdi: GOOD, rsi: KERNEL }, place).kind, "returned");
		assert.equal(place.written.size, 1);
	});
});

suite("reads of the page", () => {
	const COPY = 0x7fff_1234_5000n;
	const START = page.VSYSCALL_START;
	const plan = (hex: string, values: Record<string, bigint>) =>
		planLoad(Uint8Array.from(Buffer.from(hex, "hex")), (name) => values[name] ?? 0n, COPY);

	test("the register that holds the address is moved, and moved back", () => {
		const load = plan("0fb64b05", { rbx: START });
		assert.ok(load?.kind === "step");
		assert.deepEqual([...load.during], [["rbx", COPY]]);
		assert.deepEqual([...finishLoad(load, () => COPY)], [["rbx", START]]);
	});

	test("a register that the instruction overwrites keeps its new value", () => {
		const load = plan("488b00", { rax: START + 8n });
		assert.ok(load?.kind === "step");
		assert.deepEqual([...load.during], [["rax", COPY + 8n]]);
		assert.equal(finishLoad(load, () => 5n).size, 0);
	});

	test("a string instruction keeps what it has moved on", () => {
		const load = plan("f3a4", { rsi: START + 4n, rdi: 0x5000n, rcx: 9n });
		assert.ok(load?.kind === "step");
		assert.deepEqual([...finishLoad(load, () => COPY + 5n)], [["rsi", START + 5n]]);
	});

	test("a move from an absolute address has its result", () => {
		assert.deepEqual(plan("0fb60425000860ff", { rax: -1n }), {
			kind: "moved",
			register: "rax",
			value: 0x48n,
			length: 8,
		});
		assert.deepEqual(plan("8a0425010060ff", { rax: 0x1122_3344_5566_7788n }), {
			kind: "moved",
			register: "rax",
			value: 0x1122_3344_5566_77c7n,
			length: 7,
		});
		assert.deepEqual(plan("480fbe0425010060ff", {}), {
			kind: "moved",
			register: "rax",
			value: BigInt.asUintN(64, -0x39n),
			length: 9,
		});
	});

	const faults: readonly (readonly [name: string, hex: string, values: Record<string, bigint>])[] = [
		["a write", "8803", { rbx: START }],
		["read-modify-write", "fe03", { rbx: START }],
		["an address elsewhere", "8a03", { rbx: START - 1n }],
		["a read across the end of the page", "488b03", { rbx: START + 4092n }],
		["pop", "58", { rsp: START }],
		["fs:", "64488b03", { rbx: START }],
	];
	for (const [name, hex, values] of faults) {
		test(`${name} stays a fault`, () => assert.equal(plan(hex, values), undefined));
	}

	test("a register that is an operand beside being the address stays a fault", () => {
		assert.equal(plan("483900", { rax: START }), undefined);
	});

	test("any bytes have an answer", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 15 }), (bytes) => void planLoad(bytes, () => START + 64n, COPY)),
			{ numRuns: 3000 },
		);
	});
});
