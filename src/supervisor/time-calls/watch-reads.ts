/** Lets the reads of one descriptor stop, in every thread of a process, by a filter on top of the others. */
import { setU16, setU64 } from "../../bytes.ts";
import * as linux from "../../linux/constants.ts";
import { writeMemory } from "../../linux/remote-memory.ts";
import { buildReadFilter, FILTER_INSTRUCTION_SIZE } from "../../linux/seccomp.ts";
import type { RemoteScript } from "../remote-call.ts";

/** struct sock_fprog. */
const PROGRAM_SIZE = 16;

/** @param scratch 256 bytes of writable memory that nobody uses */
export function* watchReads(tid: number, descriptor: number, scratch: bigint): RemoteScript<void> {
	const filter = buildReadFilter(descriptor);
	const bytes = new Uint8Array(PROGRAM_SIZE + filter.length);
	setU16(bytes, 0, filter.length / FILTER_INSTRUCTION_SIZE);
	setU64(bytes, 8, scratch + BigInt(PROGRAM_SIZE));
	bytes.set(filter, PROGRAM_SIZE);
	if (writeMemory(tid, scratch, bytes) !== bytes.length) return;
	const alone = BigInt(linux.SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	const all = alone | BigInt(linux.SECCOMP_FILTER_FLAG_TSYNC);
	const mode = BigInt(linux.SECCOMP_SET_MODE_FILTER);
	const installed = yield { number: linux.SYS_seccomp, args: [mode, all, scratch] };
	// Threads with filters of their own cannot be given one: then it is this thread's alone.
	if (installed !== 0n) yield { number: linux.SYS_seccomp, args: [mode, alone, scratch] };
}
