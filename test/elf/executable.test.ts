/** Programs that we write are programs for readelf, for our own reader, for the kernel and for the dynamic loader. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Assembler } from "../../src/asm/assembler.ts";
import { Label, ripRelative } from "../../src/asm/operands.ts";
import { eax, ebx, edi, rax, rdi, rsp } from "../../src/asm/registers.ts";
import { EM_386, EM_X86_64, ET_DYN } from "../../src/elf/constants.ts";
import { writeExecutable } from "../../src/elf/executable.ts";
import { readElf } from "../../src/elf/reader.ts";
import { has } from "../helpers/requirements.ts";

const STATUS = 42;
const LOADER = "/lib64/ld-linux-x86-64.so.2";

/** exit(42) as a system call. */
const staticProgram = (bits: 32 | 64): Uint8Array => {
	const assembler = new Assembler(bits);
	if (bits === 64) {
		assembler.mov(edi, STATUS);
		assembler.mov(eax, 60);
		assembler.syscall();
	} else {
		assembler.mov(ebx, STATUS);
		assembler.mov(eax, 1);
		assembler.raw(0xcd, 0x80);
	}
	const { bytes } = assembler.assemble();
	const machine = bits === 64 ? EM_X86_64 : EM_386;
	return writeExecutable({ bits, machine, textSize: bytes.length, entry: 0, text: () => bytes });
};

/** exit(abs(-42)) by two functions of the C library. */
const dynamicProgram = (): Uint8Array => {
	const assembler = new Assembler(64);
	const words = new Label("imports");
	const start = assembler.label("start");
	// The entry is not the first byte.
	assembler.int3();
	assembler.bind(start);
	assembler.mov(edi, -STATUS);
	assembler.call(ripRelative(words, 0));
	assembler.mov(rdi, rax);
	assembler.call(ripRelative(words, 8));
	assembler.push(rsp);
	const code = assembler.assemble();
	return writeExecutable({
		bits: 64,
		machine: EM_X86_64,
		textSize: code.bytes.length,
		entry: code.offsetOf(start),
		imports: { interpreter: LOADER, libraries: ["libc.so.6"], functions: ["abs", "exit"] },
		text: ({ offset, importsOffset }) => code.link(() => importsOffset - offset),
	});
};

const PROGRAMS = [
	["static, 64-bit", staticProgram(64)],
	["static, 32-bit", staticProgram(32)],
	["dynamic", dynamicProgram()],
] as const;

const written = (t: TestContext, bytes: Uint8Array): string => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-executable-"));
	t.after(() => rmSync(directory, { recursive: true, force: true }));
	const file = join(directory, "program");
	writeFileSync(file, bytes, { mode: 0o755 });
	return file;
};

for (const [name, bytes] of PROGRAMS) {
	test(`${name}: the kernel runs it`, (t) => {
		const { status, signal, stderr } = spawnSync(written(t, bytes), { encoding: "utf8" });
		assert.deepEqual({ status, signal, stderr }, { status: STATUS, signal: null, stderr: "" });
	});

	test(`${name}: readelf has nothing to say against it`, (t) => {
		if (!has(t, "readelf")) return;
		const { stdout, stderr } = spawnSync("readelf", ["-hldrsW", "--use-dynamic", written(t, bytes)], {
			encoding: "utf8",
		});
		assert.equal(stderr, "");
		const entry = /Entry point address:\s+0x([0-9a-f]+)/.exec(stdout)?.[1];
		assert.equal(BigInt(`0x${entry}`), readElf(bytes).header.entry);
	});
}

test("no page is writable and executable, and the stack is not executable", () => {
	for (const [name, bytes] of PROGRAMS) {
		const { header, programHeaders } = readElf(bytes);
		assert.equal(header.type, ET_DYN);
		for (const { flags } of programHeaders) assert.notEqual(flags & 3, 3, name);
	}
});

test("the loader finds the functions, and one that is preloaded comes first", (t) => {
	if (!has(t, "gcc")) return;
	const file = written(t, dynamicProgram());
	const library = `${file}.so`;
	execFileSync("gcc", ["-shared", "-fPIC", "-x", "c", "-o", library, "-"], { input: "int abs(int x) { return 7; }" });
	assert.equal(spawnSync(file, { env: { LD_PRELOAD: library } }).status, 7);
	assert.deepEqual(
		readElf(dynamicProgram())
			.symbols.slice(1)
			.map(({ name }) => name),
		["abs", "exit"],
	);
});
