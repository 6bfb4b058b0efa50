/**
 * Tasks made with CLONE_UNTRACED: by which a program looks at itself from outside. LeakSanitizer and Breakpad make one that shares
 * their memory, and it attaches to the threads of the process that made it.
 *
 * The flag is meant to spare such a task the tracer of its maker. Here it would leave the task with our filter and nobody who answers
 * it: its ptrace(2) is ENOSYS, and the leak check a fatal error. So the call is made without the flag, and the argument put back:
 *
 *     seccomp stop      the flag is taken out of rdi, and the key put into its upper half, which the kernel does not look at
 *     (fork, clone)     the event of every task that is made
 *     exit              rdi of the caller as it was
 *     first stop        of the new task: by the key it is known, and its rdi is as the caller's
 *
 * Flags of clone3(2) stand in memory and are not seen.
 */
import { CLONE_UNTRACED } from "../linux/constants.ts";
import { readStatusField } from "../linux/proc-file.ts";
import { readRegisters, resume, resumeToSyscall, writeRegisters } from "../linux/ptrace.ts";
import { Registers } from "../linux/registers.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";

const FLAG = BigInt(CLONE_UNTRACED);
const UPPER_HALF = 32n;

export class UntracedClones {
	readonly #registers = new Registers();
	/** What callers had in rdi, until their calls are over. */
	readonly #flags = new Map<number, bigint>();
	/** The tasks that were made, until they execute another program. */
	readonly #made = new Set<number>();
	#hasSeenOne = false;

	/** A clone(2) with the flag, which the filter has stopped. Resumes the task. */
	seccompStop(tid: number): void {
		if (!readRegisters(tid, this.#registers)) return;
		const flags = this.#registers.get("rdi");
		this.#registers.set("rdi", BigInt.asUintN(32, flags & ~FLAG) | (BigInt(SYSCALL_KEY) << UPPER_HALF));
		if (!writeRegisters(tid, this.#registers)) return;
		this.#flags.set(tid, flags);
		this.#hasSeenOne = true;
		resumeToSyscall(tid);
	}

	/** Whether a task is in such a call. */
	isCalling(tid: number): boolean {
		return this.#flags.has(tid);
	}

	/** A syscall-stop. @returns whether it was the exit of such a call; then the task has been resumed */
	syscallStop(tid: number): boolean {
		const flags = this.#flags.get(tid);
		if (flags === undefined) return false;
		this.#flags.delete(tid);
		if (!readRegisters(tid, this.#registers)) return true;
		this.#registers.set("rdi", flags);
		writeRegisters(tid, this.#registers);
		resume(tid, 0);
		return true;
	}

	/** A PTRACE_EVENT_STOP, which may be the first stop of a new task. */
	eventStop(tid: number): void {
		if (!this.#hasSeenOne || !readRegisters(tid, this.#registers)) return;
		const flags = this.#registers.get("rdi");
		if (this.#flags.has(tid) || flags >> UPPER_HALF !== BigInt(SYSCALL_KEY)) return;
		this.#registers.set("rdi", BigInt.asUintN(32, flags) | FLAG);
		writeRegisters(tid, this.#registers);
		this.#made.add(tid);
	}

	/** Whether a task was made by this process, to look at it. */
	isWatching(tid: number, process: number): boolean {
		return this.#made.has(tid) && Number(readStatusField(tid, "PPid") ?? 0) === process;
	}

	/** A task has ended, or executes another program. */
	forget(tid: number): void {
		this.#flags.delete(tid);
		this.#made.delete(tid);
	}
}
