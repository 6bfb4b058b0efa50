/** What unwinders are told of functions that stand one right behind the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Assembler } from "../../src/asm/assembler.ts";
import { ebx } from "../../src/asm/registers.ts";
import { Blocks, type ExportedName } from "../../src/vdso/blocks.ts";

const named = (name: string): readonly ExportedName[] => [{ name, binding: "global", version: "LINUX_2.6" }];

for (const size of [31, 32, 33])
	test(`rules behind the end of a function of ${size} bytes are not those of the next`, () => {
		const assembler = new Assembler(32);
		const blocks = new Blocks(assembler);
		blocks.emit("first", named("first"), () => {
			assembler.push(ebx);
			assembler.cfaOffset(8);
			assembler.cfaSaved(ebx, 8);
			while (assembler.assemble().bytes.length < size - 2) assembler.nop();
			assembler.pop(ebx);
			assembler.cfaOffset(4);
			assembler.cfaRestored(ebx);
			assembler.ret();
			// For code out of line, of which this function has none.
			assembler.cfaOffset(8);
			assembler.cfaSaved(ebx, 8);
		});
		blocks.emit("second", named("second"), () => {
			assembler.noCaller();
			assembler.ret();
		});
		const [first, second] = blocks.frames(assembler.assemble());
		assert.equal(first?.length, size);
		assert.deepEqual(
			first.rules.map(({ kind, offset }) => [kind, offset]),
			[
				["cfa-offset", 1],
				["saved", 1],
				["cfa-offset", size - 1],
				["restored", size - 1],
			],
		);
		assert.deepEqual(second?.rules, [{ kind: "return-address-undefined", offset: 0 }]);
	});
