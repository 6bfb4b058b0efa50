import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { type FrameDescription, readCallFrames } from "../../src/elf/call-frame.ts";
import type { CfaRule, RegisterRule } from "../../src/elf/call-frame-rows.ts";
import * as constants from "../../src/elf/constants.ts";
import { isVersionSymbol } from "../../src/elf/mappable-image.ts";
import { type ElfFile, readElf } from "../../src/elf/reader.ts";
import type { ElfSymbol } from "../../src/elf/symbols.ts";
import { hostImage } from "../helpers/host-image.ts";
import { oracleDynamic, oracleFrames, oracleSegments, oracleStrings, oracleSymbols } from "./readelf.ts";

const folder = mkdtempSync(join(tmpdir(), "vsyscall-elf-"));
const hostPath = join(folder, "vdso.so");
writeFileSync(hostPath, hostImage());
after(() => rmSync(folder, { recursive: true }));

/** What a distribution has, of both classes; those that are not installed are left out. */
const FILES = [
	hostPath,
	"/bin/true",
	"/lib/x86_64-linux-gnu/libc.so.6",
	"/lib64/libc.so.6",
	"/lib64/ld-linux-x86-64.so.2",
	"/lib/x86_64-linux-gnu/libm.so.6",
	"/lib/x86_64-linux-gnu/libgcc_s.so.1",
	"/lib/x86_64-linux-gnu/libz.so.1",
	"/lib/x86_64-linux-gnu/libcrypto.so.3",
	"/lib/x86_64-linux-gnu/libgcrypt.so.20",
	"/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
	"/lib/ld-linux.so.2",
	"/lib32/libc.so.6",
	"/lib32/libgcc_s.so.1",
].filter((path) => existsSync(path));

const SYMBOL_TYPES = new Map([
	[constants.STT_NOTYPE, "NOTYPE"],
	[constants.STT_OBJECT, "OBJECT"],
	[constants.STT_FUNC, "FUNC"],
	[constants.STT_SECTION, "SECTION"],
	[constants.STT_TLS, "TLS"],
	[constants.STT_GNU_IFUNC, "IFUNC"],
]);
const BINDINGS = new Map([
	[constants.STB_LOCAL, "LOCAL"],
	[constants.STB_GLOBAL, "GLOBAL"],
	[constants.STB_WEAK, "WEAK"],
	[constants.STB_GNU_UNIQUE, "UNIQUE"],
]);
const VISIBILITIES = ["DEFAULT", "INTERNAL", "HIDDEN", "PROTECTED"];
const SECTIONS = new Map([
	[constants.SHN_UNDEF, "UND"],
	[constants.SHN_ABS, "ABS"],
]);
const SEGMENT_TYPES = new Map([
	[constants.PT_LOAD, "LOAD"],
	[constants.PT_DYNAMIC, "DYNAMIC"],
	[constants.PT_INTERP, "INTERP"],
	[constants.PT_NOTE, "NOTE"],
	[constants.PT_PHDR, "PHDR"],
	[constants.PT_TLS, "TLS"],
	[constants.PT_GNU_EH_FRAME, "GNU_EH_FRAME"],
	[constants.PT_GNU_STACK, "GNU_STACK"],
	[constants.PT_GNU_RELRO, "GNU_RELRO"],
	[constants.PT_GNU_PROPERTY, "GNU_PROPERTY"],
]);

/** As readelf prints it: `name@@default`, `name@hidden`, `name@needed (index)`. */
const versionedName = (symbol: ElfSymbol, { versionNeeds }: ElfFile): string => {
	const { name, version, versionIndex, isHidden } = symbol;
	if (version === undefined || isVersionSymbol(symbol)) return name;
	if (versionNeeds.some(({ index }) => index === versionIndex)) return `${name}@${version} (${versionIndex})`;
	return `${name}${isHidden ? "@" : "@@"}${version}`;
};

const REGISTERS: Readonly<Record<32 | 64, readonly string[]>> = {
	64: "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 ra".split(" "),
	32: "eax ecx edx ebx esp ebp esi edi ra".split(" "),
};

const signed = (value: number): string => `${value < 0 ? "" : "+"}${value}`;

const cfaText = (cfa: CfaRule, names: readonly string[]): string =>
	cfa.kind === "expression" ? "exp" : `${names[cfa.register]}${signed(cfa.offset)}`;

const RULE_TEXTS = { undefined: "u", "same-value": "s", expression: "exp", "val-expression": "vexp" } as const;

const ruleText = (rule: RegisterRule = { kind: "undefined" }): string => {
	if (rule.kind === "register") return `r${rule.register}`;
	if (rule.kind === "offset") return `c${signed(rule.offset)}`;
	if (rule.kind === "val-offset") return `v${signed(rule.offset)}`;
	return RULE_TEXTS[rule.kind];
};

const framesByStart = (elf: ElfFile): ReadonlyMap<bigint, FrameDescription> =>
	new Map(readCallFrames(elf)?.descriptions.map((description) => [description.start, description]));

for (const path of FILES) {
	const name = path === hostPath ? "the kernel's vDSO" : path;
	const elf = readElf(new Uint8Array(readFileSync(path)));

	describe(`${name} as readelf sees it`, () => {
		test("program headers", () => {
			const actual = elf.programHeaders.map((segment) => ({
				type: SEGMENT_TYPES.get(segment.type) ?? "",
				numbers: [segment.offset, segment.virtualAddress, segment.fileSize, segment.memorySize, segment.alignment],
				flags: [
					(segment.flags & constants.PF_R) === 0 ? " " : "R",
					(segment.flags & constants.PF_W) === 0 ? " " : "W",
					(segment.flags & constants.PF_X) === 0 ? " " : "E",
				].join(""),
			}));
			assert.deepEqual(actual, oracleSegments(path));
		});

		test("section names", () => {
			const names = elf.sections.slice(1).map((section) => section.name);
			assert.deepEqual(names, oracleStrings(path, /^ {2}\[ *[1-9]\d*\] (\S+)/, "-S"));
		});

		test("dynamic entries", () => {
			const expected = oracleDynamic(path).filter(([tag]) => tag !== constants.DT_NULL);
			assert.deepEqual(
				elf.dynamic.map(({ tag }) => tag),
				expected.map(([tag]) => tag),
			);
			for (const [index, [, value]] of expected.entries()) {
				if (value !== undefined) assert.equal(elf.dynamic[index]?.value, value);
			}
		});

		test("soname and needed files", () => {
			assert.deepEqual(elf.soname === undefined ? [] : [elf.soname], oracleStrings(path, /soname: \[(.*)\]/, "-d"));
			assert.deepEqual(elf.needed, oracleStrings(path, /Shared library: \[(.*)\]/, "-d"));
		});

		test("dynamic symbols with their versions", () => {
			const expected = oracleSymbols(path);
			const actual = elf.symbols.map((symbol) => ({
				value: symbol.value,
				size: symbol.size,
				type: SYMBOL_TYPES.get(symbol.type) ?? "",
				binding: BINDINGS.get(symbol.binding) ?? "",
				visibility: VISIBILITIES[symbol.visibility] ?? "",
				section: SECTIONS.get(symbol.sectionIndex) ?? String(symbol.sectionIndex),
				name: versionedName(symbol, elf),
			}));
			assert.deepEqual(actual, expected);
		});

		test("version definitions and needs", () => {
			const definitions = elf.versionDefinitions.map((version) => `${version.index} ${version.name}`);
			const needs = elf.versionNeeds.map((version) => `${version.name} ${version.index}`);
			const indices = oracleStrings(path, /Rev: 1 {2}Flags: .* Index: (\d+) {2}Cnt/, "-V");
			const names = oracleStrings(path, /Index: \d+ {2}Cnt: \d+ {2}Name: (\S+)/, "-V");
			const needNames = oracleStrings(path, /^ {2}0x[0-9a-f]+: +Name: (\S+) /, "-V");
			const needIndices = oracleStrings(path, /Flags: .* Version: (\d+)$/, "-V");
			assert.deepEqual(
				definitions,
				names.map((version, index) => `${indices[index]} ${version}`),
			);
			assert.deepEqual(
				needs,
				needNames.map((version, index) => `${version} ${needIndices[index]}`),
			);
		});

		test("build id", () => {
			const note = elf.notes.find(
				(candidate) => candidate.name === "GNU" && candidate.type === constants.NT_GNU_BUILD_ID,
			);
			const actual = note === undefined ? [] : [Buffer.from(note.description).toString("hex")];
			assert.deepEqual(actual, oracleStrings(path, /Build ID: ([0-9a-f]+)/, "-n"));
		});

		test("frames and their rows", () => {
			const registers = REGISTERS[elf.bits];
			const known = framesByStart(elf);
			const frames = oracleFrames(path, 500);
			for (const { start, end, columns, rows } of frames) {
				const description = known.get(start);
				assert.ok(description !== undefined, `an FDE at ${start.toString(16)}`);
				assert.equal(description.start + description.length, end);
				// readelf prints no rows for an FDE that adds nothing to its CIE.
				if (rows.size === 0) assert.equal(description.rows.length, 1);
				else {
					const actual = description.rows.map((row) => [
						start + BigInt(row.offset),
						cfaText(row.cfa, registers),
						...columns.map((column) => ruleText(row.registers.get(registers.indexOf(column)))),
					]);
					assert.deepEqual(
						actual,
						[...rows].map(([address, texts]) => [address, ...texts]),
					);
				}
			}
			if (frames.length < 500) assert.equal(known.size, frames.length);
		});
	});
}

describe("the kernel's vDSO", () => {
	test("the notes are those of readelf", () => {
		const { notes } = readElf(hostImage());
		const owners = oracleStrings(hostPath, /^ {2}(\S+) +0x[0-9a-f]{8}\t/, "-n");
		assert.deepEqual(
			notes.map((note) => note.name),
			owners,
		);
	});

	test("without the bytes behind PT_LOAD everything but the sections can be read", () => {
		const bytes = hostImage();
		const whole = readElf(bytes);
		const load = whole.programHeaders.find(({ type }) => type === constants.PT_LOAD);
		const dumped = readElf(bytes.slice(0, Number(load?.fileSize)));
		assert.equal(dumped.sectionTable, "truncated");
		assert.deepEqual(dumped.sections, []);
		assert.deepEqual(dumped.symbols, whole.symbols);
		assert.deepEqual(dumped.notes, whole.notes);
		assert.deepEqual(readCallFrames(dumped), readCallFrames(whole));
	});
});
