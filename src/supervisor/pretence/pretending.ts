/** The calls of a pretence: each seccomp stop goes to what answers it. */
import { resume } from "../../linux/ptrace.ts";
import type { Pretence } from "../../syscalls/pretence.ts";
import { type PretendedCall, pretendedRules } from "../../syscalls/pretended-calls.ts";
import type { Architecture } from "../../syscalls/time-calls.ts";
import { programName } from "../process-facts.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";
import { FileTimes, type FileTimesOptions } from "./file-times.ts";
import { answerOwnPid, nameRealPid } from "./own-pid.ts";
import { RandomBytes } from "./random-bytes.ts";

export interface PretendingOptions extends FileTimesOptions {
	readonly pretence: Pretence;
	/** One line for the user. */
	readonly report: (message: string) => void;
}

/** A process whose call was stopped. */
export interface Caller {
	readonly process: number;
	/** It is on the clock. */
	readonly isCovered: boolean;
}

const callsOf = (architecture: Architecture, pretence: Pretence): ReadonlyMap<number, PretendedCall> =>
	new Map(pretendedRules(architecture, pretence).map(({ number, call }) => [number, call]));

export class Pretending {
	readonly #options: PretendingOptions;
	readonly #calls: Readonly<Record<Architecture, ReadonlyMap<number, PretendedCall>>>;
	readonly #fileTimes: FileTimes;
	readonly #random = new RandomBytes();
	/** Processes of which it has been said that their memory is out of reach. */
	readonly #closed = new Set<number>();

	constructor(options: PretendingOptions) {
		const { pretence } = options;
		this.#options = options;
		this.#calls = { "x86-64": callsOf("x86-64", pretence), i386: callsOf("i386", pretence) };
		this.#fileTimes = new FileTimes(options);
	}

	forked(process: number, child: number): void {
		this.#random.forked(process, child);
	}

	exec(tid: number): void {
		this.#random.forget(tid);
		this.#closed.delete(tid);
	}

	ended(tid: number): void {
		this.#random.forget(tid);
		this.#closed.delete(tid);
	}

	/** A call that the filter has stopped. The task is resumed. */
	stopped(stopped: StoppedCall, caller: Caller): void {
		const number = Number(BigInt.asIntN(32, stopped.registers.get("orig_rax")));
		const call = this.#calls[stopped.architecture].get(number);
		if (call === undefined) resume(stopped.tid, 0);
		else this.#answer(stopped, call, caller);
		if (stopped.isClosed()) this.#reportClosed(caller.process);
	}

	#answer(stopped: StoppedCall, call: PretendedCall, { process, isCovered }: Caller): void {
		switch (call.kind) {
			case "file times":
				if (isCovered) this.#fileTimes.stopped(stopped, call);
				else resume(stopped.tid, 0);
				return;
			case "own pid":
				return answerOwnPid(stopped, call);
			case "pid":
				return nameRealPid(stopped, { call, process, calls: this.#options.calls });
			case "random":
				return this.#random.stopped(stopped, { call, process });
		}
	}

	/** Once for a process. */
	#reportClosed(process: number): void {
		if (this.#closed.has(process)) return;
		this.#closed.add(process);
		this.#options.report(
			`${programName(process)} (pid ${process}) has closed its memory to other processes (PR_SET_DUMPABLE): its random bytes come from no seed, and the times that it gives to files are not converted (run vsyscall as root to cover them)`,
		);
	}
}
