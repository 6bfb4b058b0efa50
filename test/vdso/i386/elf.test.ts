/** The 32-bit image as binutils read it, beside the kernel's own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { hostEntryForm } from "../../../src/vdso/fast-entry.ts";
import { readElf } from "../../../src/elf/reader.ts";
import { host32, Sandbox32 } from "./sandbox.ts";

const directory = mkdtempSync(join(tmpdir(), "vsyscall-elf32-"));
after(() => rmSync(directory, { recursive: true }));

const { bytes: hostBytes, vdso } = host32();
const entryForm = hostEntryForm(hostBytes.subarray(Number(readElf(hostBytes).header.entry)));
const FILES = { host: join(directory, "host"), own: join(directory, "own") } as const;
writeFileSync(FILES.host, hostBytes);
writeFileSync(FILES.own, new Sandbox32(vdso, "host", { entryForm }).image.bytes);

/** Standard error is no part of what is compared, but has to be empty for our image. */
const readelf = (file: keyof typeof FILES, ...flags: readonly string[]): string =>
	execFileSync("readelf", ["-W", ...flags, FILES[file]], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** Names with versions, of functions and of versions themselves. */
const symbolsOf = (file: keyof typeof FILES): readonly string[] =>
	[...readelf(file, "--dyn-syms").matchAll(/(FUNC|OBJECT) +(GLOBAL|WEAK) +DEFAULT +(?:ABS|\d+) (\S+)/g)]
		.map(([, type, binding, name]) => `${type} ${binding} ${name}`)
		.toSorted();

test("has the symbols and versions of the kernel's", () => assert.deepEqual(symbolsOf("own"), symbolsOf("host")));

const versions = (file: keyof typeof FILES): readonly string[] =>
	[...readelf(file, "-V").matchAll(/Index: (\d+) .*Name: (\S+)/g)].map(([, index, name]) => `${index} ${name}`);

test("has the versions in the kernel's order, and its soname", () => {
	assert.deepEqual(versions("own"), versions("host"));
	assert.deepEqual(versions("own"), ["1 linux-gate.so.1", "2 LINUX_2.6", "3 LINUX_2.5"]);
});

/** The address of a function. */
const addressOf = (file: keyof typeof FILES, name: string): number => {
	const match = new RegExp(`([0-9a-f]{8}) .* ${name}@`).exec(readelf(file, "--dyn-syms"));
	return Number.parseInt(match?.[1] ?? assert.fail(name), 16);
};

/** The instructions of the FDE that covers an address, without addresses. */
const frameOf = (file: keyof typeof FILES, address: number): readonly string[] => {
	const parts = readelf(file, "--debug-dump=frames").split(/\n(?=[0-9a-f]{8} )/);
	const part = parts.find((text) => {
		const range = /FDE .* pc=([0-9a-f]+)\.\.([0-9a-f]+)/.exec(text);
		const [from, to] = [range?.[1], range?.[2]].map((end) => Number.parseInt(end ?? "", 16)) as [number, number];
		return from <= address && address < to;
	});
	const lines = (part ?? assert.fail("no FDE")).split("\n").slice(1);
	return lines
		.map((line) => line.replace(/ to [0-9a-f]+/, "").trim())
		.filter((line) => line.startsWith("DW_") && line !== "DW_CFA_nop");
};

for (const name of ["__kernel_sigreturn", "__kernel_rt_sigreturn"])
	test(`${name} has the kernel's frame of a signal, from one byte in front of it on`, () => {
		for (const before of [0, 1])
			assert.deepEqual(
				frameOf("own", addressOf("own", name) - before),
				frameOf("host", addressOf("host", name) - before),
			);
		assert.match(readelf("own", "--debug-dump=frames"), /Augmentation: +"zRS"/);
	});

/** By place: what takes effect at one may stand there in any order. */
const places = (lines: readonly string[]): readonly (readonly string[])[] =>
	lines
		.join("\n")
		.split(/(?=DW_CFA_advance_loc)/)
		.map((text) =>
			text
				.split("\n")
				.filter((line) => line !== "")
				.toSorted(),
		);

/** Kernels from 7.0 on have a NOP in front, and do not push where interrupts are as fast. */
const hasPushes = entryForm !== "int80" && hostBytes[addressOf("host", "__kernel_vsyscall")] !== 0x0f;

test("__kernel_vsyscall has the kernel's frame", (t) => {
	if (!hasPushes) return t.skip("this kernel's __kernel_vsyscall does not begin with its pushes");
	const [own, host] = (["own", "host"] as const).map((file) => frameOf(file, addressOf(file, "__kernel_vsyscall"))) as [
		readonly string[],
		readonly string[],
	];
	assert.deepEqual(places(own), places(host));
});

test("the bytes of the kernel's three functions are the kernel's", () => {
	for (const [name, length] of [
		...(hasPushes ? ([["__kernel_vsyscall", 13]] as const) : []),
		["__kernel_sigreturn", 8],
		["__kernel_rt_sigreturn", 7],
	] as const) {
		const own = new Sandbox32(vdso, "host", { entryForm }).image.bytes;
		const [mine, kernels] = [
			Buffer.from(own).subarray(addressOf("own", name)),
			Buffer.from(hostBytes).subarray(addressOf("host", name)),
		].map((code) => code.subarray(0, length).toString("hex"));
		assert.equal(mine, kernels, name);
	}
});

test("nothing of it surprises readelf", () => {
	const script = `readelf -W -a --debug-dump=frames "$1" 2>&1 >/dev/null`;
	assert.equal(execFileSync("sh", ["-c", script, "sh", FILES.own], { encoding: "utf8" }), "");
});
