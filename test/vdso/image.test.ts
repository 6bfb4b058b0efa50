/** The image as a file: what loaders, linkers and binutils make of it. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { STB_GLOBAL, STB_WEAK, STT_FUNC } from "../../src/elf/constants.ts";
import { readElf } from "../../src/elf/reader.ts";
import { lookUpByGnuHash, lookUpBySysvHash } from "../../src/elf/symbol-lookup.ts";
import { verifyImage } from "../../src/elf/verify.ts";
import { VsyscallError } from "../../src/errors.ts";
import { readHostImage } from "../../src/linux/host-vdso.ts";
import { assembleBootstrap } from "../../src/vdso/bootstrap.ts";
import { type HostVdso, OWN_FUNCTIONS } from "../../src/vdso/host.ts";
import { buildImage } from "../../src/vdso/image.ts";
import { PAGE_SIZE } from "../../src/vvar/layout.ts";
import { has } from "../helpers/requirements.ts";
import { FULL_HOST, hostFunction, OWN_PAIRS, SYNTHETIC_HOSTS } from "./hosts.ts";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-image-"));
after(() => rmSync(directory, { recursive: true }));

const fileOf = (bytes: Uint8Array, name = "linux-vdso.so.1"): string => {
	const path = join(directory, name);
	writeFileSync(path, bytes);
	return path;
};

const NT_GNU_BUILD_ID = 3;

const buildIdOf = (bytes: Uint8Array): string => {
	const note = readElf(bytes).notes.find(({ name, type }) => name === "GNU" && type === NT_GNU_BUILD_ID);
	assert.ok(note !== undefined, "no build-id");
	return Buffer.from(note.description).toString("hex");
};

const hosts: readonly (readonly [string, HostVdso])[] = [["this host", readHostImage().vdso], ...SYNTHETIC_HOSTS];

for (const [name, host] of hosts) {
	describe(`the image for ${name}`, () => {
		const image = buildImage(host);
		const elf = readElf(image.bytes);

		test("breaks no rule", () => {
			assert.deepEqual(verifyImage(image.bytes, "own"), []);
			assert.deepEqual(verifyImage(image.bytes, "host"), []);
		});

		test("is read by readelf without a warning", (t) => {
			if (!has(t, "readelf")) return;
			const { status, stdout, stderr } = spawnSync("readelf", ["-aW", "--debug-dump=frames", fileOf(image.bytes)], {
				encoding: "utf8",
				env: { ...process.env, LC_ALL: "C" },
			});
			assert.equal(stderr, "");
			assert.equal(status, 0);
			// The key to the flags of sections has the word too; and readelf knows no note of the kernel's, which are under "Linux".
			const complaints = stdout
				.replace("x (unknown)", "")
				.replace(/^ +Linux +0x00000004\tUnknown note type: \(0x00000000\)/m, "")
				.split("\n")
				.filter((line) => /warning|error|corrupt|unknown|unrecogni[sz]ed|<none>/i.test(line));
			assert.deepEqual(complaints, []);
		});

		test("exports the five functions by both names", () => {
			for (const own of OWN_FUNCTIONS) {
				const symbols = [`__vdso_${own}`, own].map((symbol) => elf.symbols.find((entry) => entry.name === symbol));
				assert.deepEqual(
					symbols.map((symbol) => [symbol?.type, symbol?.binding, symbol?.version]),
					[
						[STT_FUNC, STB_GLOBAL, "LINUX_2.6"],
						[STT_FUNC, STB_WEAK, "LINUX_2.6"],
					],
				);
				assert.equal(symbols[0]?.value, symbols[1]?.value);
				assert.equal(symbols[0]?.size, symbols[1]?.size);
			}
		});

		test("exports what the host exports, with its versions and bindings", () => {
			for (const wanted of host.functions) {
				for (const lookUp of [lookUpBySysvHash, lookUpByGnuHash]) {
					const found = lookUp(elf, wanted.name, wanted.version);
					assert.ok(found !== undefined, `${wanted.name}@${wanted.version}`);
					assert.equal(found.binding, wanted.binding === "global" ? STB_GLOBAL : STB_WEAK, wanted.name);
					assert.equal(found.type, STT_FUNC, wanted.name);
				}
			}
		});

		test("gives names of one function one address, and functions that differ different ones", () => {
			const addresses = new Map<number, Set<bigint>>();
			for (const { name: exported, offset } of host.functions) {
				const { value } = elf.symbols.find((symbol) => symbol.name === exported) ?? { value: 0n };
				addresses.set(offset, (addresses.get(offset) ?? new Set()).add(value));
			}
			assert.ok([...addresses.values()].every((values) => values.size === 1));
			assert.equal(new Set([...addresses.values()].flatMap((values) => [...values])).size, addresses.size);
		});

		test("is the same bytes each time, in whole pages", () => {
			assert.deepEqual(buildImage(structuredClone(host)), image);
			assert.equal(image.bytes.length % PAGE_SIZE, 0);
			assert.equal(image.mappingLength, image.bytes.length + 2 * PAGE_SIZE);
			assert.equal(image.pageFileOffset, image.bytes.length);
		});

		test("has its installer in the code, unreachable by name", () => {
			const text = elf.sections.find((section) => section.name === ".text");
			assert.ok(text !== undefined);
			const [start, end] = [Number(text.address), Number(text.address + text.size)];
			assert.ok(image.installerOffset >= start && image.installerEnd <= end);
			for (const stop of image.installerStops) {
				assert.ok(stop > image.installerOffset && stop < image.installerEnd);
			}
			const named = elf.symbols.filter(
				({ value, size }) =>
					value <= BigInt(image.installerOffset) && BigInt(image.installerOffset) < value + (size === 0n ? 1n : size),
			);
			assert.deepEqual(
				named.filter(({ type }) => type === STT_FUNC),
				[],
			);
			// stop: int3, the byte behind the call
			const [killed = 0, trapped = 0] = image.installerStops;
			assert.deepEqual([...image.bytes.subarray(killed - 2, killed)], [0x0f, 0x05]);
			assert.equal(image.bytes[trapped - 1], 0xcc);
		});
	});
}

test("images with different contents have different build-ids", () => {
	const contents = new Set(hosts.map(([, host]) => Buffer.from(buildImage(host).bytes).toString("latin1")));
	const ids = new Set(hosts.map(([, host]) => buildIdOf(buildImage(host).bytes)));
	assert.equal(ids.size, contents.size);
	assert.ok(ids.size >= SYNTHETIC_HOSTS.length - 1);
	for (const id of ids) assert.match(id, /^[0-9a-f]{40}$/);
});

test("one moved function of the host changes the build-id", () => {
	const moved = FULL_HOST.functions.map((entry) =>
		entry.name === "__vdso_getrandom" || entry.name === "getrandom" ? { ...entry, offset: entry.offset + 16 } : entry,
	);
	const ids = [FULL_HOST, { ...FULL_HOST, functions: moved }].map((host) => buildIdOf(buildImage(host).bytes));
	assert.notEqual(ids[0], ids[1]);
});

const spare = PAGE_SIZE / 8 - OWN_FUNCTIONS.length - 1;

const withExtra = (count: number): HostVdso => ({
	...FULL_HOST,
	functions: [
		...OWN_PAIRS,
		...Array.from({ length: count }, (_, index) => hostFunction(`__vdso_extra_${index}`, 0x2000 + index * 16)),
	],
});

test("512 words fill the link page, and one more is refused", () => {
	assert.deepEqual(verifyImage(buildImage(withExtra(100)).bytes, "own"), []);
	assert.doesNotThrow(() => buildImage(withExtra(spare)));
	assert.throws(
		() => buildImage(withExtra(spare + 1)),
		(error) => error instanceof VsyscallError && error.code === "ERR_VSYSCALL_IMAGE",
	);
});

const compile = (source: string, name: string): string => {
	const object = join(directory, `${name}.o`);
	execFileSync("gcc", ["-xc", "-fPIC", "-c", "-o", object, "-"], { input: source });
	return object;
};

const link = (linker: string, args: readonly string[]): { status: number | null; stderr: string } =>
	spawnSync(linker, args, { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });

describe("a linker", () => {
	const SOURCE = `
		#include <time.h>
		extern int __vdso_clock_gettime(int, struct timespec *);
		__asm__(".symver versioned, __vdso_clock_gettime@LINUX_2.6");
		extern int versioned(int, struct timespec *);
		int call(struct timespec *time) { return __vdso_clock_gettime(0, time) + versioned(0, time); }
	`;
	const HIDDEN = `
		__asm__(".symver versioned, __vdso_clock_gettime@LINUX_2.7");
		extern int versioned(int, void *);
		int call(void *time) { return versioned(0, time); }
	`;
	test("ld -shared binds __vdso_clock_gettime@LINUX_2.6 to the image", (t) => {
		if (!has(t, "gcc", "ld", "readelf")) return;
		const image = fileOf(buildImage(FULL_HOST).bytes);
		const output = join(directory, "user.so");
		const { status, stderr } = link("ld", ["-shared", "-z", "defs", "-o", output, compile(SOURCE, "user"), image]);
		assert.equal(stderr, "");
		assert.equal(status, 0);
		const elf = readElf(execFileSync("cat", [output]));
		assert.ok(elf.needed.includes("linux-vdso.so.1"));
		const symbol = elf.symbols.find(({ name }) => name === "__vdso_clock_gettime");
		assert.equal(symbol?.version, "LINUX_2.6");
		assert.deepEqual(
			elf.versionNeeds.map(({ name }) => name),
			["LINUX_2.6"],
		);
	});

	test("gcc links a program against the image", (t) => {
		if (!has(t, "gcc")) return;
		const image = fileOf(buildImage(FULL_HOST).bytes);
		const main = compile("int call(void *); int main(void) { long time[2]; return call(time); }", "main");
		const args = ["-Wl,--fatal-warnings", "-o", join(directory, "program"), main, compile(SOURCE, "user"), image];
		const { status, stderr } = link("gcc", args);
		assert.equal(stderr, "");
		assert.equal(status, 0);
	});

	test("a version that the image does not define is not found", (t) => {
		if (!has(t, "gcc", "ld")) return;
		const image = fileOf(buildImage(FULL_HOST).bytes);
		const object = compile(HIDDEN, "hidden");
		const { status, stderr } = link("ld", ["-shared", "-z", "defs", "-o", join(directory, "no.so"), object, image]);
		assert.notEqual(status, 0);
		assert.match(stderr, /LINUX_2\.7/);
	});

	test("nm and objdump see every function", (t) => {
		if (!has(t, "nm", "objdump")) return;
		const path = fileOf(buildImage(FULL_HOST).bytes);
		const names = execFileSync("nm", ["-D", "--defined-only", path], { encoding: "utf8" });
		for (const { name } of FULL_HOST.functions) assert.match(names, new RegExp(` [TW] ${name}@@LINUX_2\\.6$`, "m"));
		const { stderr, stdout } = spawnSync("objdump", ["-d", path], { encoding: "utf8" });
		assert.equal(stderr, "");
		assert.match(stdout, /<__vdso_clock_gettime@@LINUX_2\.6>:|<clock_gettime@@LINUX_2\.6>:/);
	});
});

test("stage 1 opens first, has a system call in front of its stop, and is short", () => {
	const bootstrap = assembleBootstrap(buildImage(FULL_HOST));
	assert.deepEqual([...bootstrap.code.subarray(bootstrap.opened - 2, bootstrap.opened)], [0x0f, 0x05]);
	const [killed = 0, trapped = 0] = bootstrap.stops;
	assert.equal(killed, bootstrap.syscall + 2);
	assert.equal(bootstrap.code[trapped - 1], 0xcc);
	assert.ok(bootstrap.code.length <= 128, `${bootstrap.code.length} bytes`);
});
