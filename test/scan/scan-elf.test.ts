import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, suite, test } from "node:test";
import fc from "fast-check";
import { VsyscallError } from "../../src/errors.ts";
import type { Finding } from "../../src/scan/finding.ts";
import { isFound, scanElf } from "../../src/scan/scan-elf.ts";
import { sourceOf } from "../../src/scan/source.ts";
import { build, fixturePath } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

const scanFile = (file: string): readonly Finding[] => scanElf(sourceOf(readFileSync(file))).findings;

const functionOf = ({ symbol = "" }: Finding): string => symbol.replace(/\+0x[0-9a-f]+$/, "");

/** Every instruction of a file as objdump reads it: address -> bytes. */
const objdump = (file: string): ReadonlyMap<bigint, string> => {
	const text = execFileSync("objdump", ["-d", "--wide", file], { encoding: "latin1", maxBuffer: 1 << 28 });
	return new Map(
		[...text.matchAll(/^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+)/gm)].map(([, address = "", bytes = ""]) => [
			BigInt(`0x${address}`),
			bytes.replaceAll(" ", ""),
		]),
	);
};

const assertAsObjdump = (file: string, findings: readonly Finding[]): void => {
	const instructions = objdump(file);
	for (const { code, symbol } of findings) {
		for (const { address, bytes } of code) {
			assert.equal(Buffer.from(bytes).toString("hex"), instructions.get(address), `${symbol} ${address.toString(16)}`);
		}
	}
};

const inTemporary = (use: (directory: string) => void): void => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-scan-"));
	try {
		use(directory);
	} finally {
		rmSync(directory, { recursive: true });
	}
};

const strip = (file: string, directory: string, ...flags: readonly string[]): string => {
	const stripped = join(directory, "stripped");
	execFileSync("strip", ["-o", stripped, ...flags, file]);
	return stripped;
};

/** Without the table of sections: what a program that was packed or dumped looks like. */
const withoutSections = (file: string): Uint8Array => {
	const bytes = new Uint8Array(readFileSync(file));
	bytes.fill(0, 0x28, 0x30);
	bytes.fill(0, 0x3c, 0x40);
	return bytes;
};

const places = (findings: readonly Finding[]): unknown =>
	findings.map(({ kind, address, entry, patch, code }) => [kind, address, entry, patch, code.length]);

/** What each shape of call-sites.c is patched by; the others have their pointer found, but not what calls through it. */
const SHAPES: Readonly<Record<string, string>> = {
	stub: "pointer",
	stub_bnd: "pointer",
	function_tail: "immediate",
	function_register: "immediate",
	function_indirect: "immediate",
	function_loaded: "pointer",
	function_movabs: "immediate64",
	function_chain: "immediate",
	shape_immediate: "immediate",
	shape_immediate_gettimeofday: "immediate",
	shape_immediate_getcpu: "immediate",
	shape_immediate_rbx: "immediate",
	shape_immediate_r12: "immediate",
	shape_immediate_far: "immediate",
	shape_immediate_far_r13: "immediate",
	shape_immediate_copied: "immediate",
	shape_movabs: "immediate64",
	shape_movabs_r12: "immediate64",
	shape_pointer_rip: "pointer",
	shape_pointer_relro: "pointer",
	shape_loaded: "pointer",
	shape_loaded_far: "pointer",
	shape_loaded_copied: "pointer",
};
const BELOW_2_GIB: Readonly<Record<string, string>> = {
	shape_pointer_absolute: "pointer",
	shape_loaded_absolute: "pointer",
	shape_loaded_moffs: "pointer",
	shape_direct: "displacement",
};
const POINTERS = ["table_base+0x10", "table_index+0x10", "table_load+0x10", "table_ops+0x8", "table_short"];

const BUILDS = [
	["-fno-pie", ["-fno-pie", "-no-pie"], { ...SHAPES, ...BELOW_2_GIB }, []],
	["-pie", ["-fpie", "-pie"], SHAPES, ["word_abs", "word_abs_loaded", "word_moffs"]],
	["-static", ["-fno-pie", "-static"], { ...SHAPES, ...BELOW_2_GIB }, []],
] as const;

suite("call sites", () => {
	for (const [name, flags, shapes, uncalled] of BUILDS) {
		test(`every shape of call-sites.c, ${name}, with what a run patches, as objdump reads it`, (t) => {
			if (!has(t, "gcc", "objdump")) return;
			const file = build("glibc", "call-sites.c", flags);
			const findings = scanFile(file);
			const calls = findings.filter(({ kind }) => kind === "call");
			assert.deepEqual(Object.fromEntries(calls.map((call) => [functionOf(call), call.patch])), shapes);
			const pointers = findings.filter(({ kind }) => kind === "pointer").map(({ symbol = "" }) => symbol);
			assert.deepEqual(pointers.toSorted(), [...POINTERS, ...uncalled]);
			assert.equal(findings.length, calls.length + pointers.length);
			for (const finding of findings) {
				const entry = /gettimeofday|getcpu/.exec(functionOf(finding))?.[0] ?? "time";
				assert.equal(finding.entry, entry, functionOf(finding));
			}
			assertAsObjdump(file, findings);
		});
	}

	test("symbols change nothing but names; the section table changes nothing but names", (t) => {
		if (!has(t, "gcc", "strip")) return;
		const file = build("glibc", "call-sites.c", ["-fno-pie", "-no-pie"]);
		const expected = places(scanFile(file));
		inTemporary((directory) => assert.deepEqual(places(scanFile(strip(file, directory))), expected));
		assert.deepEqual(places(scanElf(sourceOf(withoutSections(file))).findings), expected);
	});

	test("the program of 2009, by every C library", (t) => {
		if (!has(t, "gcc", "musl-gcc")) return;
		for (const toolchain of ["glibc", "glibc-static", "glibc-static-pie", "musl", "musl-static"] as const) {
			const findings = scanFile(build(toolchain, "legacy.c"));
			assert.deepEqual(
				findings.map((finding) => [finding.kind, finding.entry, functionOf(finding), finding.patch]),
				[
					["call", "gettimeofday", "page_gettimeofday", "immediate"],
					["call", "time", "page_time", "immediate"],
					["call", "getcpu", "page_getcpu", "immediate"],
				],
				toolchain,
			);
		}
	});

	test("object files have them too, where no address is known yet", (t) => {
		if (!has(t, "gcc", "objdump")) return;
		const calls = scanFile(build("glibc", "legacy.c", ["-c"]));
		assert.deepEqual(
			calls.map((call) => [call.kind, call.entry, functionOf(call), call.patch]),
			[
				["call", "gettimeofday", "page_gettimeofday", undefined],
				["call", "time", "page_time", undefined],
				["call", "getcpu", "page_getcpu", undefined],
			],
		);
	});
});

const only = (kind: Finding["kind"]) => ({ findings: [{ kind } as Finding], isApplicable: true, passedOver: 0 });

describe("what is no call", () => {
	const MENTIONS = ["-nostdlib", "-static", "-no-pie"];

	test("each function of page-mentions.S is what its name says", (t) => {
		if (!has(t, "gcc", "objdump")) return;
		const file = build("glibc", "page-mentions.S", MENTIONS);
		const findings = scanFile(file);
		const functions = [...readFileSync(fixturePath("page-mentions.S"), "latin1").matchAll(/^function (\w+)$/gm)].map(
			([, name = ""]) => name,
		);
		assert.ok(functions.length > 20);
		const inCode = findings.filter(({ section }) => section === ".text");
		assert.deepEqual(
			inCode.map((finding) => [functionOf(finding), finding.kind]),
			functions.map((name) => [name, name.replace(/_.*/, "")]).filter(([, kind]) => kind !== "nothing"),
		);
		assertAsObjdump(file, findings);
		// The words of data in text are aligned, and no finding; the one in .data is.
		const others = findings.filter(({ section }) => section !== ".text");
		assert.deepEqual(
			others.map(({ kind, symbol, section }) => [kind, symbol, section]),
			[["pointer", "table+0x8", ".data"]],
		);
	});

	test("the same without symbols", (t) => {
		if (!has(t, "gcc", "strip")) return;
		const file = build("glibc", "page-mentions.S", MENTIONS);
		inTemporary((directory) => assert.deepEqual(places(scanFile(strip(file, directory))), places(scanFile(file))));
	});

	test("a mention is not found, the rest is", () => {
		assert.equal(isFound(only("mention")), false);
		for (const kind of ["call", "address", "pointer", "go", "read", "glibc"] as const)
			assert.ok(isFound(only(kind)), kind);
	});

	test("32-bit programs have no page, so theirs is nothing", (t) => {
		if (!has(t, "gcc")) return;
		const scan = scanElf(sourceOf(readFileSync(build("glibc-32-static", "clock-readings.c"))));
		assert.deepEqual(scan, { findings: [], isApplicable: false, passedOver: 0 });
	});
});

const scanned = (bytes: Uint8Array): string => {
	try {
		return `${scanElf(sourceOf(bytes)).findings.length}`;
	} catch (error) {
		if (!(error instanceof VsyscallError) || error.code !== "ERR_VSYSCALL_ELF") throw error;
		return error.code;
	}
};

suite("damaged files", () => {
	test("a file that ends early is an error with a code, or has fewer findings", (t) => {
		if (!has(t, "gcc")) return;
		const bytes = new Uint8Array(readFileSync(build("glibc", "page-mentions.S", ["-nostdlib", "-static", "-no-pie"])));
		for (let length = 0; length < bytes.length; length += 7) scanned(bytes.subarray(0, length));
		assert.equal(scanned(bytes.subarray(0, 40)), "ERR_VSYSCALL_ELF");
		assert.equal(scanned(bytes), "18");
	});

	test("any bytes behind a header, and any changes of a program", (t) => {
		if (!has(t, "gcc")) return;
		const bytes = new Uint8Array(readFileSync(build("glibc", "page-mentions.S", ["-nostdlib", "-static", "-no-pie"])));
		const change = fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }));
		fc.assert(
			fc.property(fc.array(change, { minLength: 1, maxLength: 40 }), (changes) => {
				const changed = bytes.slice();
				for (const [offset, value] of changes) changed[offset] = value;
				scanned(changed);
			}),
			{ numRuns: 700 },
		);
		fc.assert(
			fc.property(fc.uint8Array({ minLength: 1, maxLength: 4096 }), (tail) => {
				scanned(Uint8Array.of(...bytes.subarray(0, 64), ...tail));
			}),
			{ numRuns: 700 },
		);
	});

	test("a file full of the pattern ends soon, and says what it has passed over", () => {
		const bytes = new Uint8Array(1 << 22);
		const page = new Uint8Array(BigUint64Array.of(0xffff_ffff_ff60_0400n).buffer);
		for (let offset = 0x1000; offset < bytes.length; offset += 8) bytes.set(page, offset);
		const view = new DataView(bytes.buffer);
		bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
		view.setUint16(16, 2, true);
		view.setUint16(18, 62, true);
		view.setUint32(20, 1, true);
		view.setBigUint64(32, 64n, true);
		view.setUint16(54, 56, true);
		view.setUint16(56, 1, true);
		view.setUint32(64, 1, true);
		view.setUint32(68, 7, true);
		view.setBigUint64(80, 0x400000n, true);
		view.setBigUint64(96, BigInt(bytes.length), true);
		const scan = scanElf(sourceOf(bytes));
		assert.equal(scan.findings.filter(({ kind }) => kind === "pointer").length, 4096);
		assert.ok(scan.passedOver > 400_000);
	});
});

test("the versions of C libraries are told by the library alone", (t) => {
	if (!has(t, "gcc")) return;
	// The banner of this machine's library, moved back to a release that called the page.
	inTemporary((directory) => {
		const source = join(directory, "banner.c");
		writeFileSync(
			source,
			"#include <gnu/libc-version.h>\nextern const char __libc_version[];\nint main(void){return gnu_get_libc_version()[0];}\nvoid __libc_print_version(void);void *keep=(void*)__libc_print_version;\n",
		);
		const file = join(directory, "banner");
		execFileSync("gcc", ["-static", "-o", file, source]);
		const text = readFileSync(file, "latin1");
		assert.match(text, /release version 2\.\d\d/);
		const versions = (minor: string) =>
			scanElf(
				sourceOf(Buffer.from(text.replaceAll(/release version 2\.\d\d/g, `release version 2.${minor}`), "latin1")),
			).findings.map(({ kind, detail = "" }) => `${kind} ${detail.split(":")[0]}`);
		assert.deepEqual(versions("36"), []);
		assert.deepEqual(versions("14"), []);
		assert.deepEqual(versions("13"), ["glibc static glibc 2.13"]);
	});
});

suite("Go", () => {
	/** Variables of the runtime as Go 1.2 to 1.15 preset them, and the fallback of its time.now (runtime/sys_linux_amd64.s). */
	const SOURCE = `
		.data
		.balign 8
		.globl "NAME"
		.type "NAME", @object
		.size "NAME", 8
		"NAME": .quad 0xffffffffff600000
		.text
		.globl "runtime.walltime", _start
		.type "runtime.walltime", @function
		_start:
		"runtime.walltime":
			mov "NAME"(%rip), %rax
			call *%rax
			ret
		.size "runtime.walltime", . - "runtime.walltime"
		.section .note.GNU-stack, "", @progbits\n`;
	for (const name of ["runtime.__vdso_gettimeofday_sym", "runtime.vdsoGettimeofdaySym"]) {
		test(`${name} and what calls it`, (t) => {
			if (!has(t, "gcc")) return;
			inTemporary((directory) => {
				writeFileSync(join(directory, "go.s"), SOURCE.replaceAll("NAME", name));
				execFileSync("gcc", ["-nostdlib", "-static", "-no-pie", "-o", "go", "go.s"], { cwd: directory });
				assert.deepEqual(
					scanFile(join(directory, "go")).map((finding) => [
						finding.kind,
						finding.entry,
						finding.symbol,
						finding.patch,
					]),
					[
						["call", "gettimeofday", "runtime.walltime+0x7", "pointer"],
						["go", "gettimeofday", name, undefined],
					],
				);
			});
		});
	}

	test("a Go program of today has none", (t) => {
		if (!has(t, "go")) return;
		assert.deepEqual(scanFile(build("go", "tells-time.go")), []);
	});
});

suite("C libraries by their versions", () => {
	test("libc.so.6 of 2.14 is, of 2.15 is not", (t) => {
		if (!has(t, "gcc")) return;
		inTemporary((directory) => {
			const at = (name: string): string => join(directory, name);
			for (const minor of [5, 14, 15, 36]) {
				writeFileSync(at("map"), `GLIBC_2.2.5 { global: one; };\nGLIBC_2.${minor} { global: two; } GLIBC_2.2.5;\n`);
				writeFileSync(at("libc.c"), "void one(void) {}\nvoid two(void) {}\n");
				const flags = ["-shared", "-nostdlib", "-Wl,-soname,libc.so.6", `-Wl,--version-script=${at("map")}`];
				execFileSync("gcc", [...flags, "-o", at("libc.so.6"), at("libc.c")]);
				const details = scanFile(at("libc.so.6")).map(({ kind, detail = "" }) => `${kind} ${detail.split(":")[0]}`);
				assert.deepEqual(details, minor < 15 ? [`glibc glibc 2.${minor}`] : [], `2.${minor}`);
			}
		});
	});

	test("a library of another name is not, whatever its versions", (t) => {
		if (!has(t, "gcc")) return;
		inTemporary((directory) => {
			writeFileSync(join(directory, "map"), "GLIBC_2.3 { global: one; };\n");
			writeFileSync(join(directory, "one.c"), "void one(void) {}\n");
			const flags = ["-shared", "-nostdlib", "-Wl,-soname,libm.so.6", "-Wl,--version-script=map"];
			execFileSync("gcc", [...flags, "-o", "libm.so.6", "one.c"], { cwd: directory });
			assert.deepEqual(scanFile(join(directory, "libm.so.6")), []);
		});
	});
});
