/**
 * The fast half of a scan: places in bytes that could refer to the page. What they are is decided by decoding them.
 *
 * An entry is 0xffffffffff600000, ...400 or ...800. As an operand it is its low four bytes, 00 0x 60 ff, or eight with ff ff ff ff
 * behind. Of those bytes 60 is the rare one in code and in data: looking for "60 ff" goes at the speed of memchr(3).
 * A relative operand differs from place to place; but its upper half is the same for all places in 64 KiB, or one of three.
 */
import { VSYSCALL_START } from "../vsyscall/page.ts";

const RARE = Uint8Array.of(0x60, 0xff);
/** Second byte of 00 0x 60 ff. */
const SECOND: readonly number[] = [0x00, 0x04, 0x08];
const BLOCK = 1 << 16;
const PAGE_LOW = Number(BigInt.asUintN(32, VSYSCALL_START));
/** The entries, as the low halves of their addresses. */
export const ENTRIES_LOW: readonly number[] = [PAGE_LOW, PAGE_LOW + 0x400, PAGE_LOW + 0x800];

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

/** Offsets of the four bytes 00 0x 60 ff, ascending. */
export const findConstants = (bytes: Uint8Array): number[] => {
	const found: number[] = [];
	const buffer = asBuffer(bytes);
	for (let at = buffer.indexOf(RARE); at >= 0; at = buffer.indexOf(RARE, at + 1)) {
		if (at >= 2 && bytes[at - 2] === 0 && SECOND.includes(bytes[at - 1] ?? -1)) found.push(at - 2);
	}
	return found;
};

/** Whether eight bytes are an entry's address: the upper half is all ones. */
export const isWholeAddress = (bytes: Uint8Array, offset: number): boolean =>
	offset + 8 <= bytes.length && bytes.subarray(offset + 4, offset + 8).every((byte) => byte === 0xff);

const i32 = (bytes: Uint8Array, offset: number): number =>
	(bytes[offset] ?? 0) |
	((bytes[offset + 1] ?? 0) << 8) |
	((bytes[offset + 2] ?? 0) << 16) |
	((bytes[offset + 3] ?? 0) << 24);

/**
 * Offsets of four bytes that, counted from behind them, lead to one of `targets` modulo 2^32.
 *
 * @param address of the first byte, its low 32 bits
 * @param targets low 32 bits of addresses
 */
export const findRelative = (bytes: Uint8Array, address: number, targets: readonly number[]): number[] => {
	const found = new Set<number>();
	for (let start = 0; start < bytes.length; start += BLOCK) {
		const block = asBuffer(bytes.subarray(start, start + BLOCK + 3));
		for (const half of upperHalves(address + start + 4, targets)) {
			const pattern = Uint8Array.of(half & 0xff, half >> 8);
			for (let at = block.indexOf(pattern, 2); at >= 0; at = block.indexOf(pattern, at + 1)) {
				const offset = start + at - 2;
				const target = (i32(bytes, offset) + address + offset + 4) >>> 0;
				if (targets.includes(target)) found.add(offset);
			}
		}
	}
	return [...found].toSorted((one, other) => one - other);
};

/** Upper halves of what leads from `next` and the next 64 KiB to one of the targets. */
const upperHalves = (next: number, targets: readonly number[]): ReadonlySet<number> => {
	const halves = new Set<number>();
	for (const target of targets) {
		for (const from of [next, next + BLOCK - 1]) halves.add(((target - from) >>> 16) & 0xffff);
	}
	return halves;
};
