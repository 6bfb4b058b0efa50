/**
 * Machine code that runs in a child, to find out what the kernel does by trying it: the child may be killed, and what it changes of
 * itself (a filter, a tracer) goes with it.
 *
 * It shares our memory (CLONE_VM) and nothing else, and we wait until it has ended. No tracer gets it (CLONE_UNTRACED): inside of a
 * run the question is still what the kernel does. All signals but SIGSEGV are blocked in it: any other (SIGINT of a terminal) would
 * run a handler of Node's.
 */
import type { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { eax, edi, edx, r10d, rbx, rdi, rsi } from "../asm/registers.ts";
import { setU64 } from "../bytes.ts";
import * as linux from "./constants.ts";
import { addressOf, cloneInto, syscallResult } from "./ffi.ts";
import { mapCode } from "./memfd.ts";
import { SyscallError } from "./syscall-error.ts";
import { decodeWaitStatus, type Stop } from "./wait-status.ts";

const SYS_rt_sigprocmask = 14;
const SYS_exit = 60;
const EINTR = 4;
const SIGCHLD = 17;
const SIG_SETMASK = 2;
const SIGSET_SIZE = 8;
const MASK = ~(1n << BigInt(linux.SIGSEGV - 1));
const STACK_SIZE = 16 * 1024;
/** The blocked signals stand in front of the block of the caller. */
const MASK_SIZE = 8;

export const emitProbeCall = (assembler: Assembler, number: number): void => {
	assembler.mov(eax, number);
	assembler.syscall();
};

/** What every probe begins with: signals are blocked, and rbx is the block. */
export const emitProbeStart = (assembler: Assembler): void => {
	assembler.mov(rbx, rdi);
	assembler.mov(edi, SIG_SETMASK);
	assembler.lea(rsi, memory(rbx, -MASK_SIZE));
	assembler.xor(edx, edx);
	assembler.mov(r10d, SIGSET_SIZE);
	emitProbeCall(assembler, SYS_rt_sigprocmask);
};

/** Ends the child with the status in edi. */
export const emitProbeExit = (assembler: Assembler): void => emitProbeCall(assembler, SYS_exit);

/**
 * Runs `code` to its end.
 *
 * @param blockSize bytes of the block that rbx leads to
 * @param fill writes the block; given the address of the code and that of the block
 * @throws {SyscallError} when no process can be made.
 */
export const runProbe = (
	code: Uint8Array,
	blockSize: number,
	fill: (block: Uint8Array, place: { readonly code: bigint; readonly block: bigint }) => void,
): Stop => {
	const mapped = mapCode(code);
	const memoryOfChild = new Uint8Array(new ArrayBuffer(MASK_SIZE + blockSize));
	setU64(memoryOfChild, 0, MASK);
	const block = addressOf(memoryOfChild) + BigInt(MASK_SIZE);
	fill(memoryOfChild.subarray(MASK_SIZE), { code: mapped, block });
	const stack = new Uint8Array(new ArrayBuffer(STACK_SIZE));
	const top = (addressOf(stack) + BigInt(STACK_SIZE)) & ~15n;
	const flags = linux.CLONE_VM | linux.CLONE_VFORK | linux.CLONE_UNTRACED | SIGCHLD;
	const pid = cloneInto(mapped, top, flags, block);
	if (pid < 0) throw new SyscallError("clone", -pid);
	const status = new Int32Array(1);
	let waited: number;
	do waited = syscallResult(linux.SYS_wait4, pid, status, linux.WALL, 0);
	while (waited === -EINTR);
	syscallResult(linux.SYS_munmap, mapped, code.length);
	if (waited < 0) throw new SyscallError("wait4", -waited);
	return decodeWaitStatus(status[0] ?? 0);
};
