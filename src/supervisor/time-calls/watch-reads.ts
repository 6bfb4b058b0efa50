/** Lets the reads of one descriptor stop, in every thread of a process, by a filter on top of the others. */
import { setU16, setWord, type WordSize } from "../../bytes.ts";
import * as linux from "../../linux/constants.ts";
import { writeMemory } from "../../linux/remote-memory.ts";
import { buildReadFilter, FILTER_INSTRUCTION_SIZE } from "../../linux/seccomp.ts";
import type { RemoteScript } from "../remote-call.ts";
import type { ScratchPlace } from "./scratch-call.ts";

/** struct sock_fprog: a count, and a word. */
const programSize = (wordSize: WordSize): number => 2 * wordSize;

/** @param scratch 256 bytes of writable memory that nobody uses */
export function* watchReads(tid: number, descriptor: number, { scratch, wordSize }: ScratchPlace): RemoteScript<void> {
	const filter = buildReadFilter(descriptor);
	const bytes = new Uint8Array(programSize(wordSize) + filter.length);
	setU16(bytes, 0, filter.length / FILTER_INSTRUCTION_SIZE);
	setWord(bytes, wordSize, scratch + BigInt(programSize(wordSize)), wordSize);
	bytes.set(filter, programSize(wordSize));
	if (writeMemory(tid, scratch, bytes) !== bytes.length) return;
	const alone = BigInt(linux.SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	const all = alone | BigInt(linux.SECCOMP_FILTER_FLAG_TSYNC);
	const mode = BigInt(linux.SECCOMP_SET_MODE_FILTER);
	const installed = yield { name: "seccomp", args: [mode, all, scratch] };
	// Threads with filters of their own cannot be given one: then it is this thread's alone.
	if (installed !== 0n) yield { name: "seccomp", args: [mode, alone, scratch] };
}
