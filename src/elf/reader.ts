/**
 * Reads ELF files of both classes, little endian: headers, the dynamic section with its symbols, versions and hash tables, and
 * notes. `readCallFrames` of call-frame.ts reads .eh_frame of the result; `lookUp` of symbol-lookup.ts finds symbols by name.
 *
 * It is total: any bytes give a value or an ElfError. What a file claims is compared with the bytes that are there before
 * anything is allocated or counted through, so time and memory are linear in the size of the file. Everything that a loader
 * needs is found by program headers and PT_DYNAMIC; the section table may be missing (see `SectionTable`). Facts that make an
 * image unfit to map, but can be read, are not errors here: verify.ts names them.
 *
 *     const elf = readElf(bytes);
 *     for (const { name, version, value } of elf.symbols) console.log(name, version, value);
 *
 * Source: System V gABI chapters 4 and 5; LSB Core 5 for versions.
 */
import { AddressMap } from "./address-map.ts";
import { DT_NEEDED, DT_SONAME } from "./constants.ts";
import { type DynamicEntry, dynamicStrings, dynamicValue, readDynamic } from "./dynamic.ts";
import { type GnuHashTable, readGnuHash, readSysvHash, type SysvHashTable } from "./hash-tables.ts";
import {
	type ElfHeader,
	openElf,
	type ProgramHeader,
	readHeader,
	readProgramHeaders,
	readSections,
	type SectionHeader,
	type SectionTable,
} from "./headers.ts";
import { type ElfNote, readNotes } from "./notes.ts";
import type { ElfClass } from "./class-layout.ts";
import type { StringTable } from "./string-table.ts";
import { type ElfSymbol, readSymbols } from "./symbols.ts";
import { readVersionDefinitions, readVersionNeeds, type VersionDefinition, type VersionNeed } from "./versions.ts";
import type { ElfView } from "./view.ts";

export interface ElfFile {
	readonly bits: ElfClass;
	readonly header: ElfHeader;
	readonly programHeaders: readonly ProgramHeader[];
	readonly sectionTable: SectionTable;
	/** Empty unless `sectionTable` is "present". */
	readonly sections: readonly SectionHeader[];
	/** Without the closing DT_NULL. */
	readonly dynamic: readonly DynamicEntry[];
	readonly soname: string | undefined;
	/** DT_NEEDED, in order. */
	readonly needed: readonly string[];
	/** The dynamic symbols, the null symbol first. */
	readonly symbols: readonly ElfSymbol[];
	readonly versionDefinitions: readonly VersionDefinition[];
	readonly versionNeeds: readonly VersionNeed[];
	readonly notes: readonly ElfNote[];
	readonly sysvHash: SysvHashTable | undefined;
	readonly gnuHash: GnuHashTable | undefined;
	/** The bytes, which are not copied and must not change while this value is in use. */
	readonly view: ElfView;
	readonly addresses: AddressMap;
}

type DynamicPart = Pick<ElfFile, "soname" | "needed" | "symbols" | "versionDefinitions" | "versionNeeds">;

const NO_STRINGS: DynamicPart = {
	soname: undefined,
	needed: [],
	symbols: [],
	versionDefinitions: [],
	versionNeeds: [],
};

type Located = Pick<ElfFile, "view" | "addresses" | "dynamic" | "sections" | "sysvHash" | "gnuHash">;

const readNamed = (located: Located, strings: StringTable): DynamicPart => {
	const { dynamic } = located;
	const soname = dynamicValue(dynamic, DT_SONAME);
	const needed = dynamic.filter(({ tag }) => tag === DT_NEEDED);
	const versionDefinitions = readVersionDefinitions({ ...located, strings });
	const versionNeeds = readVersionNeeds({ ...located, strings });
	return {
		soname: soname === undefined ? undefined : strings.at(Number(soname), "DT_SONAME"),
		needed: needed.map(({ value }) => strings.at(Number(value), "DT_NEEDED")),
		symbols: readSymbols({ ...located, strings, versionDefinitions, versionNeeds }),
		versionDefinitions,
		versionNeeds,
	};
};

/**
 * Reads an ELF file.
 *
 * @throws {ElfError} ERR_VSYSCALL_ELF when `bytes` are not a little-endian ELF file, or claim what is not in them.
 */
export const readElf = (bytes: Uint8Array): ElfFile => {
	const view = openElf(bytes);
	const programHeaders = readProgramHeaders(view);
	const addresses = new AddressMap(view, programHeaders);
	const dynamic = readDynamic(view, programHeaders);
	const sysvHash = readSysvHash(view, addresses, dynamic);
	const gnuHash = readGnuHash(view, addresses, dynamic);
	const { sectionTable, sections } = readSections(view);
	const located = { view, addresses, dynamic, sections, sysvHash, gnuHash };
	const strings = dynamicStrings(view, addresses, dynamic);
	return {
		bits: view.layout.bits,
		header: readHeader(view),
		programHeaders,
		sectionTable,
		notes: readNotes(view, programHeaders),
		...located,
		...(strings === undefined ? NO_STRINGS : readNamed(located, strings)),
	};
};
