/** Reading the counters of an observation file. */
import { ByteReader } from "../bytes.ts";
import { COUNTERS, HEADER, type ObservationLayout, serialOfTag, SLOT, SLOTS } from "./layout.ts";

/** Counts of the calls of a process, by number. */
export type Counts = readonly bigint[];

export interface Tally {
	/** By serial of the process. */
	readonly processes: ReadonlyMap<number, Counts>;
	/** Of calls that found no slot: nobody knows whose they are. */
	readonly unattributed: Counts;
}

const readCounters = (reader: ByteReader, slot: number): Counts =>
	Array.from({ length: COUNTERS }, (_, counter) => reader.u64(slot + SLOT.counters + counter * 8));

const sum = (left: Counts, right: Counts): Counts => left.map((count, index) => count + (right[index] ?? 0n));

/** What the counters of a file say. @param bytes all of it; processes may be counting meanwhile */
export const readTally = (bytes: Uint8Array, { slotsOffset, overflowOffset }: ObservationLayout): Tally => {
	const reader = new ByteReader(bytes);
	const processes = new Map<number, Counts>();
	const isEmpty = reader.u64(HEADER.taken) === 0n;
	for (let index = 0; index < SLOTS && !isEmpty; index++) {
		const slot = slotsOffset + index * SLOT.size;
		const tag = reader.u64(slot + SLOT.tag);
		if (tag === 0n) continue;
		const [serial, counts] = [serialOfTag(tag), readCounters(reader, slot)];
		const before = processes.get(serial);
		processes.set(serial, before === undefined ? counts : sum(before, counts));
	}
	return { processes, unattributed: readCounters(reader, overflowOffset) };
};
