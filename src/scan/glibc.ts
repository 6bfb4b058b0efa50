/**
 * C libraries that call the page, by their version: a weaker word than a call that was seen.
 *
 * A static program of glibc before 2.14 calls the page for gettimeofday and time (its vDSO was for dynamic ones alone), and libc.so.6
 * before 2.15 for what it did not take from the vDSO, or when there is none. libc.so.6 defines the versions of its symbols: the
 * highest is its own. A static program tells its version where the library's banner was linked into it.
 */
import * as elf from "../elf/constants.ts";
import { ElfError } from "../elf/elf-error.ts";
import { readElf } from "../elf/reader.ts";
import { latin1 } from "../elf/string-table.ts";
import type { Program } from "./program.ts";
import { bytesAt } from "./source.ts";

const STATIC_SINCE = 14;
const DYNAMIC_SINCE = 15;
const SONAME = "libc.so.6";
/** libc.so.6 has two megabytes. */
const MOST_BYTES = 1 << 26;
/** The banner of csu/version.c: "GNU C Library (Debian EGLIBC 2.13-38+deb7u1) stable release version 2.13, by Roland McGrath et al." */
export const BANNER = "GNU C Library";
const BANNER_LENGTH = 160;
const BANNER_VERSION = /release version 2\.(\d+)/;

const hasSection = ({ sections }: Program, type: number): boolean => sections.some((section) => section.type === type);

/** What is to be said of a libc.so.6 that is too old; undefined for every other file. */
export const oldDynamicGlibc = (program: Program): string | undefined => {
	const { source } = program;
	const mayBe = program.sections.length === 0 || hasSection(program, elf.SHT_GNU_verdef);
	if (program.type !== elf.ET_DYN || !mayBe || source.length > MOST_BYTES || !isNamedLibc(program)) return undefined;
	try {
		const { soname, versionDefinitions } = readElf(bytesAt(source, 0, source.length));
		if (soname !== SONAME) return undefined;
		const minors = versionDefinitions.map(({ name }) => Number(/^GLIBC_2\.(\d+)(?:\.\d+)?$/.exec(name)?.[1] ?? -1));
		const minor = Math.max(-1, ...minors);
		if (minor < 0 || minor >= DYNAMIC_SINCE) return undefined;
		return `glibc 2.${minor}: before 2.${DYNAMIC_SINCE} it calls the page for what it does not take from the vDSO`;
	} catch (error) {
		if (error instanceof ElfError) return undefined;
		throw error;
	}
};

/** Whether the dynamic strings have the name at all: most libraries are let go by this. */
const isNamedLibc = ({ sections, source }: Program): boolean => {
	const strings = sections.filter(
		({ type, flags }) => type === elf.SHT_STRTAB && (flags & BigInt(elf.SHF_ALLOC)) !== 0n,
	);
	if (strings.length === 0) return true;
	return strings.some(({ offset, size }) => {
		const bytes = bytesAt(source, Number(offset), Number(size));
		return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(`\0${SONAME}\0`, 0, "latin1");
	});
};

/** Whether the banner of the library may be in a file: a program without a loader. */
export const isStatic = ({ type, programHeaders }: Program): boolean =>
	(type === elf.ET_EXEC || type === elf.ET_DYN) &&
	programHeaders.length > 0 &&
	!programHeaders.some((header) => header.type === elf.PT_INTERP) &&
	(type === elf.ET_EXEC || !programHeaders.some((header) => header.type === elf.PT_DYNAMIC));

/** What is to be said of a static program with this banner. @param offset of the banner in the file */
export const oldStaticGlibc = ({ source }: Program, offset: number): string | undefined => {
	const minor = Number(BANNER_VERSION.exec(latin1(bytesAt(source, offset, BANNER_LENGTH)))?.[1] ?? STATIC_SINCE);
	return minor < STATIC_SINCE ? `static glibc 2.${minor}: before 2.${STATIC_SINCE} it calls the page` : undefined;
};
