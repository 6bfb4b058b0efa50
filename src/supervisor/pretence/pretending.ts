/** The calls of a pretence: each seccomp stop goes to what answers it. */
import { resume } from "../../linux/ptrace.ts";
import type { Pretence } from "../../syscalls/pretence.ts";
import { type PretendedCall, pretendedRules } from "../../syscalls/pretended-calls.ts";
import type { Architecture } from "../../syscalls/time-calls.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";
import { answerOwnPid, nameRealPid } from "./own-pid.ts";
import { FileTimes, type FileTimesOptions } from "./file-times.ts";

export interface PretendingOptions extends FileTimesOptions {
	readonly pretence: Pretence;
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
	readonly #calls: Readonly<Record<Architecture, ReadonlyMap<number, PretendedCall>>>;
	readonly #fileTimes: FileTimes;
	readonly #options: PretendingOptions;

	constructor(options: PretendingOptions) {
		const { pretence } = options;
		this.#options = options;
		this.#calls = { "x86-64": callsOf("x86-64", pretence), i386: callsOf("i386", pretence) };
		this.#fileTimes = new FileTimes(options);
	}

	/** A call that the filter has stopped. The task is resumed. */
	stopped(stopped: StoppedCall, { isCovered, process }: Caller): void {
		const number = Number(BigInt.asIntN(32, stopped.registers.get("orig_rax")));
		const call = this.#calls[stopped.architecture].get(number);
		switch (call?.kind) {
			case "file times":
				if (isCovered) return this.#fileTimes.stopped(stopped, call);
				break;
			case "own pid":
				return answerOwnPid(stopped, call);
			case "pid":
				return nameRealPid(stopped, { call, process, calls: this.#options.calls });
			case undefined:
				break;
		}
		resume(stopped.tid, 0);
	}
}
