/**
 * Processes that have another id by their own account. What getpid says is no process of the kernel's, so where a program gives it to a
 * call, it stands for the caller, whatever process has that id.
 */
import { resume, writeRegisters } from "../../linux/ptrace.ts";
import { readStatusField } from "../../linux/proc-file.ts";
import type { OwnPidCall, PidCall } from "../../syscalls/pretended-calls.ts";
import type { FollowedCalls } from "../time-calls/followed-calls.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";

/** getpid. The task is resumed. */
export const answerOwnPid = (stopped: StoppedCall, { pid }: OwnPidCall): void => {
	stopped.skip(BigInt(pid));
	resume(stopped.tid, 0);
};

export interface NamedPid {
	readonly call: PidCall;
	/** Whose task the caller is. */
	readonly process: number;
	readonly calls: FollowedCalls;
}

/** The id of a process in its own namespace, which is what its calls mean. */
const ownId = (process: number): number => {
	const ids = readStatusField(process, "NStgid");
	return ids === undefined ? process : Number(ids.split("\t").at(-1));
};

/** A call that names the caller by what getpid says: the kernel gets its real id. The task is resumed. */
export const nameRealPid = (stopped: StoppedCall, { call, process, calls }: NamedPid): void => {
	const { tid, registers } = stopped;
	const given = call.arguments.map((index) => [index, stopped.raw(index)] as const);
	const { pid } = call;
	const real = ownId(process);
	for (const [index] of given) {
		const named = stopped.int(index);
		if (named === pid) stopped.setRaw(index, BigInt(real));
		else if (named === -pid && pid !== 1) stopped.setRaw(index, BigInt.asUintN(64, BigInt(-real)));
	}
	writeRegisters(tid, registers);
	calls.follow(stopped, {
		isWait: false,
		// The kernel keeps the registers of arguments, so programs count on that.
		finished: () => {
			for (const [index, value] of given) stopped.setRaw(index, value);
			writeRegisters(tid, registers);
			return undefined;
		},
	});
};
