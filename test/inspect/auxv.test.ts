/** The auxiliary vector as bytes, of both classes, and its copy on the stack. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { spaceOf } from "../../src/inspect/address-space.ts";
import { AT_RANDOM, auxvValue, findStackAuxv, parseAuxv } from "../../src/inspect/auxv.ts";

type Entries = readonly (readonly [type: number, value: bigint])[];

const bytesOf = (entries: Entries, bits: 32 | 64): Uint8Array => {
	const words = [...entries.flat(), 0, 0].map(BigInt);
	return bits === 64
		? new Uint8Array(BigUint64Array.from(words).buffer)
		: new Uint8Array(Uint32Array.from(words, Number).buffer);
};

/** The first entry of the kernel has a value: AT_SYSINFO, AT_SYSINFO_EHDR or AT_HWCAP. */
const ENTRIES = fc
	.array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.bigInt({ min: 1n, max: 0xffff_ffffn })), {
		minLength: 1,
		maxLength: 30,
	})
	.map((entries): Entries => entries);

suite("the auxiliary vector", () => {
	for (const bits of [32, 64] as const) {
		test(`of ${bits} bits is read back as it was written, and its class found`, () => {
			fc.assert(
				fc.property(ENTRIES, (entries) => {
					const auxv = parseAuxv(bytesOf(entries, bits));
					assert.equal(auxv.bits, bits);
					assert.deepEqual(
						auxv.entries.map(({ type, value }) => [type, value]),
						entries.map((entry) => [...entry]),
					);
				}),
			);
		});

		test(`of ${bits} bits is found on the stack below its random bytes, wherever that is aligned to`, () => {
			fc.assert(
				fc.property(ENTRIES, fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 15 }), (some, gap, odd) => {
					const start = 0x7ffe_0000n;
					const size = bits / 8;
					const front = new Uint8Array(size * 50).fill(0x41);
					const length = bytesOf([...some, [AT_RANDOM, 1n]], bits).length;
					const random = start + BigInt(front.length + length + gap * size + odd);
					const bytes = bytesOf([...some.filter(([type]) => type !== AT_RANDOM), [AT_RANDOM, random]], bits);
					const memory = new Uint8Array(8192);
					memory.set(front, 4096);
					memory.set(bytes, 4096 + front.length);
					const found = findStackAuxv(parseAuxv(bytes), spaceOf(memory, start - 4096n));
					assert.equal(found?.address, start + BigInt(front.length));
					assert.equal(auxvValue(found, AT_RANDOM), random);
				}),
			);
		});
	}

	test("is not found where the stack has other types", () => {
		const saved = parseAuxv(
			bytesOf(
				[
					[33, 1n],
					[AT_RANDOM, 0x2000n],
				],
				64,
			),
		);
		assert.equal(findStackAuxv(saved, spaceOf(new Uint8Array(0x3000), 0n)), undefined);
	});
});
