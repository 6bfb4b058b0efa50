import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as constants from "../../src/elf/constants.ts";
import { sysvHash } from "../../src/elf/hash.ts";
import { RULES, verifyImage } from "../../src/elf/verify.ts";
import { hostImage } from "../helpers/host-image.ts";
import { type Damage, EditedImage, FRAME_TABLE, UNKNOWN_TAG } from "./edit.ts";

const { PT_LOAD, PT_DYNAMIC, PT_GNU_EH_FRAME, PT_TLS, PT_INTERP, PT_NULL } = constants;
const HEADER_ENTRY_POINT = 24;

/** Puts another entry in the place of DT_SYMBOLIC, which every kernel's image has and nothing reads. */
const insertDynamic =
	(tag: number, value: number) =>
	(image: EditedImage): void => {
		const entry = image.dynamic(constants.DT_SYMBOLIC);
		image.u64(entry, tag);
		image.u64(entry + 8, value);
	};

const removeDynamic =
	(...tags: readonly number[]) =>
	(image: EditedImage): void => {
		for (const tag of tags) image.u64(image.dynamic(tag), UNKNOWN_TAG);
	};

const setSegment =
	(type: number, offset: number, value: number) =>
	(image: EditedImage): void =>
		image.u64(image.segment(type) + offset, value);

const FUNCTION = "__vdso_clock_gettime";

const DAMAGES: readonly Damage[] = [
	["not ELF", "readable", (image) => image.u8(0, 0)],
	[
		"larger than 64 KiB",
		"size",
		(image) => {
			const grown = new Uint8Array(0x1_0001);
			grown.set(image.bytes);
			image.bytes = grown;
		},
	],
	["for arm64", "machine", (image) => image.u16(18, constants.EM_AARCH64)],
	["an executable", "shared-object", (image) => image.u16(16, constants.ET_EXEC)],
	["a second PT_LOAD", "one-load-segment", (image) => image.addSegment(PT_LOAD)],
	[
		"a PT_LOAD elsewhere in front",
		"load-at-zero",
		(image) => {
			image.addSegment(PT_LOAD);
			const first = image.elf.view.layout.programHeader.recordSize;
			const table = image.bytes.length - first * (image.elf.programHeaders.length + 1);
			image.u64(table + 16, 0x10_0000);
		},
		["one-load-segment"],
	],
	["more memory than bytes", "load-without-bss", setSegment(PT_LOAD, 40, 0x3000)],
	[
		"more bytes than the file",
		"load-in-file",
		(image) => {
			image.u64(image.segment(PT_LOAD) + 32, 0x100_0000);
			image.u64(image.segment(PT_LOAD) + 40, 0x100_0000);
		},
	],
	["writable", "load-read-execute", (image) => image.u32(image.segment(PT_LOAD) + 4, 7)],
	[
		"not executable",
		"load-read-execute",
		(image) => image.u32(image.segment(PT_LOAD) + 4, 4),
		["exports-functions", "frames-in-code"],
	],
	["aligned to bytes", "load-alignment", setSegment(PT_LOAD, 48, 1)],
	["aligned to no power of two", "load-alignment", setSegment(PT_LOAD, 48, 0x1800)],
	["PT_DYNAMIC at another address", "dynamic-segment", setSegment(PT_DYNAMIC, 16, 0x448)],
	["two PT_DYNAMIC", "dynamic-segment", (image) => image.addSegment(PT_DYNAMIC)],
	["no Linux note", "linux-note", (image) => image.u8(image.noteName("Linux"), 0x6c)],
	[
		"another soname, named consistently",
		"soname",
		(image) => {
			image.u8(image.string("linux-vdso.so.1"), 0x4c);
			image.u32(image.verdef(0) + 8, sysvHash("Linux-vdso.so.1"));
		},
	],
	["no soname", "soname", removeDynamic(constants.DT_SONAME), ["base-version"]],
	[
		"no hash table",
		"hash-table",
		(image) => {
			for (const tag of [constants.DT_HASH, constants.DT_GNU_HASH]) {
				if (image.elf.dynamic.some((entry) => entry.tag === tag)) removeDynamic(tag)(image);
			}
		},
	],
	["no DT_STRSZ", "symbol-table", removeDynamic(constants.DT_STRSZ)],
	["no DT_SYMENT", "symbol-table", removeDynamic(constants.DT_SYMENT)],
	["no DT_SYMTAB", "symbol-table", removeDynamic(constants.DT_SYMTAB), ["exports-functions"]],
	["no DT_VERSYM", "version-tables", removeDynamic(constants.DT_VERSYM), ["exports-functions", "exports-versioned"]],
	[
		"more versions promised than there",
		"version-tables",
		(image) => image.u64(image.dynamic(constants.DT_VERDEFNUM) + 8, 3),
	],
	[
		"a version index of nothing",
		"version-tables",
		(image) => image.u16(image.versym(FUNCTION), 7),
		["exports-versioned"],
	],
	["another hash of LINUX_2.6", "version-tables", (image) => image.u32(image.verdef(1) + 8, 0x3ae75f7)],
	[
		"LINUX_2.7",
		"linux-version",
		(image) => {
			image.u8(image.string("LINUX_2.6") + 8, 0x37);
			image.u32(image.verdef(1) + 8, sysvHash("LINUX_2.7"));
		},
	],
	[
		"a global symbol without version",
		"exports-versioned",
		(image) => image.u16(image.versym(FUNCTION), constants.VER_NDX_GLOBAL),
	],
	["a hidden version", "exports-versioned", (image) => image.u16(image.versym(FUNCTION), constants.VERSYM_HIDDEN | 2)],
	["no base version", "base-version", (image) => image.u16(image.verdef(0) + 2, 0)],
	["an exported object", "exports-functions", (image) => image.u8(image.symbol(FUNCTION) + 4, 0x11)],
	["a function in the headers", "exports-functions", (image) => image.u64(image.symbol(FUNCTION) + 8, 0x40)],
	["a function that never ends", "exports-functions", (image) => image.u64(image.symbol(FUNCTION) + 16, 0x10_0000)],
	["DT_RELA", "no-relocations", insertDynamic(constants.DT_RELA, 0x100)],
	["DT_REL", "no-relocations", insertDynamic(constants.DT_REL, 0x100)],
	["DT_RELR", "no-relocations", insertDynamic(constants.DT_RELR, 0x100)],
	["DT_JMPREL", "no-relocations", insertDynamic(constants.DT_JMPREL, 0x100)],
	["DT_TEXTREL", "no-relocations", insertDynamic(constants.DT_TEXTREL, 0)],
	["DF_TEXTREL", "no-relocations", insertDynamic(constants.DT_FLAGS, constants.DF_TEXTREL)],
	["PT_TLS", "no-thread-storage", (image) => image.addSegment(PT_TLS)],
	["PT_INTERP", "no-interpreter", (image) => image.addSegment(PT_INTERP)],
	["DT_NEEDED", "needs-nothing", insertDynamic(constants.DT_NEEDED, 0)],
	["DT_INIT outside", "dynamic-addresses", insertDynamic(constants.DT_INIT, 0x10_0000)],
	["no PT_GNU_EH_FRAME", "frame-table", (image) => image.u32(image.segment(PT_GNU_EH_FRAME), PT_NULL)],
	[
		"an unsorted search table",
		"frame-table",
		(image) => {
			const first = image.sectionOffset(".eh_frame_hdr") + FRAME_TABLE;
			const pair = image.bytes.slice(first, first + 8);
			image.bytes.copyWithin(first, first + 8, first + 16);
			image.bytes.set(pair, first + 8);
		},
	],
	[
		"no search table",
		"frame-table",
		(image) => image.u8(image.sectionOffset(".eh_frame_hdr") + 3, constants.DW_EH_PE_omit),
	],
	["a frame without length", "frames-in-code", (image) => image.u32(image.sectionOffset(".eh_frame") + 0x18 + 12, 0)],
	[
		"a frame beyond the code",
		"frames-in-code",
		(image) => image.u32(image.sectionOffset(".eh_frame") + 0x18 + 12, 0x10_0000),
	],
];

const brokenRules = (bytes: Uint8Array): readonly string[] => [
	...new Set(verifyImage(bytes, "host").map(({ rule }) => rule)),
];

describe("rules of an image that can be mapped as it stands", () => {
	test("the kernel's own image keeps those of profile host", () => {
		assert.deepEqual(verifyImage(hostImage(), "host"), []);
	});

	test("the kernel's own image keeps them without its section headers too", () => {
		const image = new EditedImage(hostImage());
		image.u64(40, 0);
		assert.deepEqual(verifyImage(image.bytes, "host"), []);
	});

	for (const [what, rule, damage, others = []] of DAMAGES) {
		test(`${rule}: ${what}`, () => {
			const image = new EditedImage(hostImage());
			damage(image);
			assert.deepEqual(brokenRules(image.bytes).toSorted(), [rule, ...others].toSorted());
		});
	}

	test("every rule has an image that breaks it", () => {
		const tested = new Set(DAMAGES.map(([, rule]) => rule));
		assert.deepEqual(
			RULES.host.map(({ name }) => name).filter((name) => !tested.has(name)),
			[],
		);
	});

	test("the entry point is free", () => {
		const image = new EditedImage(hostImage());
		image.u64(HEADER_ENTRY_POINT, 0x780);
		assert.deepEqual(verifyImage(image.bytes, "host"), []);
	});
});
