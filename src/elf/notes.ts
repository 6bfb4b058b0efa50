/** The notes of every PT_NOTE segment (gABI chapter 5, "Note Section"). */
import { NHDR_SIZE, PT_NOTE } from "./constants.ts";
import { ElfError, hex } from "./elf-error.ts";
import type { ProgramHeader } from "./headers.ts";
import { latin1 } from "./string-table.ts";
import type { ElfView, FileRange } from "./view.ts";

export interface ElfNote {
	/** Without its closing NUL. */
	readonly name: string;
	readonly type: number;
	/** A view of the file's bytes, not a copy. */
	readonly description: Uint8Array;
}

const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;

/**
 * @throws {ElfError} when a segment is not in the file, a note is larger than its segment, or segments overlap so much that
 * together they are larger than the file.
 */
export const readNotes = (view: ElfView, programHeaders: readonly ProgramHeader[]): readonly ElfNote[] => {
	const notes: ElfNote[] = [];
	let left = view.length;
	for (const { type, offset, fileSize, alignment } of programHeaders) {
		if (type !== PT_NOTE) continue;
		const range = view.range(offset, fileSize, "PT_NOTE");
		left -= range.end - range.offset;
		if (left < 0) throw new ElfError(range.offset, "PT_NOTE segments overlap: together larger than the file");
		// GNU property notes have 8-byte words in ELF64 and say so by the segment's alignment; all others have 4.
		readSegment(view, range, alignment === 8n ? 8 : 4, notes);
	}
	return notes;
};

/** Fewer bytes at the end than a note header takes are padding. */
const readSegment = (view: ElfView, { offset, end }: FileRange, alignment: 4 | 8, notes: ElfNote[]): void => {
	let record = offset;
	while (record + NHDR_SIZE <= end) {
		const nameStart = record + NHDR_SIZE;
		const nameEnd = nameStart + view.u32(record);
		const start = offset + alignUp(nameEnd - offset, alignment);
		const descriptionEnd = start + view.u32(record + 4);
		if (nameEnd > end || descriptionEnd > end) {
			throw new ElfError(
				record,
				`A note ends at ${hex(descriptionEnd)}, expected before its segment's end ${hex(end)}`,
			);
		}
		notes.push({
			name: latin1(view.bytes.subarray(nameStart, nameEnd)).replace(/\0$/, ""),
			type: view.u32(record + 8),
			description: view.bytes.subarray(start, descriptionEnd),
		});
		record = offset + alignUp(descriptionEnd - offset, alignment);
	}
};
