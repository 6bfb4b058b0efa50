/** Whether bytes are a vvar page that this release understands: pages come from files, which anybody may have written. */
import { ByteReader } from "../bytes.ts";
import { isRate } from "../clock/drift.ts";
import { VsyscallError } from "../errors.ts";
import { NANOSECONDS_PER_SECOND } from "../units.ts";
import * as layout from "./layout.ts";
import { loadWallWord } from "./wall-word.ts";

const LAST_KIND = layout.SLOT_KIND_TRAP;

/** @returns what is wrong with the bytes of a page; undefined when nothing is */
export const pageFault = (bytes: Uint8Array): string | undefined => {
	if (bytes.length < layout.PAGE_SIZE) return `a page of ${bytes.length} bytes, not ${layout.PAGE_SIZE}: cut off`;
	const reader = new ByteReader(bytes);
	if (reader.u64(layout.PAGE.magic) !== layout.MAGIC) return 'not a page of a clock: it does not begin with "vsysvvar"';
	const version = reader.u32(layout.PAGE.version);
	if (version !== layout.VERSION)
		return `a page of another version: ${version}, and this release has ${layout.VERSION}`;
	const word = loadWallWord(bytes);
	const low = Number(word & BigInt(layout.WALL_NANOSECONDS_MASK));
	if (low !== layout.WALL_IN_SLOT) return low < NANOSECONDS_PER_SECOND ? undefined : "a damaged page: its wall word";
	const slot = layout.PAGE.slots + Number((word >> BigInt(layout.WALL_SECONDS_SHIFT)) & 1n) * layout.SLOT.size;
	if (reader.u32(slot + layout.SLOT.kind) > LAST_KIND) return "a damaged page: the kind of its slot";
	const parts = [layout.SLOT.nanoseconds, layout.SLOT.anchorNanoseconds].map((field) => reader.u64(slot + field));
	if (parts.some((part) => part >= NANOSECONDS_PER_SECOND)) return "a damaged page: the times in its slot";
	return isRate(reader.i64(slot + layout.SLOT.rate)) ? undefined : "a damaged page: the rate in its slot";
};

/** @throws {VsyscallError} ERR_VSYSCALL_PAGE when `bytes` are no page, or one of another version, or damaged. */
export const checkPage = (bytes: Uint8Array): void => {
	const fault = pageFault(bytes);
	if (fault !== undefined) throw new VsyscallError("ERR_VSYSCALL_PAGE", `${fault}; make the clock again`);
};
