/**
 * What the image and its file have for the vsyscall page, when a run serves it.
 *
 *     file     image | vvar page | entry page | copy of the vsyscall page
 *     memory   image | link page | vvar page | copy         and, at 0xXX600000, entry page | words
 */
import { Label } from "../asm/operands.ts";
import { entryPage } from "../vsyscall/entry-page.ts";
import { vsyscallPage } from "../vsyscall/page.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import type { EntryPageLabels, PageCopyLabels } from "./install-page.ts";
import { emitPageEntries, type EntryStore } from "./page-entries.ts";
import type { Emission } from "./wall.ts";

/** What a process gets for its calls to the vsyscall page. */
export interface PageSupport {
	/** The pages at 0xXX600000 to which call sites are patched. */
	readonly hasEntryPage: boolean;
	/** A copy of the vsyscall page behind the vvar page. */
	readonly copy: "none" | "readable" | "executable";
}

export interface EmittedPageSupport {
	readonly entries: EntryPageLabels | undefined;
	readonly copy: PageCopyLabels | undefined;
	readonly stores: readonly EntryStore[];
	/** What the file has behind the vvar page. */
	readonly pages: readonly Uint8Array[];
	/** Offsets of the labels from the start of the image. */
	readonly places: (imageSize: number) => readonly (readonly [Label, number])[];
}

/** @param block emits a function of the image and returns its label */
export const emitPageSupport = (
	emission: Emission,
	{ copy, hasEntryPage }: PageSupport,
	block: (name: string, emit: () => void) => Label,
): EmittedPageSupport => {
	const { pageWords } = emission.links;
	const emitted = pageWords === undefined ? undefined : emitPageEntries(emission, pageWords.label, block);
	const [entryFile, copyFile] = [new Label("entry page in the file"), new Label("copy in the file")];
	const copyPage = new Label("copy of the vsyscall page");
	return {
		entries: emitted === undefined ? undefined : { starts: emitted.starts, page: entryFile },
		copy: copy === "none" ? undefined : { page: copyPage, file: copyFile, isExecutable: copy === "executable" },
		stores: emitted?.stores ?? [],
		pages: copy === "none" && !hasEntryPage ? [] : [entryPage(), vsyscallPage()],
		places: (imageSize) => [
			[entryFile, imageSize + PAGE_SIZE],
			[copyFile, imageSize + 2 * PAGE_SIZE],
			[copyPage, imageSize + 2 * PAGE_SIZE],
		],
	};
};
