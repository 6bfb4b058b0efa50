/**
 * Rules for images of ours beyond what the kernel's keeps: both hash tables, both sets of names, nothing writable, section
 * headers that are mapped, a landing pad and frame information for every function.
 */
import * as constants from "./constants.ts";
import { hex } from "./elf-error.ts";
import {
	contains,
	isVersionSymbol,
	type MappableImage,
	type Rule,
	segmentsOfType,
	spanOf,
	unless,
} from "./mappable-image.ts";
import { lookUpByGnuHash, lookUpBySysvHash } from "./symbol-lookup.ts";
import { type ElfSymbol, isExported } from "./symbols.ts";
import { VDSO_CLASSES } from "./vdso-class.ts";

const PREFIX = "__vdso_";
/** Names that no image has; the empty one and prefixes of real ones must not be found either. */
const ABSENT = [
	"",
	"clock",
	"clock_gettim",
	"clock_gettime2",
	"__vdso_",
	"__vdso_clock_gettime64",
	"__kernel_vsyscall",
];
const LINUX_VERSION = "LINUX_2.6";

const bothHashTables = ({ elf: { sysvHash, gnuHash } }: MappableImage): readonly string[] => [
	...unless(sysvHash !== undefined, "no DT_HASH"),
	...unless(gnuHash !== undefined, "no DT_GNU_HASH"),
];

const hashLookUp = ({ elf }: MappableImage): readonly string[] => {
	const tables = [
		["DT_HASH", elf.sysvHash, lookUpBySysvHash],
		["DT_GNU_HASH", elf.gnuHash, lookUpByGnuHash],
	] as const;
	const names = new Set(elf.symbols.map(({ name }) => name));
	const defined = elf.symbols.filter(isExported);
	return tables
		.filter(([, table]) => table !== undefined)
		.flatMap(([table, , find]) => [
			...defined
				.filter((symbol) => find(elf, symbol.name, symbol.version) !== symbol || find(elf, symbol.name) !== symbol)
				.map(({ name }) => `${table} does not find ${name}`),
			...ABSENT.filter((name) => !names.has(name) && find(elf, name) !== undefined).map(
				(name) => `${table} finds "${name}", which is not there`,
			),
			...defined
				.filter(({ name, version }) => version === LINUX_VERSION && find(elf, name, "LINUX_2.5") !== undefined)
				.map(({ name }) => `${table} finds ${name} with version LINUX_2.5`),
		]);
};

const aliasDetails = (twin: ElfSymbol, alias: ElfSymbol): readonly string[] => [
	...unless(alias.binding === constants.STB_WEAK, `${alias.name} has binding ${alias.binding}, expected STB_WEAK`),
	...unless(
		alias.value === twin.value && alias.size === twin.size,
		`${alias.name} is ${hex(alias.size)} bytes at ${hex(alias.value)}, ${twin.name} ${hex(twin.size)} at ${hex(twin.value)}`,
	),
];

const aliases = ({ elf: { bits }, exported }: MappableImage): readonly string[] => {
	const { functions, hasAliases } = VDSO_CLASSES[bits];
	const byName = new Map(exported.map((symbol) => [symbol.name, symbol]));
	const plain = exported.filter(({ name }) => !name.startsWith("__"));
	return [
		...functions
			.flatMap((name) => (hasAliases ? [PREFIX + name, name] : [PREFIX + name]))
			.filter((name) => !byName.has(name))
			.map((name) => `no ${name}`),
		...exported
			.filter(({ name, binding }) => name.startsWith(PREFIX) && binding !== constants.STB_GLOBAL)
			.map(({ name, binding }) => `${name} has binding ${binding}, expected STB_GLOBAL`),
		...plain.flatMap((alias) => {
			const twin = byName.get(PREFIX + alias.name);
			// A plain name of `functions` without its twin is reported above.
			if (twin === undefined)
				return unless(functions.includes(alias.name), `${alias.name} without ${PREFIX}${alias.name}`);
			return aliasDetails(twin, alias);
		}),
	];
};

const sectionHeaders = ({ elf: { sectionTable, sections } }: MappableImage): readonly string[] => {
	if (sectionTable !== "present") return [`section headers are ${sectionTable}`];
	return sections.flatMap(({ name }, index) => unless(name !== undefined, `section ${index} has no readable name`));
};

const sectionsMapped = ({ elf: { sections }, load }: MappableImage): readonly string[] => {
	const alloc = BigInt(constants.SHF_ALLOC);
	return sections
		.filter(
			({ type, flags, address, offset, size }) =>
				type !== constants.SHT_NULL &&
				(offset + size > load.fileSize || ((flags & alloc) !== 0n && address !== offset)),
		)
		.map(({ name, address, offset, size }) => {
			return `section ${name ?? ""} of ${hex(size)} bytes at offset ${hex(offset)}, address ${hex(address)}, is not mapped as it stands`;
		});
};

const nothingWritable = ({ elf: { programHeaders, sections } }: MappableImage): readonly string[] => [
	...programHeaders
		// The flags of PT_GNU_STACK are about the stack, not about bytes of the image.
		.filter(({ type, flags }) => type !== constants.PT_GNU_STACK && (flags & constants.PF_W) !== 0)
		.map(({ type }) => `a writable segment of type ${hex(type)}`),
	...sections
		.filter(({ flags }) => (flags & BigInt(constants.SHF_WRITE)) !== 0n)
		.map(({ name }) => `writable section ${name ?? ""}`),
];

const noBss = ({ elf: { sections } }: MappableImage): readonly string[] =>
	sections.filter(({ type }) => type === constants.SHT_NOBITS).map(({ name }) => `section ${name ?? ""} is SHT_NOBITS`);

const stackNotExecutable = (image: MappableImage): readonly string[] => {
	const segments = segmentsOfType(image, constants.PT_GNU_STACK);
	return [
		...unless(segments.length === 1, `${segments.length} PT_GNU_STACK segments, expected 1`),
		...segments
			.filter(({ flags }) => (flags & constants.PF_X) !== 0)
			.map(({ flags }) => `PT_GNU_STACK with flags ${flags}, expected without PF_X`),
	];
};

const buildId = ({ elf: { notes } }: MappableImage): readonly string[] => {
	const note = notes.find(({ name, type }) => name === "GNU" && type === constants.NT_GNU_BUILD_ID);
	return unless((note?.description.length ?? 0) > 0, "no GNU build-id note");
};

/** PT_LOAD is at offset 0 and address 0: an address is an offset. */
const hasBytes = ({ elf: { view }, fileSize }: MappableImage, address: bigint, bytes: readonly number[]): boolean =>
	address < fileSize && bytes.every((byte, index) => view.bytes[Number(address) + index] === byte);

const landingPads = (image: MappableImage): readonly string[] => {
	const { bits } = image.elf;
	const { landingPad, exactBytes, entry } = VDSO_CLASSES[bits];
	return image.exported
		.filter(({ name }) => name !== entry && !exactBytes.has(name))
		.filter(({ value }) => !hasBytes(image, value, landingPad))
		.map(({ name, value }) => `${name} at ${hex(value)} does not begin with endbr${bits}`);
};

const entryPoint = ({ elf: { bits, header }, exported }: MappableImage): readonly string[] => {
	const { entry } = VDSO_CLASSES[bits];
	const expected = entry === undefined ? 0n : exported.find(({ name }) => name === entry)?.value;
	if (expected === undefined) return [`no ${entry ?? ""}`];
	return unless(header.entry === expected, `e_entry ${hex(header.entry)}, expected ${hex(expected)}`);
};

/** An unwinder asks for the frame of the byte in front of a return address. */
const signalReturns = (image: MappableImage): readonly string[] =>
	[...VDSO_CLASSES[image.elf.bits].exactBytes].flatMap(([name, bytes]) => {
		const symbol = image.exported.find((candidate) => candidate.name === name);
		if (symbol === undefined) return [`no ${name}`];
		const span = { start: symbol.value - 1n, end: symbol.value + symbol.size };
		const frames = (image.frames()?.descriptions ?? []).filter(({ isSignalFrame }) => isSignalFrame);
		return [
			...unless(hasBytes(image, symbol.value, bytes), `${name} at ${hex(symbol.value)} has other bytes`),
			...unless(
				contains(
					frames.map(({ start, length }) => ({ start, end: start + length })),
					span,
				),
				`no frame of a signal covers ${name} and the byte in front of it`,
			),
		];
	});

const framesCoverExports = ({ exported, frames }: MappableImage): readonly string[] => {
	const spans = (frames()?.descriptions ?? []).map(({ start, length }) => ({ start, end: start + length }));
	return exported
		.filter((symbol) => !contains(spans, spanOf(symbol)))
		.map(({ name, value, size }) => `no FDE covers ${name}, ${hex(size)} bytes at ${hex(value)}`);
};

const noOverlap = ({ exported }: MappableImage): readonly string[] => {
	const sorted = exported.toSorted((a, b) => Number(a.value - b.value) || Number(b.size - a.size));
	return sorted.flatMap((symbol, index) => {
		const previous = sorted[index - 1];
		if (previous === undefined || symbol.value >= previous.value + previous.size) return [];
		const isSame = symbol.value === previous.value && symbol.size === previous.size;
		return unless(isSame, `${symbol.name} at ${hex(symbol.value)} overlaps ${previous.name} at ${hex(previous.value)}`);
	});
};

const versionSymbols = ({ elf: { symbols, versionDefinitions } }: MappableImage): readonly string[] => {
	const named = new Set(
		symbols.filter((symbol) => isExported(symbol) && isVersionSymbol(symbol)).map(({ name }) => name),
	);
	return versionDefinitions
		.filter(({ name, flags }) => (flags & constants.VER_FLG_BASE) === 0 && !named.has(name))
		.map(({ name }) => `no absolute symbol ${name}`);
};

const PAGE_SIZE = 4096n;

const loadOrPagesMore = ({ load: { fileSize, memorySize } }: MappableImage): readonly string[] =>
	unless(
		fileSize === memorySize || (memorySize % PAGE_SIZE === 0n && memorySize - fileSize >= PAGE_SIZE),
		`PT_LOAD has ${hex(fileSize)} bytes in the file and ${hex(memorySize)} in memory`,
	);

export const OWN_RULES: readonly Rule[] = [
	{
		name: "load-or-pages-more",
		requires: "PT_LOAD has the same size in the file and in memory, or claims whole pages behind it: other mappings.",
		check: loadOrPagesMore,
	},
	{ name: "both-hash-tables", requires: "There are DT_HASH and DT_GNU_HASH.", check: bothHashTables },
	{
		name: "hash-look-up",
		requires: "Each hash table finds every exported symbol, with and without its version, and no other name.",
		check: hashLookUp,
	},
	{
		name: "aliases",
		requires: `Every ${PREFIX}X is GLOBAL; a plain X is WEAK and the same function. ELF64: ${VDSO_CLASSES[64].functions.join(", ")} have both. ELF32: ${VDSO_CLASSES[32].functions.join(", ")} have the first.`,
		check: aliases,
	},
	{ name: "version-symbols", requires: "Every version has its absolute symbol.", check: versionSymbols },
	{ name: "section-headers", requires: "Section headers are in the file and have names.", check: sectionHeaders },
	{ name: "sections-mapped", requires: "Every section is inside PT_LOAD, at its own offset.", check: sectionsMapped },
	{ name: "nothing-writable", requires: "No segment and no section is writable.", check: nothingWritable },
	{ name: "no-bss", requires: "No section is SHT_NOBITS.", check: noBss },
	{ name: "stack-not-executable", requires: "PT_GNU_STACK is there, not executable.", check: stackNotExecutable },
	{ name: "build-id", requires: "There is a GNU build-id note.", check: buildId },
	{
		name: "landing-pads",
		requires: "Every exported function begins with endbr64 or endbr32, but for those of the kernel.",
		check: landingPads,
	},
	{ name: "entry-point", requires: "e_entry is 0; in ELF32 it is __kernel_vsyscall.", check: entryPoint },
	{
		name: "signal-returns",
		requires: "ELF32: the two sigreturn functions have the kernel's bytes, and frames of a signal from a byte before.",
		check: signalReturns,
	},
	{
		name: "frames-cover-exports",
		requires: "Every exported function is wholly inside one FDE.",
		check: framesCoverExports,
	},
	{ name: "no-overlap", requires: "Exported functions are the same or apart.", check: noOverlap },
];
