/**
 * Rules that the kernel's own image keeps too: what loaders, Go, glibc, musl, gdb and unwinders rely on.
 *
 * Sources: Linux tools/vdso2c.h and lib/vdso/Makefile.include, v6.12 (one segment at 0, no relocations); parse_vdso.c of its
 * selftests (what a reader needs); gVisor pkg/sentry/loader/vdso.go (validation before mapping); Go runtime/vdso_linux.go
 * (LINUX_2.6 by its hash, DT_VERDEF without a null check).
 */
import * as constants from "./constants.ts";
import type { DynamicEntry } from "./dynamic.ts";
import { hex } from "./elf-error.ts";
import { sysvHash } from "./hash.ts";
import {
	contains,
	entriesWithTag,
	type MappableImage,
	type Rule,
	segmentsOfType,
	spanOf,
	unless,
	valueOfTag,
} from "./mappable-image.ts";
import { VDSO_CLASSES } from "./vdso-class.ts";

const VERSION = "LINUX_2.6";
const PAGE_SIZE = 4096n;

const machine = ({ elf: { bits, header } }: MappableImage): readonly string[] => {
	const expected = VDSO_CLASSES[bits].machine;
	return unless(
		header.machine === expected,
		`ELF${bits} for machine ${header.machine}, expected ELF${bits} for ${expected}`,
	);
};

const sharedObject = ({ elf: { header } }: MappableImage): readonly string[] =>
	unless(header.type === constants.ET_DYN, `e_type ${header.type}, expected ET_DYN (${constants.ET_DYN})`);

const oneLoadSegment = (image: MappableImage): readonly string[] => {
	const count = segmentsOfType(image, constants.PT_LOAD).length;
	return unless(count === 1, `${count} PT_LOAD segments, expected 1`);
};

const loadAtZero = ({ load: { offset, virtualAddress } }: MappableImage): readonly string[] =>
	unless(
		offset === 0n && virtualAddress === 0n,
		`PT_LOAD of offset ${hex(offset)} at address ${hex(virtualAddress)}, expected 0 and 0`,
	);

const loadWithoutBss = ({ load: { fileSize, memorySize } }: MappableImage): readonly string[] =>
	unless(fileSize === memorySize, `PT_LOAD has ${hex(fileSize)} bytes in the file and ${hex(memorySize)} in memory`);

const loadInFile = ({ load: { offset, fileSize }, fileSize: size }: MappableImage): readonly string[] =>
	unless(offset + fileSize <= size, `PT_LOAD ends at ${hex(offset + fileSize)}, the file at ${hex(size)}`);

const loadReadExecute = (image: MappableImage): readonly string[] =>
	segmentsOfType(image, constants.PT_LOAD)
		.filter(({ flags }) => (flags & 7) !== (constants.PF_R | constants.PF_X))
		.map(({ flags }) => `PT_LOAD with flags ${flags}, expected R and X (${constants.PF_R | constants.PF_X})`);

const loadAlignment = ({ load: { alignment } }: MappableImage): readonly string[] =>
	unless(
		alignment >= PAGE_SIZE && (alignment & (alignment - 1n)) === 0n,
		`PT_LOAD aligned to ${alignment}, expected a power of two from ${PAGE_SIZE} on`,
	);

const dynamicSegment = (image: MappableImage): readonly string[] => {
	const segments = segmentsOfType(image, constants.PT_DYNAMIC);
	if (segments.length !== 1) return [`${segments.length} PT_DYNAMIC segments, expected 1`];
	return segments
		.filter(
			({ offset, virtualAddress, fileSize, memorySize }) =>
				offset !== virtualAddress || fileSize !== memorySize || offset + fileSize > image.load.fileSize,
		)
		.map(({ offset, fileSize }) => `PT_DYNAMIC of ${hex(fileSize)} bytes at ${hex(offset)} is not inside PT_LOAD`);
};

const linuxNote = ({ elf: { notes } }: MappableImage): readonly string[] => {
	const note = notes.find(({ name, type }) => name === "Linux" && type === constants.NT_LINUX_VERSION);
	return unless(note?.description.length === 4, 'no note "Linux" of type 0 with a 4-byte LINUX_VERSION_CODE');
};

const soname = ({ elf }: MappableImage): readonly string[] =>
	unless(
		elf.soname === VDSO_CLASSES[elf.bits].soname,
		`soname ${elf.soname ?? "missing"}, expected ${VDSO_CLASSES[elf.bits].soname}`,
	);

const hashTable = ({ elf }: MappableImage): readonly string[] =>
	unless(elf.sysvHash !== undefined || elf.gnuHash !== undefined, "neither DT_HASH nor DT_GNU_HASH");

const symbolTable = (image: MappableImage): readonly string[] =>
	Object.entries({
		DT_STRTAB: constants.DT_STRTAB,
		DT_STRSZ: constants.DT_STRSZ,
		DT_SYMTAB: constants.DT_SYMTAB,
		DT_SYMENT: constants.DT_SYMENT,
	})
		.filter(([, tag]) => valueOfTag(image, tag) === undefined)
		.map(([name]) => `no ${name}`);

/** A loader believes all three or none: Go follows DT_VERDEF as soon as there is DT_VERSYM. */
const versionTables = (image: MappableImage): readonly string[] => {
	const { versionDefinitions, symbols } = image.elf;
	if (valueOfTag(image, constants.DT_VERSYM) === undefined) return ["no DT_VERSYM"];
	const count = valueOfTag(image, constants.DT_VERDEFNUM) ?? 0n;
	if (count === 0n || BigInt(versionDefinitions.length) !== count) {
		return [`DT_VERDEFNUM ${count}, found ${versionDefinitions.length} version definitions`];
	}
	const known = new Set([
		constants.VER_NDX_LOCAL,
		constants.VER_NDX_GLOBAL,
		...versionDefinitions.map(({ index }) => index),
	]);
	return [
		...symbols
			.filter(({ versionIndex }) => !known.has(versionIndex))
			.map(({ name, versionIndex }) => `${name} has version index ${versionIndex}, which nothing defines`),
		...versionDefinitions
			.filter(({ hash, name }) => hash !== sysvHash(name))
			.map(({ hash, name }) => `version ${name} with hash ${hex(hash)}, expected ${hex(sysvHash(name))}`),
	];
};

const linuxVersion = ({ elf: { versionDefinitions } }: MappableImage): readonly string[] => {
	const definition = versionDefinitions.find(({ name }) => name === VERSION);
	const isBase = definition !== undefined && (definition.flags & constants.VER_FLG_BASE) !== 0;
	return unless(definition !== undefined && !isBase, `no definition of version ${VERSION}`);
};

const exportsVersioned = ({ exported }: MappableImage): readonly string[] =>
	exported
		.filter(({ version, isHidden }) => version === undefined || isHidden)
		.map(
			({ name, version }) => `${name} has ${version === undefined ? "no version" : `the hidden version ${version}`}`,
		);

const baseVersion = ({ elf }: MappableImage): readonly string[] => {
	const base = elf.versionDefinitions.filter(({ flags }) => (flags & constants.VER_FLG_BASE) !== 0);
	const [only] = base;
	return unless(
		base.length === 1 && only?.index === constants.VER_NDX_GLOBAL && only.name === elf.soname,
		`base versions: ${base.map(({ index, name }) => `${name} (index ${index})`).join(", ") || "none"}, expected the soname at index 1`,
	);
};

const exportsFunctions = ({ exported, code }: MappableImage): readonly string[] => [
	...unless(exported.length > 0, "no function is exported"),
	...exported
		.filter(({ type }) => type !== constants.STT_FUNC)
		.map(({ name, type }) => `${name} has type ${type}, expected STT_FUNC (${constants.STT_FUNC})`),
	...exported
		.filter((symbol) => symbol.type === constants.STT_FUNC && !contains(code, spanOf(symbol)))
		.map(({ name, value, size }) => `${name} of ${hex(size)} bytes at ${hex(value)} is not inside the code`),
];

const isTextRelocated = ({ value }: DynamicEntry): boolean => (value & BigInt(constants.DF_TEXTREL)) !== 0n;

/** Tables with entries, by the tag of their size; text relocations by themselves. */
const relocations = (image: MappableImage): readonly string[] => {
	const tables = [
		["DT_REL", constants.DT_REL, constants.DT_RELSZ],
		["DT_RELA", constants.DT_RELA, constants.DT_RELASZ],
		["DT_RELR", constants.DT_RELR, constants.DT_RELRSZ],
		["DT_JMPREL", constants.DT_JMPREL, constants.DT_PLTRELSZ],
	] as const;
	return [
		...tables
			.filter(([, tag, size]) => valueOfTag(image, tag) !== undefined && valueOfTag(image, size) !== 0n)
			.map(([name]) => `${name} with entries`),
		...unless(valueOfTag(image, constants.DT_TEXTREL) === undefined, "DT_TEXTREL"),
		...unless(!entriesWithTag(image, constants.DT_FLAGS).some(isTextRelocated), "DF_TEXTREL"),
	];
};

const noThreadStorage = (image: MappableImage): readonly string[] =>
	unless(segmentsOfType(image, constants.PT_TLS).length === 0, "PT_TLS");

const noInterpreter = (image: MappableImage): readonly string[] =>
	unless(segmentsOfType(image, constants.PT_INTERP).length === 0, "PT_INTERP");

const needsNothing = ({ elf }: MappableImage): readonly string[] => elf.needed.map((name) => `DT_NEEDED ${name}`);

const ADDRESS_TAGS: Readonly<Record<string, number>> = {
	DT_PLTGOT: constants.DT_PLTGOT,
	DT_HASH: constants.DT_HASH,
	DT_STRTAB: constants.DT_STRTAB,
	DT_SYMTAB: constants.DT_SYMTAB,
	DT_RELA: constants.DT_RELA,
	DT_INIT: constants.DT_INIT,
	DT_FINI: constants.DT_FINI,
	DT_REL: constants.DT_REL,
	DT_JMPREL: constants.DT_JMPREL,
	DT_INIT_ARRAY: constants.DT_INIT_ARRAY,
	DT_FINI_ARRAY: constants.DT_FINI_ARRAY,
	DT_RELR: constants.DT_RELR,
	DT_GNU_HASH: constants.DT_GNU_HASH,
	DT_VERSYM: constants.DT_VERSYM,
	DT_VERDEF: constants.DT_VERDEF,
	DT_VERNEED: constants.DT_VERNEED,
};

const dynamicAddresses = (image: MappableImage): readonly string[] =>
	Object.entries(ADDRESS_TAGS).flatMap(([name, tag]) =>
		entriesWithTag(image, tag)
			.filter(({ value }) => value >= image.load.memorySize)
			.map(({ value }) => `${name} is ${hex(value)}, the image ends at ${hex(image.load.memorySize)}`),
	);

const frameTable = (image: MappableImage): readonly string[] => {
	const frames = image.frames();
	if (frames === undefined) return ["no PT_GNU_EH_FRAME"];
	const { table } = frames;
	if (table === undefined || table.length === 0) return ["PT_GNU_EH_FRAME without a search table"];
	return table.flatMap(({ start, description }, index) => {
		const previous = table[index - 1];
		return [
			...unless(
				previous === undefined || previous.start < start,
				`entry ${index} is for ${hex(start)}, the one before it for ${hex(previous?.start ?? 0n)}`,
			),
			...unless(
				description.start === start,
				`entry ${index} is for ${hex(start)}, its FDE for ${hex(description.start)}`,
			),
		];
	});
};

const framesInCode = ({ code, frames }: MappableImage): readonly string[] =>
	(frames()?.descriptions ?? [])
		.filter(({ start, length }) => length === 0n || !contains(code, { start, end: start + length }))
		.map(({ start, length }) => `an FDE for ${hex(length)} bytes at ${hex(start)} is not for code`);

/** Ours may claim the mappings behind it. */
export const WITHOUT_BSS = "load-without-bss";

export const HOST_RULES: readonly Rule[] = [
	{ name: "machine", requires: `The image is ${VDSO_CLASSES[64].named} or ${VDSO_CLASSES[32].named}.`, check: machine },
	{ name: "shared-object", requires: "The type is ET_DYN.", check: sharedObject },
	{ name: "one-load-segment", requires: "There is exactly one PT_LOAD.", check: oneLoadSegment },
	{ name: "load-at-zero", requires: "PT_LOAD has offset 0 and address 0.", check: loadAtZero },
	{ name: WITHOUT_BSS, requires: "PT_LOAD has the same size in the file and in memory.", check: loadWithoutBss },
	{ name: "load-in-file", requires: "PT_LOAD is inside the file.", check: loadInFile },
	{ name: "load-read-execute", requires: "PT_LOAD is readable and executable, not writable.", check: loadReadExecute },
	{ name: "load-alignment", requires: "PT_LOAD is aligned to pages.", check: loadAlignment },
	{ name: "dynamic-segment", requires: "There is one PT_DYNAMIC, inside PT_LOAD.", check: dynamicSegment },
	{ name: "linux-note", requires: 'A note "Linux" has the version code of the kernel.', check: linuxNote },
	{
		name: "soname",
		requires: `The soname is ${VDSO_CLASSES[64].soname}, or ${VDSO_CLASSES[32].soname} in ELF32.`,
		check: soname,
	},
	{ name: "hash-table", requires: "There is DT_HASH or DT_GNU_HASH.", check: hashTable },
	{ name: "symbol-table", requires: "There are DT_STRTAB, DT_STRSZ, DT_SYMTAB and DT_SYMENT.", check: symbolTable },
	{
		name: "version-tables",
		requires: "DT_VERSYM, DT_VERDEF and DT_VERDEFNUM are there and agree; hashes are those of the names.",
		check: versionTables,
	},
	{ name: "linux-version", requires: `Version ${VERSION} is defined.`, check: linuxVersion },
	{
		name: "exports-versioned",
		requires: "Every exported symbol has a version, and that is its default.",
		check: exportsVersioned,
	},
	{ name: "base-version", requires: "The base version is the soname, at index 1.", check: baseVersion },
	{
		name: "exports-functions",
		requires: "Every exported symbol is a function inside the code.",
		check: exportsFunctions,
	},
	{ name: "no-relocations", requires: "No relocations.", check: relocations },
	{ name: "no-thread-storage", requires: "No PT_TLS.", check: noThreadStorage },
	{ name: "no-interpreter", requires: "No PT_INTERP.", check: noInterpreter },
	{ name: "needs-nothing", requires: "No DT_NEEDED.", check: needsNothing },
	{ name: "dynamic-addresses", requires: "Every address in PT_DYNAMIC is inside the image.", check: dynamicAddresses },
	{
		name: "frame-table",
		requires: "PT_GNU_EH_FRAME has a search table in ascending order that agrees with its FDEs.",
		check: frameTable,
	},
	{ name: "frames-in-code", requires: "Every FDE is for bytes of code.", check: framesInCode },
];
