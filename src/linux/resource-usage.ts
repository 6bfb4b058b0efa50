/** getrusage(2). */
import { ByteReader } from "../bytes.ts";
import { RUSAGE_CHILDREN, SYS_getrusage } from "./constants.ts";
import { syscallResult } from "./ffi.ts";

/** sizeof(struct rusage). */
const SIZE = 144;
const TIMEVAL_SIZE = 16;

/** Processor time in seconds. */
export interface ProcessorTime {
	readonly user: number;
	readonly system: number;
}

/** What the children of this process that have ended, and theirs that they have waited for, have used. */
export const childrensTime = (): ProcessorTime => {
	const bytes = new Uint8Array(SIZE);
	syscallResult(SYS_getrusage, RUSAGE_CHILDREN, bytes);
	const reader = new ByteReader(bytes);
	const seconds = (place: number): number => Number(reader.i64(place)) + Number(reader.i64(place + 8)) / 1e6;
	return { user: seconds(0), system: seconds(TIMEVAL_SIZE) };
};
