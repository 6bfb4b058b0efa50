/** Files that claim what they do not have, one per claim: an error that says so, in time and memory that fit the file. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { setU32 } from "../../src/bytes.ts";
import { readCallFrames } from "../../src/elf/call-frame.ts";
import * as constants from "../../src/elf/constants.ts";
import { ElfError } from "../../src/elf/elf-error.ts";
import { readElf } from "../../src/elf/reader.ts";
import { lookUpBySysvHash } from "../../src/elf/symbol-lookup.ts";
import { hostImage } from "../helpers/host-image.ts";
import { EditedImage } from "./edit.ts";
import { image32 } from "./samples.ts";

const { ELF64_PHDR_SIZE, ELF64_SYM_SIZE, PT_LOAD, PT_NOTE, PT_GNU_EH_FRAME } = constants;

/** The host's image with a megabyte behind it that belongs to PT_LOAD. */
const withRoom = (room = 1 << 20): { readonly image: EditedImage; readonly start: number } => {
	const image = new EditedImage(hostImage());
	const start = image.bytes.length;
	const grown = new Uint8Array(start + room);
	grown.set(image.bytes);
	image.bytes = grown;
	image.u64(image.segment(PT_LOAD) + 32, grown.length);
	image.u64(image.segment(PT_LOAD) + 40, grown.length);
	return { image, start };
};

const point = (image: EditedImage, tag: number, value: number): void => image.u64(image.dynamic(tag) + 8, value);

const readAll = (bytes: Uint8Array): void => {
	readCallFrames(readElf(bytes));
};

const refused: readonly (readonly [string, RegExp, () => Uint8Array])[] = [
	["an empty file", /0 bytes, expected an ELF header/, () => new Uint8Array(0)],
	["a script", /First word 0x.*, expected 0x464c457f/, () => new TextEncoder().encode("#!/bin/sh\necho hello\n")],
	[
		"big endian",
		/big endian, expected little endian/,
		() => {
			const image = new EditedImage(hostImage());
			image.u8(constants.EI_DATA, constants.ELFDATA2MSB);
			return image.bytes;
		},
	],
	[
		"class 3",
		/Class 3, expected 1 \(ELF32\) or 2 \(ELF64\)/,
		() => {
			const image = new EditedImage(hostImage());
			image.u8(constants.EI_CLASS, 3);
			return image.bytes;
		},
	],
	[
		"a header cut short",
		/ELF header: ends at 0x40, expected inside the file of 0x3f bytes/,
		() => hostImage().slice(0, 63),
	],
	["program headers beyond the file", /Program headers: ends at/, () => hostImage().slice(0, 100)],
	[
		"program headers of another size",
		/Program headers of 32 bytes, expected 56/,
		() => {
			const image = new EditedImage(hostImage());
			image.u16(54, 32);
			return image.bytes;
		},
	],
	[
		"four billion symbols",
		/DT_HASH: .* entries of 4 bytes, expected at most/,
		() => {
			const image = new EditedImage(hostImage());
			image.u32(image.table(constants.DT_HASH) + 4, 0xffffffff);
			return image.bytes;
		},
	],
	[
		"four billion GNU buckets",
		/DT_GNU_HASH: .* entries/,
		() => {
			const image = new EditedImage(hostImage());
			image.u32(image.table(constants.DT_GNU_HASH), 0xffffffff);
			return image.bytes;
		},
	],
	[
		"a GNU chain without an end",
		/a chain without an end/,
		() => {
			const { image, start } = withRoom();
			image.u64(image.dynamic(constants.DT_HASH), 0x6ffff000);
			point(image, constants.DT_GNU_HASH, start);
			for (const [index, value] of [1, 1, 1, 0, 0, 0, 1].entries()) image.u32(start + 4 * index, value);
			return image.bytes;
		},
	],
	[
		"a name without an end",
		/no closing NUL/,
		() => {
			const image = new EditedImage(hostImage());
			const { value } = image.elf.dynamic.find(({ tag }) => tag === constants.DT_STRSZ) ?? { value: 0n };
			point(image, constants.DT_STRSZ, Number(value) - 1);
			image.bytes.fill(0x41, image.table(constants.DT_STRTAB) + 1, image.table(constants.DT_STRTAB) + Number(value));
			return image.bytes;
		},
	],
	[
		"20,000 names of half a megabyte that overlap",
		/names overlap/,
		() => {
			const { image, start } = withRoom(1 << 20);
			const count = 20_000;
			const strings = start + count * ELF64_SYM_SIZE + 4 * (3 + count);
			image.bytes.fill(0x41, strings, image.bytes.length - 1);
			for (let index = 1; index < count; index++) image.u32(start + index * ELF64_SYM_SIZE, index);
			const hash = start + count * ELF64_SYM_SIZE;
			image.u32(hash, 1);
			image.u32(hash + 4, count);
			image.u64(image.dynamic(constants.DT_VERSYM), 0x6ffff000);
			for (const tag of [constants.DT_VERDEF, constants.DT_SONAME]) image.u64(image.dynamic(tag), 0x6ffff000);
			point(image, constants.DT_SYMTAB, start);
			point(image, constants.DT_HASH, hash);
			point(image, constants.DT_STRTAB, strings);
			point(image, constants.DT_STRSZ, image.bytes.length - strings);
			return image.bytes;
		},
	],
	[
		"version definitions whose names cross",
		/more records than their segment has room for/,
		() => {
			const { image, start } = withRoom();
			const count = 30_000;
			point(image, constants.DT_VERDEF, start);
			point(image, constants.DT_VERDEFNUM, count);
			for (let index = 0; index < count; index++) {
				const record = start + constants.VERDEF_SIZE * index;
				image.u16(record + 6, 0xffff);
				// Behind the next record's first 12 bytes: its own two links, read as a name and the link to the next name.
				image.u32(record + 12, constants.VERDEF_SIZE + 12);
				image.u32(record + 16, constants.VERDEF_SIZE);
			}
			return image.bytes;
		},
	],
	[
		"10,000 PT_NOTE of the same megabyte",
		/PT_NOTE segments overlap/,
		() => {
			const { image, start } = withRoom(4 << 20);
			const count = 10_000;
			image.u64(32, start);
			image.u16(56, count);
			for (let index = 0; index < count; index++) {
				const record = start + index * ELF64_PHDR_SIZE;
				image.u32(record, PT_NOTE);
				image.u64(record + 8, start + (1 << 20));
				image.u64(record + 32, 1 << 20);
			}
			return image.bytes;
		},
	],
	[
		"a note larger than its segment",
		/A note ends at .*, expected before its segment's end/,
		() => {
			const image = new EditedImage(hostImage());
			image.u32(image.noteName("Linux") - 12, 0xffffffff);
			return image.bytes;
		},
	],
	[
		"an FDE that names itself as its CIE",
		/expected a CIE/,
		() => {
			const image = new EditedImage(hostImage());
			image.u32(image.sectionOffset(".eh_frame") + 0x18 + 4, 4);
			return image.bytes;
		},
	],
	[
		"a search table of four billion entries",
		/\.eh_frame_hdr: ends at/,
		() => {
			const image = new EditedImage(hostImage());
			image.u32(image.sectionOffset(".eh_frame_hdr") + 8, 0xffffffff);
			return image.bytes;
		},
	],
	[
		"rows with 256 registers each",
		/Call frames are larger when read than their file allows/,
		() => {
			const { image, start } = withRoom(1 << 19);
			// A CIE with a rule for every register, and an FDE that makes a new row with every third byte.
			const cie = [0, 0, 0, 0, 1, 0, 1, 0x78, 16, constants.DW_CFA_def_cfa, 7, 8];
			for (let register = 0; register < 256; register++) {
				cie.push(constants.DW_CFA_offset_extended, (register & 0x7f) | 0x80, register >> 7, 1);
			}
			image.u32(start, cie.length);
			image.bytes.set(cie, start + 4);
			const fde = start + 4 + cie.length;
			image.u32(fde, image.bytes.length - fde - 4);
			image.u32(fde + 4, fde + 4 - start);
			for (let byte = fde + 24; byte + 3 <= image.bytes.length; byte += 3) {
				image.bytes.set([constants.DW_CFA_advance_loc | 1, constants.DW_CFA_offset | 3, 1], byte);
			}
			image.bytes.fill(0, image.bytes.length - 3);
			// Without a search table: the frames are read in order.
			const header = Number(image.elf.view.u64(image.segment(PT_GNU_EH_FRAME) + 8));
			image.bytes.set([1, constants.DW_EH_PE_udata4, constants.DW_EH_PE_omit, constants.DW_EH_PE_omit], header);
			image.u32(header + 4, start);
			return image.bytes;
		},
	],
];

describe("what a file claims is compared with the bytes that are there", () => {
	for (const [what, message, make] of refused) {
		test(what, () => {
			const bytes = make();
			const start = performance.now();
			assert.throws(
				() => readAll(bytes),
				(error: unknown) => {
					assert.ok(error instanceof ElfError);
					assert.equal(error.code, "ERR_VSYSCALL_ELF");
					assert.equal(error.name, "ElfError");
					assert.ok(Number.isFinite(error.offset));
					assert.match(error.message, message);
					return true;
				},
			);
			assert.ok(performance.now() - start < 1000);
		});
	}

	test("a chain of DT_HASH that runs in a circle ends", () => {
		const bytes = image32();
		const { chainCount = 0, chains = 0 } = readElf(bytes).sysvHash ?? {};
		assert.ok(chainCount > 0);
		for (let index = 0; index < chainCount; index++) setU32(bytes, chains + 4 * index, index);
		assert.equal(lookUpBySysvHash(readElf(bytes), "not there"), undefined);
	});

	test("every prefix of an image gives a value or an ElfError, of both classes", () => {
		for (const bytes of [hostImage(), image32()]) {
			for (let length = 0; length < bytes.length; length += length < 0x200 ? 1 : 7) {
				try {
					readAll(bytes.subarray(0, length));
				} catch (error) {
					assert.ok(error instanceof ElfError, String(error));
				}
			}
		}
	});

	test("any bytes behind an ELF identity give a value or an ElfError", () => {
		const identity = fc.constantFrom(constants.ELFCLASS32, constants.ELFCLASS64);
		fc.assert(
			fc.property(identity, fc.uint8Array({ maxLength: 512 }), (elfClass, rest) => {
				try {
					readAll(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, elfClass, 1, 1, 0, ...rest));
				} catch (error) {
					assert.ok(error instanceof ElfError, String(error));
				}
			}),
		);
	});
});

describe("a 32-bit image", () => {
	test("is read by the same code", () => {
		const elf = readElf(image32());
		assert.equal(elf.bits, 32);
		assert.equal(elf.soname, "linux-gate.so.1");
		assert.deepEqual(
			elf.versionDefinitions.map(({ name }) => name),
			["linux-gate.so.1", "LINUX_2.6", "LINUX_2.5"],
		);
		const [frame] = readCallFrames(elf)?.descriptions ?? [];
		assert.deepEqual(
			frame?.rows.map(({ offset, cfa }) => [offset, cfa]),
			[
				[0, { kind: "register", register: 4, offset: 4 }],
				[1, { kind: "register", register: 4, offset: 8 }],
				[9, { kind: "register", register: 4, offset: 4 }],
			],
		);
	});
});
