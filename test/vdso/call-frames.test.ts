/**
 * The call frame information of the image against what its instructions do: every instruction that can be reached is run
 * symbolically, with the stack pointer as an offset from where it stood at the entry, and compared with the row for its address.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { FrameDescription } from "../../src/elf/call-frame.ts";
import { readHostImage } from "../../src/linux/host-vdso.ts";
import { buildImage, type Image } from "../../src/vdso/image.ts";
import { type CodeBlock, codeBlocks, type DecodedInstruction, decodeRange } from "./decoded.ts";
import { observed, SYNTHETIC_HOSTS } from "./hosts.ts";

/** psABI x86-64, figure 3.36. */
const DWARF_RSP = 7;
const DWARF_RETURN_ADDRESS = 16;
const WORD = 8;
const CALLER_SAVED = ["rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"];
const STACK_LIMIT = 128;

const rowAt = (frame: FrameDescription, offset: number): FrameDescription["rows"][number] => {
	const row = frame.rows.findLast((candidate) => candidate.offset <= offset);
	assert.ok(row !== undefined, `no row for +${offset.toString(16)}`);
	return row;
};

/** Depths (bytes below the entry's stack pointer) of every instruction that can be reached, by offset in the image. */
const stackDepths = (
	block: CodeBlock,
	instructions: ReadonlyMap<number, DecodedInstruction>,
): ReadonlyMap<number, number> => {
	const depths = new Map<number, number>();
	const waiting: (readonly [offset: number, depth: number])[] = [[block.start, 0]];
	for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
		const [offset, depth] = place;
		const instruction = instructions.get(offset);
		assert.ok(
			instruction !== undefined,
			`${block.name}: control reaches ${offset.toString(16)}, which is no instruction`,
		);
		const known = depths.get(offset);
		if (known !== undefined) {
			assert.equal(depth, known, `${block.name}: two depths of the stack at ${offset.toString(16)}`);
			continue;
		}
		depths.set(offset, depth);
		const { flow, stackChange, length, mnemonic } = instruction;
		assert.ok(
			stackChange !== undefined,
			`${block.name}: ${mnemonic} at ${offset.toString(16)} moves rsp unpredictably`,
		);
		if (flow.kind === "return" || flow.kind === "leave") {
			assert.equal(depth, 0, `${block.name}: leaves at ${offset.toString(16)} with the stack moved`);
			continue;
		}
		if (flow.kind === "trap") continue;
		// rsp falls as the depth grows.
		const next = depth - stackChange;
		assert.ok(next >= 0, `${block.name}: pops the return address at ${offset.toString(16)}`);
		if (flow.kind === "jump" || flow.kind === "branch") waiting.push([flow.target, next]);
		if (flow.kind !== "jump") waiting.push([offset + length, next]);
	}
	return depths;
};

/** mov edx, SYSCALL_KEY: a call of ours. xor edx, edx: one that the supervisor answers. */
const MARKS = ["ba73797376", "31d2"];

/** Functions that only functions of the image call. */
const internalStarts = (blocks: readonly { readonly decoded: readonly DecodedInstruction[] }[]): ReadonlySet<number> =>
	new Set(
		blocks.flatMap(({ decoded }) =>
			decoded.flatMap(({ flow }) => (flow.kind === "internal-call" ? [flow.target] : [])),
		),
	);

/** A number, a system call, a return; and for some a mark. */
const STUB_INSTRUCTIONS = 4;

const isInstaller = ({ name }: CodeBlock): boolean => name === "installer";

const thisHost = readHostImage().vdso;
const IMAGES: readonly (readonly [name: string, image: Image, stackLimit: number])[] = [
	["this host", buildImage(thisHost), STACK_LIMIT],
	// The entries of the vsyscall page save every register that they use.
	["this host, with entries", buildImage(thisHost, { hasEntryPage: true, copy: "none" }), STACK_LIMIT + 64],
	...(["relaxed", "coarse"] as const).map(
		(reads) =>
			[
				`this host, ${reads} reads`,
				buildImage(thisHost, { hasEntryPage: false, copy: "none", reads }),
				STACK_LIMIT,
			] as const,
	),
	...SYNTHETIC_HOSTS.map(([name, host]) => [name, buildImage(host), STACK_LIMIT] as const),
	// What looks for a slot saves every register that it uses, as does what takes a sample.
	...(["count", "trace"] as const).map(
		(observation) =>
			[`this host, to ${observation}`, buildImage(thisHost, observed(observation)), STACK_LIMIT + 160] as const,
	),
];

for (const [name, image, stackLimit] of IMAGES) {
	describe(`the code for ${name}`, () => {
		const blocks = codeBlocks(image).map((block) => {
			const decoded = decodeRange(image.bytes, block.start, block.end);
			return { block, decoded, byOffset: new Map(decoded.map((instruction) => [instruction.offset, instruction])) };
		});
		const callable = blocks.filter(({ block }) => !isInstaller(block));

		test("decodes to its end without a gap or a padding byte inside", () => {
			for (const { block, decoded } of blocks) {
				const last = decoded.at(-1);
				assert.equal((last?.offset ?? 0) + (last?.length ?? 0), block.end, block.name);
			}
			assert.equal(blocks.filter(({ block }) => isInstaller(block)).length, 1);
		});

		test("has no instruction that cannot be reached", () => {
			for (const { block, decoded, byOffset } of callable) {
				const depths = stackDepths(block, byOffset);
				const dead = decoded.filter(({ offset }) => !depths.has(offset));
				assert.deepEqual(dead, [], `${block.name} has dead code`);
			}
		});

		test("has the true canonical frame address at every instruction", () => {
			let checked = 0;
			for (const { block, byOffset } of callable) {
				for (const [offset, depth] of stackDepths(block, byOffset)) {
					const { cfa, registers } = rowAt(block.frame, offset - block.start);
					const where = `${block.name} +${(offset - block.start).toString(16)}`;
					assert.deepEqual(cfa, { kind: "register", register: DWARF_RSP, offset: depth + WORD }, where);
					assert.deepEqual([...registers], [[DWARF_RETURN_ADDRESS, { kind: "offset", offset: -WORD }]], where);
					checked++;
				}
				assert.equal(block.frame.returnAddressRegister, DWARF_RETURN_ADDRESS);
				assert.equal(block.frame.isSignalFrame, false);
			}
			assert.ok(checked > 20, `${checked} instructions`);
		});

		test("changes no row where no instruction begins", () => {
			for (const { block, byOffset } of blocks)
				for (const row of block.frame.rows) assert.ok(byOffset.has(block.start + row.offset), block.name);
		});

		const internal = internalStarts(callable);
		const byStart = new Map(callable.map((one) => [one.block.start, one]));
		/** Bytes of the stack that a function takes, with what it calls. */
		const stackOf = ({ block, byOffset }: (typeof callable)[number]): number => {
			const called = [...byOffset.values()].map(({ flow }) => {
				if (flow.kind === "call") return WORD;
				const target = flow.kind === "internal-call" ? byStart.get(flow.target) : undefined;
				return target === undefined ? 0 : stackOf(target);
			});
			return Math.max(...stackDepths(block, byOffset).values()) + WORD + Math.max(...called);
		};

		test(`takes less than ${stackLimit} bytes of the stack`, () => {
			for (const one of callable) assert.ok(stackOf(one) < stackLimit, `${one.block.name}: ${stackOf(one)} bytes`);
		});

		test("calls with the stack aligned to 16 bytes", () => {
			for (const { block, byOffset } of callable) {
				for (const [offset, depth] of stackDepths(block, byOffset)) {
					const { kind } = byOffset.get(offset)?.flow ?? {};
					if (kind !== "call" && kind !== "internal-call") continue;
					// What a traced function calls is one itself.
					const isWhole = (start: number): boolean => byStart.get(start)?.decoded[0]?.mnemonic === "endbr64";
					const flow = byOffset.get(offset)?.flow;
					// An internal function finds the stack one word further on, and gives it on to another as it has found it.
					const entry = internal.has(block.start) && !isWhole(block.start) ? 2 * WORD : WORD;
					const isCall = kind === "call" || (flow?.kind === "internal-call" && isWhole(flow.target));
					const wanted = isCall ? 0 : WORD;
					assert.equal((depth + entry) % 16, wanted, `${block.name} at ${offset.toString(16)}`);
				}
			}
		});

		test("calls internal functions at their start, and exports none of them", () => {
			for (const start of internal) assert.equal(byStart.get(start)?.block.isExported, false);
		});

		test("writes caller-saved registers only", () => {
			for (const { block, decoded } of callable) {
				for (const { written, offset, mnemonic } of decoded) {
					const others = written.filter((register) => !CALLER_SAVED.includes(register));
					assert.deepEqual(others, [], `${block.name}: ${mnemonic} at ${offset.toString(16)}`);
				}
			}
		});

		test("begins every exported function with endbr64", () => {
			for (const { block, decoded } of callable)
				if (block.isExported) assert.equal(decoded[0]?.mnemonic, "endbr64", block.name);
		});

		test("enters the kernel itself only by a call that the supervisor knows, or in the stubs of what the host lacks", () => {
			for (const { block, decoded } of callable) {
				const entries = decoded.flatMap(({ mnemonic }, index) =>
					["syscall", "sysenter", "int"].includes(mnemonic) ? [index] : [],
				);
				const isWhole = decoded[0]?.mnemonic === "endbr64";
				const isStub = !block.isExported && !isWhole && decoded.length <= STUB_INSTRUCTIONS;
				if (isStub) {
					assert.equal(entries.length, 1, block.name);
					continue;
				}
				for (const index of entries) {
					const [first, second] = decoded.slice(index - 2, index);
					assert.ok(first !== undefined && second !== undefined);
					const bytes = Buffer.from(image.bytes.subarray(first.offset, second.offset)).toString("hex");
					assert.ok(MARKS.includes(bytes), `${block.name}: edx before the system call: ${bytes}`);
				}
			}
		});

		test("says of the installer that nobody called it", () => {
			const installer = blocks.find(({ block }) => isInstaller(block))?.block;
			for (const row of installer?.frame.rows ?? [])
				assert.deepEqual(row.registers.get(DWARF_RETURN_ADDRESS), { kind: "undefined" });
		});
	});
}
