/** Addresses in words: in which image or mapping they are, and at which symbol. */
import { hex } from "../elf/elf-error.ts";
import type { ElfSymbol } from "../elf/symbols.ts";
import { STT_FUNC } from "../elf/constants.ts";
import { type Mapping, mappingAt } from "./address-space.ts";

/** An image that is mapped; symbols count from its start. */
export interface NamedImage {
	readonly start: bigint;
	readonly end: bigint;
	readonly name: string;
	readonly symbols: readonly ElfSymbol[];
}

/** The function of an image that has an address: a global one where several begin at the same place. */
export const functionAt = ({ start, symbols }: NamedImage, address: bigint): ElfSymbol | undefined => {
	const value = address - start;
	const found = symbols.filter((symbol) => {
		const isInside = symbol.value <= value && value < symbol.value + symbol.size;
		return symbol.type === STT_FUNC && symbol.sectionIndex !== 0 && (isInside || symbol.value === value);
	});
	return found.find(({ name }) => name.startsWith("__")) ?? found[0];
};

/** `clock_gettime`, `clock_gettime+0x10`, or undefined where no function is. */
export const symbolText = (image: NamedImage, address: bigint): string | undefined => {
	const symbol = functionAt(image, address);
	if (symbol === undefined) return undefined;
	const distance = address - image.start - symbol.value;
	return distance === 0n ? symbol.name : `${symbol.name}+${hex(distance)}`;
};

/** `[vdso] __vdso_getcpu`, `/usr/lib/libc.so.6+0x1234`, or undefined where nothing is mapped that has a name. */
export const placeText = (
	images: readonly NamedImage[],
	mappings: readonly Mapping[],
	address: bigint,
): string | undefined => {
	const image = images.find(({ start, end }) => start <= address && address < end);
	if (image !== undefined) {
		const symbol = symbolText(image, address);
		return symbol === undefined ? `${image.name}+${hex(address - image.start)}` : `${image.name} ${symbol}`;
	}
	const mapping = mappingAt(mappings, address);
	if (mapping === undefined || mapping.name === "") return undefined;
	return address === mapping.start ? mapping.name : `${mapping.name}+${hex(address - mapping.start)}`;
};
