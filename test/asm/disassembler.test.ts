import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import fc from "fast-check";
import { disassemble } from "../../src/asm/disassembler.ts";
import type { Bits } from "../../src/asm/encoding.ts";

const ADDRESS = 0x1000n;
const symbols: ReadonlyMap<bigint, string> = new Map([
	[0x1007n, "done"],
	[0x101fn, "vvar$&"],
	[0xffff_f005n, "again"],
	[5n, "low"],
]);

const isLoaded = (): boolean =>
	Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes("iced-x86"));

test("iced-x86 is loaded by the first disassembly, not by the import", () => {
	assert.equal(isLoaded(), false);
	disassemble(Uint8Array.of(0xc3), 64, 0n);
	assert.equal(isLoaded(), true);
});

const rows: readonly (readonly [hexadecimal: string, bits: Bits, address: bigint, text: string])[] = [
	["488d44d8f0", 64, ADDRESS, "lea rax, [rax+rbx*8-0x10]"],
	["48c74508ffffffff", 64, ADDRESS, "mov qword [rbp+8], -1"],
	["83c0da", 64, ADDRESS, "add eax, -0x26"],
	["c3", 64, ADDRESS, "ret"],
	["f30fc7f8", 64, ADDRESS, "rdpid rax"],
	["cd80", 32, ADDRESS, "int 0x80"],
	["7405", 64, ADDRESS, "je done"],
	["0f8401000000", 64, ADDRESS, "je done"],
	["7406", 64, ADDRESS, "je 0x1008"],
	["488b0518000000", 64, ADDRESS, "mov rax, [rel vvar$&]"],
	["488b0519000000", 64, ADDRESS, "mov rax, [rel 0x1020]"],
	["8b042505000000", 64, ADDRESS, "mov eax, [low]"],
	["64488b042505000000", 64, ADDRESS, "mov rax, [fs:5]"],
	["65ff1505000000", 32, ADDRESS, "call dword [gs:5]"],
	["eb03", 32, 0xffff_f000n, "jmp again"],
	["a105000000", 32, ADDRESS, "mov eax, [low]"],
	["06", 64, ADDRESS, "(bad)"],
	["ff25", 64, ADDRESS, "(bad)"],
];

for (const [hexadecimal, bits, address, text] of rows)
	test(`${hexadecimal} is ${text} in ${bits}-bit code at ${address.toString(16)}`, () => {
		const bytes = Uint8Array.from(Buffer.from(hexadecimal, "hex"));
		const decoded = disassemble(bytes, bits, address, (target) => symbols.get(target));
		assert.deepEqual(decoded, [{ offset: 0, bytes, text }]);
	});

test("addresses stay in hexadecimal without symbols", () => {
	assert.equal(disassemble(Uint8Array.of(0x74, 0x05), 64, ADDRESS)[0]?.text, "je 0x1007");
});

test("the instructions of any bytes cover them without a gap", () => {
	const property = fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom<Bits>(32, 64), (bytes, bits) => {
		let end = 0;
		for (const instruction of disassemble(bytes, bits, ADDRESS, (address) => `symbol_${address}`)) {
			assert.equal(instruction.offset, end);
			assert.ok(instruction.bytes.length > 0 && instruction.text.length > 0);
			end += instruction.bytes.length;
		}
		assert.equal(end, bytes.length);
	});
	fc.assert(property, { numRuns: 300 });
});
