/** Call sites of the page: the operand that is found, and nothing else. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { findPatch, type GeneralRegister } from "../../src/vsyscall/call-site.ts";

const ENTRY = 0xffff_ffff_ff60_0400n;
const TARGET = 0x4160_0400n;
const TEXT = 0x40_1000n;
const DATA = 0x40_4000n;

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

/** nop: what stands in front of the text. */
const PADDING = new Uint8Array(64).fill(0x90);

interface Memory {
	readonly text: Uint8Array;
	readonly data?: Uint8Array;
	readonly registers?: Partial<Record<GeneralRegister, bigint>>;
}

/** The call has returned to the end of `text`. */
const find = ({ text, data = new Uint8Array(0), registers = {} }: Memory): ReturnType<typeof findPatch> =>
	findPatch(
		{
			entry: ENTRY,
			returnAddress: TEXT + BigInt(text.length),
			register: (name) => registers[name] ?? 0n,
			read: (address, length) => {
				for (const [start, bytes] of [
					[TEXT - BigInt(PADDING.length), Uint8Array.from([...PADDING, ...text])],
					[DATA, data],
				] as const) {
					const offset = Number(address - start);
					if (address >= start && offset < bytes.length) return bytes.slice(offset, offset + length);
				}
				return new Uint8Array(0);
			},
		},
		TARGET,
	);

const POINTER = bytesOf("000460ffffffffff");
const AT_DATA = "00404000";

/** What is patched, and how far from the start of the text, or of the data. */
const SHAPES: readonly (readonly [name: string, memory: Memory, operand: string, address: bigint])[] = [
	["mov $entry, %rax; call *%rax", { text: bytesOf("48c7c0 000460ff ffd0") }, "immediate", TEXT + 6n],
	["mov $entry, %r15; call *%r15", { text: bytesOf("49c7c7 000460ff 41ffd7") }, "immediate", TEXT + 6n],
	[
		"mov $entry, %rbx; nop; xor %esi, %esi; call *%rbx",
		{ text: bytesOf("48c7c3 000460ff 90 31f6 ffd3") },
		"immediate",
		TEXT + 6n,
	],
	["movabs $entry, %rax; call *%rax", { text: bytesOf("48b8 000460ffffffffff ffd0") }, "immediate64", TEXT + 2n],
	["call *abs32", { text: bytesOf(`ff1425 ${AT_DATA}`), data: POINTER }, "pointer", DATA],
	["call *rel32(%rip)", { text: bytesOf("ff15 fa2f0000"), data: POINTER }, "pointer", DATA],
	["call *8(%rbx)", { text: bytesOf("ff5308"), data: POINTER, registers: { rbx: DATA - 8n } }, "pointer", DATA],
	[
		"call *(%rbx,%r13,8)",
		{ text: bytesOf("42ff14eb"), data: POINTER, registers: { rbx: DATA - 16n, r13: 2n } },
		"pointer",
		DATA,
	],
	["mov abs32, %rax; call *%rax", { text: bytesOf(`488b0425 ${AT_DATA} ffd0`), data: POINTER }, "pointer", DATA],
	["mov rel32(%rip), %rax; call *%rax", { text: bytesOf("488b05 f92f0000 ffd0"), data: POINTER }, "pointer", DATA],
	[
		"call of a PLT stub",
		{ text: bytesOf("e8 fb2f0000"), data: bytesOf(`ff25 02000000 9090 ${hexOf(POINTER)}`) },
		"pointer",
		DATA + 8n,
	],
	[
		"call of a function that jumps on",
		{ text: bytesOf("e8 fb2f0000"), data: bytesOf("f30f1efa 48c7c0 000460ff ffe0") },
		"immediate",
		DATA + 10n,
	],
	["call of the page itself", { text: bytesOf("e8 fbf31fff") }, "displacement", TEXT + 1n],
];

function hexOf(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString("hex");
}

suite("the operand of a call", () => {
	for (const [name, memory, operand, address] of SHAPES) {
		test(name, () => {
			const site = find(memory);
			const found = site.kind === "patch" ? [site.patch.operand, site.patch.address] : site.kind;
			assert.deepEqual(found, [operand, address]);
		});
	}

	test("an immediate changes in one byte", () => {
		const site = find({ text: bytesOf("48c7c0 000460ff ffd0") });
		assert.deepEqual(site, {
			kind: "patch",
			patch: {
				operand: "immediate",
				address: TEXT + 6n,
				before: Uint8Array.of(0xff),
				after: Uint8Array.of(0x41),
				isAtomic: true,
			},
		});
	});

	test("only an aligned pointer is an atom", () => {
		const aligned = find({ text: bytesOf(`ff1425 ${AT_DATA}`), data: POINTER });
		const odd = find({ text: bytesOf("ff1425 01404000"), data: bytesOf(`00 ${hexOf(POINTER)}`) });
		assert.deepEqual(
			[aligned, odd].map((site) => (site.kind === "patch" ? site.patch.isAtomic : undefined)),
			[true, false],
		);
	});

	// With a target of 0x41xxxxxx the bytes before ff d0 look like a prefix: 41 ff d0 is call *%r8.
	test("a site that has been patched is known as such", () => {
		assert.deepEqual(find({ text: bytesOf("48c7c0 00046041 ffd0") }), { kind: "patched" });
		assert.deepEqual(find({ text: bytesOf(`ff1425 ${AT_DATA}`), data: bytesOf("0004604100000000") }), {
			kind: "patched",
		});
	});
});

const NOTHING: readonly (readonly [name: string, memory: Memory])[] = [
	["another entry's address", { text: bytesOf("48c7c0 000060ff ffd0") }],
	["the bytes of an immediate inside another instruction", { text: bytesOf("48b8 48c7c3000460ff90 ffd3") }],
	["a pointer to something else", { text: bytesOf(`ff1425 ${AT_DATA}`), data: new Uint8Array(8) }],
	["a computed address", { text: bytesOf("48c7c0 f6ffffff 48c1e014 480500040000 ffd0") }],
	["no call at all", { text: bytesOf("9090909090909090") }],
];

suite("what is not patched", () => {
	for (const [name, memory] of NOTHING) test(name, () => assert.deepEqual(find(memory), { kind: "unknown" }));

	test("whatever stands before a return address, only an operand that holds the entry is changed", () => {
		const fragment = fc.constantFrom(
			"48c7c0",
			"48c7c3",
			"000460ff",
			"ffffffff",
			"ffd0",
			"ffd3",
			"41ffd0",
			"e8",
			"ff15",
			"90",
			"48b8",
		);
		const text = fc
			.array(fc.oneof(fragment, fc.uint8Array({ minLength: 1, maxLength: 4 }).map(hexOf)), { maxLength: 24 })
			.map((parts) => bytesOf(parts.join("")));
		fc.assert(
			fc.property(text, (bytes) => {
				const site = find({ text: bytes });
				if (site.kind !== "patch") return;
				const { address, before, after, operand } = site.patch;
				const offset = Number(address - TEXT);
				if (offset < 0) return;
				assert.deepEqual(bytes.slice(offset, offset + before.length), before);
				assert.equal(before.length, after.length);
				const changed = bytes.slice();
				changed.set(after, offset);
				if (operand === "immediate") assert.equal(hexOf(changed.slice(offset - 3, offset + 1)), "00046041");
				assert.deepEqual(find({ text: changed }).kind, operand === "displacement" ? "unknown" : "patched");
			}),
			{ numRuns: 3000 },
		);
	});
});
