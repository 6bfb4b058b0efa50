/** The words at the stack pointer of a new program. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { insertEntries, parseInitialStack } from "../../src/auxv/initial-stack.ts";
import { AT_ENTRY, AT_NULL, AT_SYSINFO, AT_SYSINFO_EHDR } from "../../src/auxv/types.ts";
import { VsyscallError } from "../../src/errors.ts";

const word = fc.bigInt(0n, 2n ** 64n - 1n);
const pointer = fc.bigInt(1n, 2n ** 47n);

interface Stack {
	readonly argv: readonly bigint[];
	readonly envp: readonly bigint[];
	readonly auxv: readonly (readonly [bigint, bigint])[];
	/** What lies above the vector. */
	readonly above: readonly bigint[];
}

const auxvEntry = fc.tuple(
	fc.oneof(fc.constantFrom(3n, 6n, 9n, 16n, 25n, 31n, 32n, 34n, 51n), fc.bigInt(34n, 2n ** 64n - 1n)),
	word,
);

const stacks = (hasEhdr: fc.Arbitrary<boolean>): fc.Arbitrary<Stack> =>
	fc
		.record({
			argv: fc.array(pointer, { maxLength: 20 }),
			envp: fc.array(pointer, { maxLength: 40 }),
			auxv: fc.array(auxvEntry, { maxLength: 25 }),
			above: fc.array(word, { maxLength: 20 }),
			ehdr: fc.tuple(hasEhdr, fc.nat(25), pointer),
		})
		.map(({ ehdr: [isThere, place, address], auxv, ...stack }) => ({
			...stack,
			auxv: isThere ? auxv.toSpliced(Math.min(place, auxv.length), 0, [AT_SYSINFO_EHDR, address]) : auxv,
		}));

const layOut = ({ argv, envp, auxv, above }: Stack): BigUint64Array =>
	BigUint64Array.from([BigInt(argv.length), ...argv, 0n, ...envp, 0n, ...auxv.flat(), AT_NULL, 0n, ...above]);

const parsed = (words: BigUint64Array): Exclude<ReturnType<typeof parseInitialStack>, "more"> => {
	const stack = parseInitialStack(words);
	assert.notEqual(stack, "more");
	return stack as Exclude<typeof stack, "more">;
};

describe("parsing", () => {
	test("finds the vector, its length and the values of AT_SYSINFO_EHDR and AT_SYSINFO", () => {
		fc.assert(
			fc.property(stacks(fc.boolean()), (stack) => {
				const { argv, envp, auxv } = stack;
				const auxvIndex = 1 + argv.length + 1 + envp.length + 1;
				const place = auxv.findIndex(([type]) => type === AT_SYSINFO_EHDR);
				const sysinfo = auxv.findLastIndex(([type]) => type === AT_SYSINFO);
				assert.deepEqual(parseInitialStack(layOut(stack)), {
					argc: argv.length,
					auxvIndex,
					auxvCount: auxv.length + 1,
					ehdrIndex: place < 0 ? undefined : auxvIndex + 2 * place + 1,
					sysinfoIndex: sysinfo < 0 ? undefined : auxvIndex + 2 * sysinfo + 1,
				});
			}),
			{ numRuns: 3000 },
		);
	});

	test("asks for more as long as the closing entry is not complete", () => {
		fc.assert(
			fc.property(stacks(fc.boolean()), fc.nat(), (stack, cut) => {
				const words = layOut({ ...stack, above: [] });
				assert.equal(parseInitialStack(words.subarray(0, cut % words.length)), "more");
			}),
			{ numRuns: 3000 },
		);
	});

	test("needs nothing above the vector", () => {
		fc.assert(
			fc.property(stacks(fc.boolean()), (stack) => {
				assert.deepEqual(parseInitialStack(layOut({ ...stack, above: [] })), parseInitialStack(layOut(stack)));
			}),
			{ numRuns: 500 },
		);
	});

	test("is total: any words give a stack inside them, more, or ERR_VSYSCALL_AUXV", () => {
		const anyWord = fc.oneof(fc.constantFrom(0n, 1n, 2n, 33n, 9n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 64n - 1n), word);
		fc.assert(
			fc.property(fc.array(anyWord, { maxLength: 60 }), (values) => {
				const words = BigUint64Array.from(values);
				try {
					const stack = parseInitialStack(words);
					if (stack === "more") return;
					const end = stack.auxvIndex + 2 * stack.auxvCount;
					assert.ok(stack.auxvIndex >= 3 && end <= words.length);
					assert.equal(words[end - 2], AT_NULL);
					if (stack.ehdrIndex !== undefined) assert.equal(words[stack.ehdrIndex - 1], AT_SYSINFO_EHDR);
				} catch (error) {
					assert.ok(error instanceof VsyscallError && error.code === "ERR_VSYSCALL_AUXV", String(error));
					assert.ok((words[0] ?? 0n) > 0x7fff_ffffn);
				}
			}),
			{ numRuns: 10_000 },
		);
	});

	test("does not take two words of a 32-bit stack for one", () => {
		// argc 1 and argv[0].
		assert.throws(() => parseInitialStack(BigUint64Array.of(0xffff_d5ab_0000_0001n)), { code: "ERR_VSYSCALL_AUXV" });
	});

	test("does not take an argument or a value for a type", () => {
		const stack = layOut({
			argv: [33n, 7n],
			envp: [33n],
			auxv: [
				[AT_ENTRY, 33n],
				[3n, 0n],
			],
			above: [],
		});
		assert.equal(parsed(stack).ehdrIndex, undefined);
		assert.equal(parsed(stack).auxvCount, 3);
	});
});

describe("inserting entries", () => {
	const types = fc.constantFrom([AT_SYSINFO_EHDR], [AT_SYSINFO, AT_SYSINFO_EHDR]);

	test("puts them first, with the value 0, and keeps everything else", () => {
		fc.assert(
			fc.property(stacks(fc.constant(false)), types, (stack, inserting) => {
				const words = layOut(stack);
				const inserted = insertEntries(words, parsed(words), inserting);
				const entries = inserting.map((type) => [type, 0n] as const);
				const expected = layOut({ ...stack, auxv: [...entries, ...stack.auxv], above: [] });
				assert.deepEqual(inserted, expected);
				assert.deepEqual(words, layOut(stack), "its argument is left alone");
			}),
			{ numRuns: 3000 },
		);
	});

	test("gives a stack that says so when it is parsed", () => {
		fc.assert(
			fc.property(stacks(fc.constant(false)), types, (stack, inserting) => {
				const words = layOut(stack);
				const before = parsed(words);
				const after = parsed(insertEntries(words, before, inserting));
				assert.equal(after.auxvCount, before.auxvCount + inserting.length);
				assert.equal(after.auxvIndex, before.auxvIndex);
				assert.equal(after.ehdrIndex, before.auxvIndex + 2 * inserting.indexOf(AT_SYSINFO_EHDR) + 1);
			}),
			{ numRuns: 1000 },
		);
	});

	test("moves the stack by two words for each", () => {
		const words = layOut({ argv: [1n], envp: [], auxv: [], above: [] });
		assert.equal(insertEntries(words, parsed(words), [AT_SYSINFO, AT_SYSINFO_EHDR]).length, words.length + 4);
	});
});
