/** One file that may be an ELF file -> what is to be said of it. */
import { ElfError } from "../elf/elf-error.ts";
import { isElf } from "./program.ts";
import type { FileReport } from "./report.ts";
import { scanElf } from "./scan-elf.ts";
import { type ByteSource, bytesAt } from "./source.ts";

export interface SourceScan {
	/** undefined where there is nothing to say. */
	readonly report: FileReport | undefined;
	readonly isSearched: boolean;
}

const NOTHING: SourceScan = { report: undefined, isSearched: false };
const MAGIC_SIZE = 4;

/**
 * Any bytes: what is no ELF file is passed over silently, what is a damaged one with the reason.
 *
 * @param file on the file system @param path the same, or with a path in an archive behind
 */
export const scanSource = (source: ByteSource, file: string, path: string = file): SourceScan => {
	if (!isElf(bytesAt(source, 0, MAGIC_SIZE))) return NOTHING;
	const common = { file, path, place: undefined };
	try {
		const { findings, isApplicable, passedOver } = scanElf(source);
		const reason = passedOver === 0 ? undefined : `${passedOver} further places that may be operands were not decoded`;
		const hasReport = findings.length > 0 || reason !== undefined;
		return { report: hasReport ? { ...common, findings, passedOver: reason } : undefined, isSearched: isApplicable };
	} catch (error) {
		if (!(error instanceof ElfError)) throw error;
		return { report: { ...common, findings: [], passedOver: `damaged ELF file: ${error.message}` }, isSearched: false };
	}
};
