/**
 * Which task arms the POSIX timers of its process anew after a change of the clock, and when: at its next PTRACE_EVENT_STOP, which is
 * asked for.
 *
 * Any other trap takes the place of such a stop ("any trap clears pending STOP trap", ptrace_stop in kernel/signal.c, v6.18), so it is
 * asked for again there.
 */
import type { WallClock } from "../../clock/clock.ts";
import { interrupt, readRegisters } from "../../linux/ptrace.ts";
import { Registers } from "../../linux/registers.ts";
import { callArchitecture } from "../../linux/system-call.ts";
import type { RemoteScript } from "../remote-call.ts";
import { restartByHand } from "./restart.ts";
import type { ScratchCaller, ScratchPlace } from "./scratch-call.ts";

export interface TimerRearmingOptions {
	readonly caller: ScratchCaller;
	/** The tasks of a process. */
	readonly threadsOf: (process: number) => readonly number[];
	/** The calls that a task makes for its process. */
	readonly script: (
		tid: number,
		place: ScratchPlace,
		request: { readonly process: number; readonly before: WallClock },
	) => RemoteScript<void>;
}

export class TimerRearming {
	readonly #options: TimerRearmingOptions;
	/** By task: for which process, and the clock that was there before. */
	readonly #requests = new Map<number, { readonly process: number; readonly before: WallClock }>();

	constructor(options: TimerRearmingOptions) {
		this.#options = options;
	}

	/** Lets a task of a process arm its timers anew. */
	request(process: number, before: WallClock): void {
		for (const { process: asked } of this.#requests.values()) if (asked === process) return;
		const [tid] = this.#options.threadsOf(process);
		if (tid === undefined) return;
		this.#requests.set(tid, { process, before });
		interrupt(tid);
	}

	exec(tid: number): void {
		this.#requests.delete(tid);
	}

	ended(tid: number): void {
		const request = this.#requests.get(tid);
		this.#requests.delete(tid);
		if (request !== undefined) this.request(request.process, request.before);
	}

	/** A PTRACE_EVENT_STOP of a task is waited for. */
	isAwaited(tid: number): boolean {
		return this.#requests.has(tid);
	}

	/** A PTRACE_EVENT_STOP. @returns whether the task has something to do for its process; then it will be resumed */
	eventStop(tid: number): boolean {
		const registers = new Registers();
		if (!this.#requests.has(tid) || !readRegisters(tid, registers)) return false;
		restartByHand(registers, callArchitecture(tid, registers));
		return this.#run(tid, registers);
	}

	#run(tid: number, registers: Registers): boolean {
		const request = this.#requests.get(tid);
		this.#requests.delete(tid);
		if (request === undefined) return false;
		return this.#options.caller.run({
			tid,
			registers,
			script: (place) => this.#options.script(tid, place, request),
			// The clock may have been changed meanwhile: the stop that was asked for then was taken for one of the calls.
			finished: () => this.#run(tid, registers),
		});
	}
}
