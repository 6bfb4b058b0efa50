/** What the rules of verify.ts look at: an image as read, with the parts that several rules need found once. */
import { type CallFrames, readCallFrames } from "./call-frame.ts";
import * as constants from "./constants.ts";
import { type DynamicEntry, dynamicValue } from "./dynamic.ts";
import type { ProgramHeader } from "./headers.ts";
import { type ElfFile, readElf } from "./reader.ts";
import { type ElfSymbol, isExported } from "./symbols.ts";

/** Addresses from `start` to before `end`. */
export interface Span {
	readonly start: bigint;
	readonly end: bigint;
}

export interface MappableImage {
	readonly elf: ElfFile;
	readonly fileSize: bigint;
	/** The first PT_LOAD; an empty one when there is none, so that only the rule which asks for it complains. */
	readonly load: ProgramHeader;
	/** Addresses that hold code: by sections when there is a section table, else by segments. */
	readonly code: readonly Span[];
	/** Defined GLOBAL and WEAK symbols but those that stand for a version. */
	readonly exported: readonly ElfSymbol[];
	/** Read on the first call. @throws {ElfError} on every call when they cannot be read. */
	readonly frames: () => CallFrames | undefined;
}

/** A requirement on an image. */
export interface Rule {
	readonly name: string;
	/** What must hold, as a sentence for docs. */
	readonly requires: string;
	/** What was found instead, one text per place; empty when the rule holds. */
	readonly check: (image: MappableImage) => readonly string[];
}

const NO_SEGMENT: ProgramHeader = {
	type: constants.PT_NULL,
	flags: 0,
	offset: 0n,
	virtualAddress: 0n,
	fileSize: 0n,
	memorySize: 0n,
	alignment: 0n,
};

/** Other mappings, behind the pages of the file, that the image counts as its own. */
const spansBehind = ({ programHeaders }: ElfFile): readonly Span[] =>
	programHeaders
		.filter(({ type, fileSize, memorySize }) => type === constants.PT_LOAD && memorySize > fileSize)
		.map(({ virtualAddress, fileSize, memorySize }) => ({
			start: virtualAddress + fileSize,
			end: virtualAddress + memorySize,
		}));

const codeSpans = ({ sections, programHeaders }: ElfFile): readonly Span[] => {
	const flags = BigInt(constants.SHF_ALLOC | constants.SHF_EXECINSTR);
	const loads = programHeaders
		.filter(({ type, flags: access }) => type === constants.PT_LOAD && (access & constants.PF_X) !== 0)
		.map(({ virtualAddress, memorySize }) => ({ start: virtualAddress, end: virtualAddress + memorySize }));
	if (sections.length === 0) return loads;
	return sections
		.filter((section) => (section.flags & flags) === flags)
		.map(({ address, size }) => ({ start: address, end: address + size }))
		.filter((section) => contains(loads, section));
};

/** Each version is also a symbol: absolute, an OBJECT, its name the version's. */
export const isVersionSymbol = ({ type, sectionIndex, name, version }: ElfSymbol): boolean =>
	type === constants.STT_OBJECT && sectionIndex === constants.SHN_ABS && name === version;

/** @throws {ElfError} when the image cannot be read. */
export const readMappableImage = (bytes: Uint8Array): MappableImage => {
	const elf = readElf(bytes);
	let frames: { readonly value: CallFrames | undefined } | undefined;
	return {
		elf,
		fileSize: BigInt(bytes.length),
		load: elf.programHeaders.find(({ type }) => type === constants.PT_LOAD) ?? NO_SEGMENT,
		code: [...codeSpans(elf), ...spansBehind(elf)],
		exported: elf.symbols.filter((symbol) => isExported(symbol) && !isVersionSymbol(symbol)),
		frames: () => (frames ??= { value: readCallFrames(elf) }).value,
	};
};

/** Whether one of `spans` holds all of `inner`. */
export const contains = (spans: readonly Span[], inner: Span): boolean =>
	spans.some(({ start, end }) => start <= inner.start && inner.start <= inner.end && inner.end <= end);

export const spanOf = ({ value, size }: ElfSymbol): Span => ({ start: value, end: value + size });

export const segmentsOfType = ({ elf }: MappableImage, type: number): readonly ProgramHeader[] =>
	elf.programHeaders.filter((segment) => segment.type === type);

export const entriesWithTag = ({ elf }: MappableImage, tag: number): readonly DynamicEntry[] =>
	elf.dynamic.filter((entry) => entry.tag === tag);

export const valueOfTag = ({ elf }: MappableImage, tag: number): bigint | undefined => dynamicValue(elf.dynamic, tag);

/** The detail of a rule that either holds or not. */
export const unless = (holds: boolean, found: string): readonly string[] => (holds ? [] : [found]);
