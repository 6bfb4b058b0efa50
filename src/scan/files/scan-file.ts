/** One file of the file system -> what is to be said of it and of what it holds. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { mayBeArchive, scanArchive, START_SIZE } from "../archive/scan-archive.ts";
import { peek, streamOf, streamOfChunks } from "../archive/byte-stream.ts";
import { isElf } from "../program.ts";
import { type FileReport, NO_TALLY, passedOver, type Tally } from "../report.ts";
import { scanSource } from "../scan-source.ts";
import type { ByteSource } from "../source.ts";
import { reasonOf } from "./walk.ts";

export interface FileScan {
	readonly reports: readonly FileReport[];
	readonly tally: Tally;
}

/** What people write for it. */
export const STANDARD_INPUT = "-";
/** A file that was replaced by a FIFO since it was listed must not make us wait. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
const start = new Uint8Array(START_SIZE);

/** A file shrinks while it is read: then what is left is what there is. */
const sourceOfDescriptor = (descriptor: number, length: number): ByteSource => ({
	length,
	read(into, offset) {
		let filled = 0;
		while (filled < into.length) {
			const count = readSync(descriptor, into, filled, into.length - filled, offset + filled);
			if (count === 0) break;
			filled += count;
		}
		return filled;
	},
});

const scanDescriptor = async (descriptor: number, path: string): Promise<FileScan> => {
	const stat = fstatSync(descriptor);
	if (!stat.isFile()) return { reports: [passedOver(path, "no regular file")], tally: NO_TALLY };
	const source = sourceOfDescriptor(descriptor, stat.size);
	const first = start.subarray(0, source.read(start, 0));
	const tally = { files: 1, searched: 0, bytes: stat.size };
	if (isElf(first)) {
		const { report, isSearched } = scanSource(source, path);
		return { reports: report === undefined ? [] : [report], tally: { ...tally, searched: isSearched ? 1 : 0 } };
	}
	if (!mayBeArchive(first, path)) return { reports: [], tally };
	const { reports, tally: inside } = await scanArchive(streamOf(source), path);
	// The archive's bytes are those of what it holds: they count once.
	return { reports, tally: { ...inside, bytes: stat.size } };
};

/** Never fails: what cannot be read is passed over with the reason. */
export const scanFile = async (path: string): Promise<FileScan> => {
	let descriptor: number | undefined;
	try {
		descriptor = openSync(path, FLAGS);
		return await scanDescriptor(descriptor, path);
	} catch (error) {
		return { reports: [passedOver(path, reasonOf(error))], tally: NO_TALLY };
	} finally {
		if (descriptor !== undefined) closeSync(descriptor);
	}
};

/** Never fails: an archive that comes through a pipe, as from `docker save`. */
export const scanStandardInput = async (): Promise<FileScan> => {
	try {
		const { start: first, whole } = await peek(streamOfChunks(process.stdin.iterator()), START_SIZE);
		if (!mayBeArchive(first, STANDARD_INPUT))
			return { reports: [passedOver(STANDARD_INPUT, "no archive")], tally: NO_TALLY };
		return await scanArchive(whole, STANDARD_INPUT);
	} catch (error) {
		return { reports: [passedOver(STANDARD_INPUT, reasonOf(error))], tally: NO_TALLY };
	}
};
