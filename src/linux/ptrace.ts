/**
 * ptrace(2), one function per request.
 *
 * A tracee can die at any moment (SIGKILL does not wait for its tracer), so ESRCH is a result: every function returns false
 * then. All calls come from one OS thread, the one that seized.
 */
import { SYSCALL_KEY } from "../syscalls/key.ts";
import * as linux from "./constants.ts";
import { type SyscallArgument, syscallResult } from "./ffi.ts";
import type { Registers } from "./registers.ts";
import { SyscallError } from "./syscall-error.ts";

const ESRCH = 3;

/** @returns 0 or -errno */
const request = (kind: number, tid: number, address: SyscallArgument, data: SyscallArgument): number =>
	syscallResult(linux.SYS_ptrace, kind, tid, address, data, SYSCALL_KEY);

const succeeded = (name: string, result: number): boolean => {
	if (result >= 0) return true;
	if (result === -ESRCH) return false;
	throw new SyscallError(`ptrace(${name})`, -result);
};

/** @returns 0 or -errno: the caller knows what a refusal means. */
export const seize = (tid: number, options: number): number => request(linux.PTRACE_SEIZE, tid, 0, options);

/** @param signal to deliver, 0 for none */
export const resume = (tid: number, signal: number): boolean =>
	succeeded("PTRACE_CONT", request(linux.PTRACE_CONT, tid, 0, signal));

/** Resumes up to the next entry to, or exit from, a system call. */
export const resumeToSyscall = (tid: number): boolean =>
	succeeded("PTRACE_SYSCALL", request(linux.PTRACE_SYSCALL, tid, 0, 0));

/** Leaves a task in its group-stop, but awake for SIGCONT. */
export const listen = (tid: number): boolean => succeeded("PTRACE_LISTEN", request(linux.PTRACE_LISTEN, tid, 0, 0));

/** Resumes for one instruction. */
export const singleStep = (tid: number, signal: number): boolean =>
	succeeded("PTRACE_SINGLESTEP", request(linux.PTRACE_SINGLESTEP, tid, 0, signal));

/** Stops a task, running or not, at its next return to user space: a PTRACE_EVENT_STOP. */
export const interrupt = (tid: number): boolean =>
	succeeded("PTRACE_INTERRUPT", request(linux.PTRACE_INTERRUPT, tid, 0, 0));

/** @param info 128 bytes */
export const readSignalInfo = (tid: number, info: Uint8Array): boolean =>
	succeeded("PTRACE_GETSIGINFO", request(linux.PTRACE_GETSIGINFO, tid, 0, info));

/** @param info 128 bytes */
export const writeSignalInfo = (tid: number, info: Uint8Array): boolean =>
	succeeded("PTRACE_SETSIGINFO", request(linux.PTRACE_SETSIGINFO, tid, 0, info));

export const detach = (tid: number, signal: number): boolean =>
	succeeded("PTRACE_DETACH", request(linux.PTRACE_DETACH, tid, 0, signal));

export const readRegisters = (tid: number, registers: Registers): boolean =>
	succeeded("PTRACE_GETREGS", request(linux.PTRACE_GETREGS, tid, 0, registers.words));

export const writeRegisters = (tid: number, registers: Registers): boolean =>
	succeeded("PTRACE_SETREGS", request(linux.PTRACE_SETREGS, tid, 0, registers.words));

/** Writes one word even where the mapping is read-only (a private copy of the page is made). @returns 0 or -errno */
export const pokeWord = (tid: number, address: bigint, word: bigint): number =>
	request(linux.PTRACE_POKEDATA, tid, address, word);

const message = new BigUint64Array(1);

/** What an event-stop is about: the new task's id, or at an exec the id that the thread had before. */
export const eventMessage = (tid: number): number =>
	succeeded("PTRACE_GETEVENTMSG", request(linux.PTRACE_GETEVENTMSG, tid, 0, message)) ? Number(message[0]) : 0;

const SIGSET_SIZE = 8;

/** The blocked signals of a task, one bit each. */
export const readSignalMask = (tid: number, mask: BigUint64Array): boolean =>
	succeeded("PTRACE_GETSIGMASK", request(linux.PTRACE_GETSIGMASK, tid, SIGSET_SIZE, mask));

export const writeSignalMask = (tid: number, mask: BigUint64Array): boolean =>
	succeeded("PTRACE_SETSIGMASK", request(linux.PTRACE_SETSIGMASK, tid, SIGSET_SIZE, mask));
