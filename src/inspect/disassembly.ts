/** The code of an image as text: symbols as labels, branches and rip-relative operands by the name of what they lead to. */
import { type DisassembledInstruction, disassemble } from "../asm/disassembler.ts";
import { ByteReader } from "../bytes.ts";
import type { ElfClass } from "../elf/class-layout.ts";
import { SHF_ALLOC, SHF_EXECINSTR, SHN_UNDEF, STT_FUNC } from "../elf/constants.ts";
import { hex } from "../elf/elf-error.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import type { AddressSpace, Mapping } from "./address-space.ts";
import type { ImageReport, SymbolReport } from "./image-report.ts";
import { noSymbol, notDecoded } from "./inspect-error.ts";
import { type NamedImage, placeText, symbolText } from "./places.ts";

export interface DisassembledFunction {
	/** All names of its address; none of code that has no symbol. */
	readonly names: readonly string[];
	readonly address: bigint;
	readonly instructions: readonly DisassembledInstruction[];
}

/** What addresses outside of the code are called. */
export interface Surroundings {
	readonly memory: AddressSpace;
	readonly mappings: readonly Mapping[];
	readonly names: readonly NamedImage[];
	/** Of an image of ours: where its vvar page is. */
	readonly vvarPage: bigint | undefined;
}

interface Stretch {
	readonly start: bigint;
	readonly end: bigint;
	readonly names: readonly string[];
}

const isFunction = ({ type, sectionIndex }: SymbolReport): boolean => type === STT_FUNC && sectionIndex !== SHN_UNDEF;

/** Code by sections, or by nothing but its symbols where there is no section table. */
const codeOf = ({ elf: { sections } }: ImageReport): readonly { start: bigint; end: bigint }[] =>
	sections
		.filter(({ flags }) => (flags & BigInt(SHF_ALLOC | SHF_EXECINSTR)) === BigInt(SHF_ALLOC | SHF_EXECINSTR))
		.map(({ address, size }) => ({ start: address, end: address + size }));

/** Functions in the order of their addresses, and the code between them. */
const stretches = (image: ImageReport): readonly Stretch[] => {
	const byStart = new Map<bigint, SymbolReport[]>();
	for (const symbol of image.symbols.filter(isFunction)) {
		byStart.set(symbol.value, [...(byStart.get(symbol.value) ?? []), symbol]);
	}
	const functions = [...byStart]
		.map(([start, symbols]) => ({
			start,
			end: symbols.reduce((end, { size }) => (start + size > end ? start + size : end), start),
			names: symbols.map(({ name }) => name),
		}))
		.toSorted((a, b) => Number(a.start - b.start));
	const gaps = codeOf(image).flatMap(({ start, end }) => {
		const inside = functions.filter((entry) => entry.start >= start && entry.start < end);
		const starts = [start, ...inside.map((entry) => entry.end)];
		return starts.map((from, index) => ({ start: from, end: inside[index]?.start ?? end, names: [] }));
	});
	return [...functions, ...gaps.filter(({ start, end }) => start < end)].toSorted((a, b) => Number(a.start - b.start));
};

const chosen = (image: ImageReport, name: string | undefined): readonly Stretch[] => {
	const all = stretches(image);
	if (name === undefined) return all;
	const found = all.filter(({ names }) => names.includes(name));
	if (found.length === 0) throw noSymbol(name, [...new Set(all.flatMap(({ names }) => names))]);
	return found;
};

/** Names an address that stands in the code: a function, a word of the link page by what it points to, a field of a page. */
const namer =
	(image: ImageReport, { memory, mappings, names, vvarPage }: Surroundings, bits: ElfClass) =>
	(address: bigint): string | undefined => {
		const end = image.address + BigInt(image.bytes.length);
		if (image.address <= address && address < end) {
			return symbolText({ start: image.address, end, name: "", symbols: image.symbols }, address);
		}
		if (vvarPage === undefined) return placeText(names, mappings, address);
		if (vvarPage <= address && address < vvarPage + BigInt(PAGE_SIZE)) return `vvar+${hex(address - vvarPage)}`;
		if (address < end || address >= vvarPage) return placeText(names, mappings, address);
		const word = memory.read(address, bits / 8);
		const target = word === undefined ? undefined : bits === 64 ? new ByteReader(word).u64(0) : undefined;
		const place = target === undefined ? undefined : placeText(names, mappings, target);
		return place === undefined ? `link+${hex(address - end)}` : `link+${hex(address - end)} -> ${place}`;
	};

/**
 * @param name of one function. @default all code
 * @throws {VsyscallError} ERR_VSYSCALL_INSPECT when the code is for a machine that is not decoded, or there is no such function.
 */
export const disassembleImage = (
	image: ImageReport,
	surroundings: Surroundings,
	name?: string,
): readonly DisassembledFunction[] => {
	const { codeBits, address, bytes } = image;
	if (codeBits === undefined) throw notDecoded(image.abi);
	const symbolOf = namer(image, surroundings, codeBits);
	return chosen(image, name).map(({ start, end, names }) => ({
		names,
		address: address + start,
		instructions: disassemble(bytes.subarray(Number(start), Number(end)), codeBits, address + start, symbolOf),
	}));
};
