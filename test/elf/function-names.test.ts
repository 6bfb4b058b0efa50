/** Functions by address: as nm(1) lists them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { FunctionNames } from "../../src/elf/function-names.ts";
import { readElf } from "../../src/elf/reader.ts";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

interface Listed {
	readonly start: bigint;
	readonly size: bigint;
	readonly name: string;
}

/** Symbols in code, of which nm knows the size; without versions. */
const listed = (file: string, ...flags: readonly string[]): readonly Listed[] =>
	execFileSync("nm", ["--defined-only", "-S", ...flags, file], { encoding: "utf8", maxBuffer: 64 << 20 })
		.split("\n")
		.flatMap((line) => {
			const [, start, size, name] = /^([0-9a-f]+) ([0-9a-f]+) [tTwWi] ([^@]+)/.exec(line) ?? [];
			return start === undefined || size === undefined || name === undefined
				? []
				: [{ start: BigInt(`0x${start}`), size: BigInt(`0x${size}`), name }];
		});

const assertNamed = (file: string, symbols: readonly Listed[]): void => {
	const names = new FunctionNames(readElf(readFileSync(file)));
	const aliases = new Map<bigint, Set<string>>();
	for (const { start, name } of symbols) aliases.set(start, (aliases.get(start) ?? new Set()).add(name));
	for (const { start, size } of symbols) {
		for (const place of [0n, size / 2n, size - 1n]) {
			const found = names.at(start + place);
			// A symbol inside of another is the nearer one.
			assert.ok(found !== undefined && found.start >= start && found.start <= start + place, `${file} ${start}`);
			assert.ok(aliases.get(found.start)?.has(found.name.replace(/@.*/, "")), `${file} ${start} ${found.name}`);
		}
	}
};

const stripped = (t: TestContext, file: string): string => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-names-"));
	t.after(() => rmSync(directory, { recursive: true }));
	const copy = join(directory, "stripped");
	copyFileSync(file, copy);
	execFileSync("strip", [copy]);
	return copy;
};

for (const toolchain of ["glibc", "glibc-static", "musl-static", "glibc-32"] satisfies readonly Toolchain[]) {
	test(`the functions of a program have the names of its symbol table, ${toolchain}`, (t) => {
		if (!has(t, "gcc", ...(toolchain === "musl-static" ? ["musl-gcc"] : []))) return;
		const program = build(toolchain, "counted-calls.c");
		const symbols = listed(program);
		assert.ok(symbols.length > 10);
		assertNamed(program, symbols);
	});
}

test("a library without a symbol table has the names of its dynamic symbols", (t) => {
	if (!has(t, "gcc")) return;
	const library = execFileSync("gcc", ["-print-file-name=libc.so.6"], { encoding: "utf8" }).trim();
	const copy = stripped(t, library);
	const symbols = listed(copy, "-D").filter(({ size }) => size > 0n);
	assert.ok(symbols.length > 2000);
	assertNamed(copy, symbols);
});

test("what no symbol covers has no name", (t) => {
	if (!has(t, "gcc")) return;
	const program = build("glibc-static", "counted-calls.c");
	const bare = new FunctionNames(readElf(readFileSync(stripped(t, program))));
	const [main] = listed(program).filter(({ name }) => name === "main");
	assert.ok(main !== undefined);
	assert.equal(bare.at(main.start), undefined);
	const names = new FunctionNames(readElf(readFileSync(program)));
	assert.equal(names.at(0n), undefined);
	assert.equal(names.at(0xffff_ffff_ffff_ffffn), undefined);
});
