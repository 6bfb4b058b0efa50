/**
 * A call to the page, answered as the kernel answers it: the checks and stores of `emulate_vsyscall`, in its order
 * (arch/x86/entry/vsyscall/vsyscall_64.c, v6.18), on the clock of the run.
 *
 *     1  both pointers are checked against the end of user space before anything is stored
 *     2  gettimeofday stores the time before the zone, getcpu stores the node even when the cpu cannot be stored
 *     3  a pointer that passes the check and cannot be written is a fault, never -EFAULT (native: always -EFAULT)
 */
import { setU32, setU64 } from "../bytes.ts";
import { type Nanoseconds, splitNanoseconds } from "../units.ts";
import type { VsyscallNumber } from "./page.ts";

/** What the answers are made of: asked only when needed. */
export interface CallWorld {
	/** The wall clock. */
	readonly wall: () => Nanoseconds;
	/** The wall clock as of the last tick: what time() and CLOCK_REALTIME_COARSE show. */
	readonly coarseWall: () => Nanoseconds;
	/** struct timezone of the host. */
	readonly timezone: () => Uint8Array;
	readonly cpu: () => { readonly cpu: number; readonly node: number };
	/** Stores to the memory of the program. @returns whether all of it could be written */
	readonly write: (address: bigint, bytes: Uint8Array) => boolean;
}

export interface PageCall {
	readonly number: VsyscallNumber;
	readonly rdi: bigint;
	readonly rsi: bigint;
}

export type CallOutcome =
	| { readonly kind: "returned"; readonly rax: bigint }
	/** A pointer outside of user space: nothing was stored. */
	| { readonly kind: "not-user-memory"; readonly pointer: bigint }
	/** A pointer that cannot be written. */
	| { readonly kind: "fault" };

/** The end of user space with four levels of page tables, less a page: USER_PTR_MAX, arch/x86/kernel/cpu/common.c. */
const USER_END = 0x7fff_ffff_f000n;
const NANOSECONDS_PER_MICROSECOND = 1000n;

/** The first pointer that `access_ok` refuses. NULL passes. */
const refusedPointer = ({ number, rdi, rsi }: PageCall): bigint | undefined =>
	(number === 1 ? [rdi] : [rdi, rsi]).find((pointer) => pointer > USER_END);

const timeval = (time: Nanoseconds): Uint8Array => {
	const { seconds, nanoseconds } = splitNanoseconds(time);
	const bytes = new Uint8Array(16);
	setU64(bytes, 0, BigInt.asUintN(64, seconds));
	setU64(bytes, 8, nanoseconds / NANOSECONDS_PER_MICROSECOND);
	return bytes;
};

const word = (value: bigint): Uint8Array => {
	const bytes = new Uint8Array(8);
	setU64(bytes, 0, BigInt.asUintN(64, value));
	return bytes;
};

const half = (value: number): Uint8Array => {
	const bytes = new Uint8Array(4);
	setU32(bytes, 0, value);
	return bytes;
};

const FAULT: CallOutcome = { kind: "fault" };
const ZERO: CallOutcome = { kind: "returned", rax: 0n };

/** Answers a call: stores through its pointers and says what comes back. */
export const answerCall = (call: PageCall, world: CallWorld): CallOutcome => {
	const pointer = refusedPointer(call);
	if (pointer !== undefined) return { kind: "not-user-memory", pointer };
	const { number, rdi, rsi } = call;
	const store = (address: bigint, bytes: () => Uint8Array): boolean => address === 0n || world.write(address, bytes());
	if (number === 0) return store(rdi, () => timeval(world.wall())) && store(rsi, world.timezone) ? ZERO : FAULT;
	if (number === 1) {
		const { seconds } = splitNanoseconds(world.coarseWall());
		return store(rdi, () => word(seconds)) ? { kind: "returned", rax: BigInt.asUintN(64, seconds) } : FAULT;
	}
	const { cpu, node } = world.cpu();
	const results = [store(rdi, () => half(cpu)), store(rsi, () => half(node))];
	return results.includes(false) ? FAULT : ZERO;
};
