import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { readElf } from "../../src/elf/reader.ts";
import { lookUp, lookUpByGnuHash, lookUpBySysvHash } from "../../src/elf/symbol-lookup.ts";
import { isExported } from "../../src/elf/symbols.ts";
import { hostImage } from "../helpers/host-image.ts";

const LIBRARIES = [
	"/lib/x86_64-linux-gnu/libc.so.6",
	"/lib64/libc.so.6",
	"/lib64/ld-linux-x86-64.so.2",
	"/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
	"/lib32/libc.so.6",
].filter((path) => existsSync(path));

describe("symbols by name", () => {
	for (const [name, bytes] of [
		["the kernel's vDSO", hostImage()] as const,
		...LIBRARIES.map((path) => [path, new Uint8Array(readFileSync(path))] as const),
	]) {
		const elf = readElf(bytes);
		// A loader takes a symbol with value 0 only when it is absolute or thread-local.
		const exported = elf.symbols.filter((symbol) => isExported(symbol) && symbol.value !== 0n);
		for (const [table, isThere, find] of [
			["DT_HASH", elf.sysvHash !== undefined, lookUpBySysvHash],
			["DT_GNU_HASH", elf.gnuHash !== undefined, lookUpByGnuHash],
		] as const) {
			if (!isThere) continue;
			test(`${table} of ${name} finds each exported symbol with its version`, () => {
				assert.ok(exported.length > 0);
				for (const symbol of exported) assert.equal(find(elf, symbol.name, symbol.version), symbol);
			});

			test(`${table} of ${name} finds the default version without a version`, () => {
				for (const symbol of exported) {
					const found = find(elf, symbol.name);
					assert.equal(found?.isHidden ?? false, false);
					if (!symbol.isHidden) assert.equal(found, symbol);
				}
			});

			test(`${table} of ${name} finds no other name and no other version`, () => {
				const names = new Set(elf.symbols.map((symbol) => symbol.name));
				for (const { name: known, version } of exported) {
					for (const other of [`${known}_`, known.slice(1), known.toUpperCase()]) {
						if (!names.has(other)) assert.equal(find(elf, other), undefined);
					}
					if (version !== undefined) assert.equal(find(elf, known, "LINUX_0"), undefined);
				}
			});
		}
	}

	test("the kernel's clock_gettime has the value that the list of symbols has", () => {
		const elf = readElf(hostImage());
		const symbol = elf.symbols.find(({ name }) => name === "__vdso_clock_gettime");
		assert.ok(symbol !== undefined);
		assert.equal(lookUp(elf, "__vdso_clock_gettime", "LINUX_2.6"), symbol);
		assert.equal(lookUp(elf, "clock_gettime", "LINUX_2.6")?.value, symbol.value);
	});
});
