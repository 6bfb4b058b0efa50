/**
 * What makes a process one of ours: behind its image stand the link page and a vvar page that begins with our word.
 *
 *     image | link page | vvar page
 */
import { ByteReader } from "../bytes.ts";
import type { WallClock } from "../clock/clock.ts";
import { storedSize } from "../elf/headers.ts";
import type { ElfFile } from "../elf/reader.ts";
import { pageFault } from "../vvar/check.ts";
import { MAGIC, PAGE, PAGE_SIZE } from "../vvar/layout.ts";
import { readClock } from "../vvar/page.ts";
import { ENTRY_PAGE_STEP, entryPagePlace } from "../vsyscall/entry-page.ts";
import type { AddressSpace, Mapping } from "./address-space.ts";
import { mappingAt } from "./address-space.ts";

export interface OwnClock {
	/** Of the vvar page. */
	readonly address: bigint;
	/** The name of the clock; undefined for that of one run. */
	readonly name: string | undefined;
	/** What is wrong with the page, or what it shows. */
	readonly clock: WallClock | { readonly fault: string };
	/** Where patched call sites of the vsyscall page lead; undefined where none can be. */
	readonly entryPage: bigint | undefined;
}

const CLOCK_FILE = /\/([^/]+)\.clock(?: \(deleted\))?$/;

/** The entry page is mapped from the same file as the image, at one of few addresses. */
const findEntryPage = (mappings: readonly Mapping[], image: Mapping | undefined): bigint | undefined =>
	mappings.find(
		({ start, name, permissions }) =>
			image !== undefined &&
			name === image.name &&
			name !== "" &&
			permissions.startsWith("r-x") &&
			start < 1n << 31n &&
			start % BigInt(ENTRY_PAGE_STEP) === entryPagePlace(0) % BigInt(ENTRY_PAGE_STEP),
	)?.start;

/** @returns undefined for an image that is not ours */
export const findOwnClock = (
	image: { readonly address: bigint; readonly elf: ElfFile },
	memory: AddressSpace,
	mappings: readonly Mapping[],
): OwnClock | undefined => {
	const imageLength = Math.ceil(storedSize(image.elf.programHeaders) / PAGE_SIZE) * PAGE_SIZE;
	const address = image.address + BigInt(imageLength + PAGE_SIZE);
	const page = memory.read(address, PAGE_SIZE);
	if (page === undefined || new ByteReader(page).u64(PAGE.magic) !== MAGIC) return undefined;
	const fault = pageFault(page);
	return {
		address,
		name: CLOCK_FILE.exec(mappingAt(mappings, address)?.name ?? "")?.[1],
		clock: fault === undefined ? readClock(page) : { fault },
		entryPage: findEntryPage(mappings, mappingAt(mappings, image.address)),
	};
};
