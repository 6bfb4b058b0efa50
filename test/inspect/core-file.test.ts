/** Core files of any bytes: a value or an ElfError, and nothing is read that is not there. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { setU16, setU32, setU64 } from "../../src/bytes.ts";
import { layoutOf } from "../../src/elf/class-layout.ts";
import * as elf from "../../src/elf/constants.ts";
import { ElfError } from "../../src/elf/elf-error.ts";
import { programHeaderRecord } from "../../src/elf/records.ts";
import { readCoreFile } from "../../src/inspect/core-file.ts";
import { describeLayer } from "../../src/inspect/layer.ts";
import { sourceOf } from "../../src/scan/source.ts";
import { hostImage } from "../helpers/host-image.ts";

const IMAGE = 0x7f00_0000_0000n;
const word = (value: bigint): readonly number[] => [...new Uint8Array(BigUint64Array.of(value).buffer)];

const note = (type: number, description: readonly number[]): readonly number[] => [
	...new Uint8Array(Uint32Array.of(5, description.length, type).buffer),
	...new TextEncoder().encode("CORE"),
	0,
	0,
	0,
	0,
	...description,
	...Array.from({ length: -description.length & 3 }, () => 0),
];

/** A core file of one segment, the host's image. */
const core = (): Uint8Array => {
	const layout = layoutOf(64);
	const image = hostImage();
	const path = new TextEncoder().encode("/lib/image\0");
	const notes = [
		...note(elf.NT_AUXV, [33n, IMAGE, 0n, 0n].flatMap(word)),
		...note(elf.NT_FILE, [...[1n, 4096n, IMAGE, IMAGE + BigInt(image.length), 0n].flatMap(word), ...path]),
	];
	const notesOffset = layout.header.recordSize + 2 * layout.programHeader.recordSize;
	const imageOffset = (notesOffset + notes.length + 4095) & ~4095;
	const bytes = new Uint8Array(imageOffset + image.length);
	setU32(bytes, 0, elf.ELFMAG);
	bytes.set([elf.ELFCLASS64, elf.ELFDATA2LSB, elf.EV_CURRENT], elf.EI_CLASS);
	setU16(bytes, 16, elf.ET_CORE);
	setU16(bytes, 18, elf.EM_X86_64);
	setU32(bytes, 20, elf.EV_CURRENT);
	setU64(bytes, layout.header.phoff, BigInt(layout.header.recordSize));
	setU16(bytes, layout.header.phentsize, layout.programHeader.recordSize);
	setU16(bytes, layout.header.phnum, 2);
	const record = (fields: { type: number; flags: number; offset: number; size: number }): Uint8Array =>
		programHeaderRecord(layout, { ...fields, alignment: 1 });
	bytes.set(record({ type: elf.PT_NOTE, flags: 0, offset: notesOffset, size: notes.length }), 64);
	const load = record({ type: elf.PT_LOAD, flags: elf.PF_R | elf.PF_X, offset: imageOffset, size: image.length });
	setU64(load, layout.programHeader.vaddr, IMAGE);
	bytes.set(load, 64 + layout.programHeader.recordSize);
	bytes.set(notes, notesOffset);
	bytes.set(image, imageOffset);
	return bytes;
};

suite("a core file", () => {
	test("has the mappings, their names, the auxiliary vector and the memory", () => {
		const { mappings, auxv, memory } = readCoreFile(sourceOf(core()));
		assert.deepEqual(
			mappings.map(({ start, permissions, name }) => [start, permissions, name]),
			[[IMAGE, "r-x", "/lib/image"]],
		);
		assert.deepEqual(auxv?.entries, [{ type: 33, name: "AT_SYSINFO_EHDR", value: IMAGE }]);
		assert.deepEqual(memory.read(IMAGE + 1n, 3), Uint8Array.of(0x45, 0x4c, 0x46));
		assert.equal(memory.read(IMAGE - 1n, 2), undefined);
		assert.equal(memory.read(IMAGE + BigInt(hostImage().length) - 1n, 2), undefined);
	});

	test("damaged anywhere gives a layer or an ElfError", () => {
		const whole = core();
		const places = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 8 });
		const headers = fc.array(fc.tuple(fc.nat(600), fc.integer({ min: 0, max: 255 })), { maxLength: 8 });
		fc.assert(
			fc.property(places, headers, fc.nat(whole.length), (far, near, length) => {
				const bytes = whole.slice(0, length < 600 ? length : whole.length);
				for (const [place, value] of [...far, ...near]) if (place < bytes.length) bytes[place] = value;
				try {
					describeLayer(readCoreFile(sourceOf(bytes)));
				} catch (error) {
					if (!(error instanceof ElfError)) throw error;
				}
			}),
			{ numRuns: 500 },
		);
	});
});
