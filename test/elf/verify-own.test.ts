/** Rules of profile "own", on the image that vdso/image.ts builds for a made-up host. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as constants from "../../src/elf/constants.ts";
import { RULES, verifyImage } from "../../src/elf/verify.ts";
import type { HostFunction } from "../../src/vdso/host.ts";
import { OWN_FUNCTIONS } from "../../src/vdso/host.ts";
import { buildImage } from "../../src/vdso/image.ts";
import { type Damage, EditedImage, FRAME_TABLE, UNKNOWN_TAG } from "./edit.ts";

const hostFunction = (name: string, binding: HostFunction["binding"], offset: number): HostFunction => ({
	name,
	binding,
	version: "LINUX_2.6",
	offset,
});

/** What a kernel from 7.2 on exports: our five by both names, getrandom by both, and two without an alias. */
const FUNCTIONS: readonly HostFunction[] = [
	...OWN_FUNCTIONS.flatMap((name, index) => [
		hostFunction(`__vdso_${name}`, "global", 0x800 + index * 0x100),
		hostFunction(name, "weak", 0x800 + index * 0x100),
	]),
	hostFunction("__vdso_getrandom", "global", 0xe00),
	hostFunction("getrandom", "weak", 0xe00),
	hostFunction("__vdso_sgx_enter_enclave", "global", 0xf00),
	hostFunction("__vdso_futex_robust_list64_try_unlock", "global", 0x1000),
];

const ownImage = (functions: readonly HostFunction[] = FUNCTIONS): Uint8Array =>
	buildImage({ bits: 64, functions, coarse: undefined, fine: undefined, hasRdpid: false }).bytes;

const { DT_HASH, DT_GNU_HASH, PT_LOAD, PT_NOTE, PT_GNU_STACK } = constants;
const SHF_WRITE_FLAG = 8;

const DAMAGES: readonly Damage[] = [
	["no DT_HASH", "both-hash-tables", (image) => image.u64(image.dynamic(DT_HASH), UNKNOWN_TAG)],
	["no DT_GNU_HASH", "both-hash-tables", (image) => image.u64(image.dynamic(DT_GNU_HASH), UNKNOWN_TAG)],
	["an empty Bloom filter", "hash-look-up", (image) => image.u64(image.table(DT_GNU_HASH) + 16, 0)],
	[
		"another hash in a chain",
		"hash-look-up",
		(image) => {
			const table = image.table(DT_GNU_HASH);
			const { elf } = image;
			const hashes = table + 16 + 8 * elf.view.u32(table + 8) + 4 * elf.view.u32(table);
			image.u8(hashes + 3, elf.view.u8(hashes + 3) ^ 0xff);
		},
	],
	[
		"empty buckets in DT_HASH",
		"hash-look-up",
		(image) => {
			const table = image.table(DT_HASH);
			for (let bucket = 0; bucket < image.elf.view.u32(table); bucket++) image.u32(table + 8 + 4 * bucket, 0);
		},
	],
	[
		"a circle in DT_HASH",
		"hash-look-up",
		(image) => {
			const { chainCount, chains } = image.elf.sysvHash ?? { chainCount: 0, chains: 0 };
			for (let index = 1; index < chainCount; index++) image.u32(chains + 4 * index, index);
		},
	],
	["an alias that is global", "aliases", (image) => image.u8(image.symbol("time") + 4, 0x12)],
	["a function that is weak", "aliases", (image) => image.u8(image.symbol("__vdso_time") + 4, 0x22)],
	["an alias of another size", "aliases", (image) => image.u64(image.symbol("time") + 16, 8), ["no-overlap"]],
	["no alias", "aliases", (image) => image.u8(image.symbol("time") + 4, constants.STT_FUNC)],
	["no twin", "aliases", (image) => image.u8(image.symbol("__vdso_getrandom") + 4, constants.STT_FUNC)],
	[
		"a local version symbol",
		"version-symbols",
		(image) => image.u8(image.symbol("LINUX_2.6") + 4, constants.STT_OBJECT),
	],
	["no section headers", "section-headers", (image) => image.u64(40, 0)],
	["section headers beyond the file", "section-headers", (image) => image.u64(40, 0x100_0000)],
	["a section without a name", "section-headers", (image) => image.u32(image.section(".text"), 0x1_0000)],
	[
		"a section that goes on behind PT_LOAD",
		"sections-mapped",
		(image) => image.u64(image.section(".shstrtab") + 32, 0x1_0000),
		["section-headers"],
	],
	["a section at another address", "sections-mapped", (image) => image.u64(image.section(".note") + 16, 0x10)],
	[
		"a writable section",
		"nothing-writable",
		(image) => image.u64(image.section(".dynamic") + SHF_WRITE_FLAG, constants.SHF_ALLOC | constants.SHF_WRITE),
	],
	["a writable segment", "nothing-writable", (image) => image.u32(image.segment(PT_NOTE) + 4, 6)],
	["a section of no bytes", "no-bss", (image) => image.u32(image.section(".note") + 4, constants.SHT_NOBITS)],
	["an executable stack", "stack-not-executable", (image) => image.u32(image.segment(PT_GNU_STACK) + 4, 7)],
	["no PT_GNU_STACK", "stack-not-executable", (image) => image.u32(image.segment(PT_GNU_STACK), constants.PT_NULL)],
	["no build id", "build-id", (image) => image.u8(image.noteName("GNU"), 0x67)],
	[
		"a function without endbr64",
		"landing-pads",
		(image) => image.u8(Number(image.elf.symbols[image.symbolIndex("time")]?.value), 0x90),
	],
	["an entry point", "entry-point", (image) => image.u64(24, 0x400)],
	["bss", "load-or-pages-more", (image) => image.u64(image.segment(PT_LOAD) + 40, 0x7f00)],
	[
		"a frame that ends early",
		"frames-cover-exports",
		(image) => {
			const header = image.sectionOffset(".eh_frame_hdr");
			const description = header + image.elf.view.u32(header + FRAME_TABLE + 4);
			image.u32(description + 12, image.elf.view.u32(description + 12) - 1);
		},
	],
	[
		"a function inside another",
		"no-overlap",
		(image) => {
			const outer = image.elf.symbols[image.symbolIndex("time")];
			for (const name of ["getcpu", "__vdso_getcpu"]) {
				image.u64(image.symbol(name) + 8, outer?.value ?? 0n);
				image.u64(image.symbol(name) + 16, 4);
			}
		},
	],
];

const FUNCTIONS_32: readonly HostFunction[] = ["clock_gettime", "clock_gettime64", "gettimeofday", "time"].map(
	(name, index) => hostFunction(`__vdso_${name}`, "global", 0x700 + index * 0x100),
);

const ownImage32 = (functions: readonly HostFunction[] = FUNCTIONS_32): Uint8Array =>
	buildImage({ bits: 32, functions, coarse: undefined, fine: undefined, hasRdpid: false }).bytes;

const placeOf = (image: EditedImage, name: string): number => Number(image.elf.symbols[image.symbolIndex(name)]?.value);
const NO_FRAME_RULES = 0x52;

/** What only an image of i386 can have wrong. */
const DAMAGES_32: readonly Damage[] = [
	["no entry point", "entry-point", (image) => image.u32(24, 0)],
	[
		"an entry point behind the first push",
		"entry-point",
		(image) => image.u32(24, placeOf(image, "__kernel_vsyscall") + 1),
	],
	[
		"a sigreturn of another number",
		"signal-returns",
		(image) => image.u8(placeOf(image, "__kernel_sigreturn") + 2, 0xad),
	],
	[
		"a sigreturn that is no frame of a signal",
		"signal-returns",
		(image) => {
			const augmentation = Buffer.from(image.bytes).indexOf("zRS\0");
			image.u8(augmentation + 2, NO_FRAME_RULES);
		},
		["frame-table", "frames-in-code", "frames-cover-exports"],
	],
	["a function without endbr32", "landing-pads", (image) => image.u8(placeOf(image, "__vdso_time"), 0x90)],
	["the landing pad of 64-bit code", "landing-pads", (image) => image.u8(placeOf(image, "__vdso_time") + 3, 0xfa)],
	["the machine of x32", "machine", (image) => image.u16(18, constants.EM_X86_64)],
];

const brokenRules = (bytes: Uint8Array): readonly string[] => [
	...new Set(verifyImage(bytes, "own").map(({ rule }) => rule)),
];

describe("rules of an image of ours", () => {
	for (const [host, functions] of [
		["of a kernel with everything", FUNCTIONS],
		["of a kernel with our five", FUNCTIONS.slice(0, 2 * OWN_FUNCTIONS.length)],
		["without a vDSO", []],
	] as const) {
		test(`the image for a host ${host} keeps them`, () =>
			assert.deepEqual(verifyImage(ownImage(functions), "own"), []));
	}

	for (const [host, functions] of [
		["of a kernel", FUNCTIONS_32],
		["without a vDSO", []],
	] as const)
		test(`the 32-bit image for a host ${host} keeps them`, () =>
			assert.deepEqual(verifyImage(ownImage32(functions), "own"), []));

	for (const [bits, damages, makeImage] of [
		[64, DAMAGES, ownImage],
		[32, DAMAGES_32, ownImage32],
	] as const)
		for (const [what, rule, damage, others = []] of damages) {
			test(`${rule}: ${what}, ${bits} bits`, () => {
				const image = new EditedImage(makeImage());
				damage(image);
				assert.deepEqual(brokenRules(image.bytes).toSorted(), [rule, ...others].toSorted());
			});
		}

	test("every rule has an image that breaks it", () => {
		const tested = new Set([...DAMAGES, ...DAMAGES_32].map(([, rule]) => rule));
		const host = new Set(RULES.host.map(({ name }) => name));
		assert.deepEqual(
			RULES.own.map(({ name }) => name).filter((name) => !host.has(name) && !tested.has(name)),
			[],
		);
	});
});
