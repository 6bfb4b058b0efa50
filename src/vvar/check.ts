/** Whether bytes are a vvar page that this release understands: pages come from files, which anybody may have written. */
import { ByteReader } from "../bytes.ts";
import { isRate } from "../clock/drift.ts";
import { VsyscallError } from "../errors.ts";
import { joinNanoseconds, NANOSECONDS_PER_SECOND } from "../units.ts";
import { driftLine, fieldsOfLine } from "./drift-line.ts";
import * as layout from "./layout.ts";
import { generationOf, isSlotWord, loadWallWord, lowField, slotIndex, slotOffset } from "./wall-word.ts";

const LAST_KIND = layout.SLOT_KIND_TRAP;

/** What is wrong with the line of the slot `index`, which drifts as the slot says. */
const lineFault = (reader: ByteReader, index: number, slot: Parameters<typeof driftLine>[0]): string | undefined => {
	const line = driftLine(slot);
	const isRight =
		line !== undefined &&
		fieldsOfLine(line, index).every(([offset, value]) => reader.i64(offset) === BigInt.asIntN(64, value));
	return isRight ? undefined : "a damaged page: the line of its slot";
};

/** What is wrong with the slot that the wall word names. */
const slotFault = (reader: ByteReader, word: bigint): string | undefined => {
	const generation = generationOf(word);
	const slot = slotOffset(generation);
	const kind = reader.u32(slot + layout.SLOT.kind);
	const isOnLine = lowField(word) === layout.WALL_ON_LINE;
	if (kind > LAST_KIND || (isOnLine && kind !== layout.SLOT_KIND_DRIFT)) return "a damaged page: the kind of its slot";
	const times = [layout.SLOT.seconds, layout.SLOT.anchorSeconds].map((field) => ({
		seconds: reader.i64(slot + field),
		rest: reader.u64(slot + field + 8),
	}));
	if (times.some(({ rest }) => rest >= NANOSECONDS_PER_SECOND)) return "a damaged page: the times in its slot";
	const rate = reader.i64(slot + layout.SLOT.rate);
	if (!isRate(rate)) return "a damaged page: the rate in its slot";
	const [time, anchor] = times.map(({ seconds, rest }) => joinNanoseconds(seconds, rest));
	if (!isOnLine || time === undefined || anchor === undefined) return undefined;
	return lineFault(reader, slotIndex(generation), { time, anchor, rate });
};

/** @returns what is wrong with the bytes of a page; undefined when nothing is */
export const pageFault = (bytes: Uint8Array): string | undefined => {
	if (bytes.length < layout.PAGE_SIZE) return `a page of ${bytes.length} bytes, not ${layout.PAGE_SIZE}: cut off`;
	const reader = new ByteReader(bytes);
	if (reader.u64(layout.PAGE.magic) !== layout.MAGIC) return 'not a page of a clock: it does not begin with "vsysvvar"';
	const version = reader.u32(layout.PAGE.version);
	if (version !== layout.VERSION)
		return `a page of another version: ${version}, and this release has ${layout.VERSION}`;
	const word = loadWallWord(bytes);
	if (!isSlotWord(word)) return undefined;
	if (lowField(word) < layout.WALL_ON_LINE) return "a damaged page: its wall word";
	const fault = slotFault(reader, word);
	// Another process may have pushed meanwhile, more than once.
	return loadWallWord(bytes) === word ? fault : pageFault(bytes);
};

/** @throws {VsyscallError} ERR_VSYSCALL_PAGE when `bytes` are no page, or one of another version, or damaged. */
export const checkPage = (bytes: Uint8Array): void => {
	const fault = pageFault(bytes);
	if (fault !== undefined) throw new VsyscallError("ERR_VSYSCALL_PAGE", `${fault}; make the clock again`);
};
