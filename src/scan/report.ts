/** What a scan says of one file. Files that have nothing to do with the page have no report. */
import type { Finding } from "./finding.ts";

/** Where in an image a file is. */
export interface ImagePlace {
	/** The name of the layer in the archive. */
	readonly layer: string;
	/** Names of the images that have the file: tags, else digests. */
	readonly images: readonly string[];
}

export interface FileReport {
	/** On the file system: the file itself, or the archive that it is in. */
	readonly file: string;
	/** The same, with its path in the archive behind: `image.tar:usr/bin/old`. */
	readonly path: string;
	readonly place: ImagePlace | undefined;
	readonly findings: readonly Finding[];
	/** Why the file was not searched, or not all of it. */
	readonly passedOver: string | undefined;
}

/** What was looked at. */
export interface Tally {
	/** Regular files, in archives and out of them. */
	readonly files: number;
	/** Of those, the ones that were searched: 64-bit ELF files of x86-64. */
	readonly searched: number;
	/** Of all files, in bytes. */
	readonly bytes: number;
}

export const NO_TALLY: Tally = { files: 0, searched: 0, bytes: 0 };

export const addTally = (one: Tally, other: Tally): Tally => ({
	files: one.files + other.files,
	searched: one.searched + other.searched,
	bytes: one.bytes + other.bytes,
});

export const passedOver = (file: string, reason: string, path: string = file): FileReport => ({
	file,
	path,
	place: undefined,
	findings: [],
	passedOver: reason,
});
