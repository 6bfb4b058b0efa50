/**
 * System calls that go to the kernel with another structure than the program gave, and are followed to their end.
 *
 *     seccomp stop   the structure is written below the red zone of the thread's stack, the argument points there
 *     (the call)     the kernel reads it at its start; a wait then waits
 *     syscall exit   the argument is what it was; the thread goes on
 *
 * The exit comes before any signal is delivered and before an interrupted call is restarted, so both a handler and the restart see
 * the registers of the program. A restart traps again and is converted anew, also after a change of the clock. Only
 * restart_syscall(2) would go on with the old deadline, so -ERESTART_RESTARTBLOCK becomes -ERESTARTNOHAND: that is the same to a
 * handler (EINTR), and without one the call is made again from the start, which for an absolute deadline changes nothing.
 */
import { interrupt, resume, resumeToSyscall, writeRegisters } from "../../linux/ptrace.ts";
import { scratchBelow } from "./scratch-call.ts";
import type { StoppedCall } from "./stopped-call.ts";

/** include/linux/errno.h */
const ERESTARTNOHAND = 514n;
const ERESTART_RESTARTBLOCK = 516n;

/** Room for the largest structure, an itimerspec of 32 bytes. */
const SCRATCH_SIZE = 64;
const LOW_4_GIB = 1n << 32n;

/** What stands elsewhere for the time of a call. */
interface Substitution {
	readonly argument: number;
	readonly value: bigint;
	/** The program's own bytes, where they had to be overwritten. */
	readonly overwritten: { readonly address: bigint; readonly bytes: Uint8Array } | undefined;
}

export interface Followed {
	/** Waits until a deadline: has to start over when the clock has been changed. */
	readonly isWait: boolean;
	/** Another structure for the one at an argument. */
	readonly instead?: { readonly argument: number; readonly bytes: Uint8Array };
	/** Called at the exit, before the thread goes on. @returns "taken" when it will be resumed by somebody else */
	readonly finished?: (result: bigint, stopped: StoppedCall) => "taken" | undefined;
}

export class FollowedCalls {
	readonly #calls = new Map<
		number,
		{ stopped: StoppedCall; followed: Followed; substitution: Substitution | undefined }
	>();

	/** Lets a call go to the kernel. The task is resumed. */
	follow(stopped: StoppedCall, followed: Followed): void {
		const { tid, registers } = stopped;
		const { instead } = followed;
		const substitution = instead === undefined ? undefined : substitute(stopped, instead.argument, instead.bytes);
		this.#calls.set(tid, { stopped, followed, substitution });
		if (substitution !== undefined) writeRegisters(tid, registers);
		resumeToSyscall(tid);
	}

	/** A syscall-stop. @returns whether it was the exit of a call that is followed; then the task has been resumed */
	syscallStop(tid: number): boolean {
		const call = this.#calls.get(tid);
		if (call === undefined) return false;
		this.#calls.delete(tid);
		const { stopped, followed, substitution } = call;
		if (!stopped.refresh()) return true;
		const result = BigInt.asIntN(32, stopped.registers.get("rax"));
		const hasStaleRestart = result === -ERESTART_RESTARTBLOCK;
		if (hasStaleRestart) stopped.registers.set("rax", -ERESTARTNOHAND);
		if (substitution !== undefined) stopped.setRaw(substitution.argument, substitution.value);
		if (hasStaleRestart || substitution !== undefined) writeRegisters(tid, stopped.registers);
		const overwritten = substitution?.overwritten;
		if (overwritten !== undefined) stopped.write(overwritten.address, overwritten.bytes);
		if (followed.finished?.(result, stopped) !== "taken") resume(tid, 0);
		return true;
	}

	/** Makes every wait start over, since the clock has been changed. */
	restartWaits(): void {
		for (const [tid, { followed }] of this.#calls) if (followed.isWait) interrupt(tid);
	}

	ended(tid: number): void {
		this.#calls.delete(tid);
	}
}

/** Lets an argument point to other bytes. @returns undefined when they can be written nowhere: the call stays as it is */
const substitute = (stopped: StoppedCall, argument: number, bytes: Uint8Array): Substitution | undefined => {
	const value = stopped.raw(argument);
	const scratch = scratchBelow(stopped.registers.get("rsp"), SCRATCH_SIZE);
	// A 64-bit task that issues int 0x80 can say no address above 4 GiB, where its stack is.
	const isInReach = stopped.architecture === "x86-64" || scratch < LOW_4_GIB;
	if (isInReach && stopped.write(scratch, bytes)) {
		stopped.setRaw(argument, scratch);
		return { argument, value, overwritten: undefined };
	}
	const address = stopped.argument(argument);
	const overwritten = stopped.read(address, bytes.length);
	if (overwritten === undefined || !stopped.write(address, bytes)) return undefined;
	return { argument, value, overwritten: { address, bytes: overwritten } };
};
