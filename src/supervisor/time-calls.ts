/**
 * The system calls of the run that mean the wall clock: each seccomp stop goes to what answers it.
 *
 *     reads     answered here, the kernel is left out            clock-reads.ts
 *     sets      change the clock of the run, never the host's    clock-sets.ts
 *     waits     go to the kernel with the host's deadline        deadlines.ts
 *
 * Calls of the host's own vDSO (its functions fall back to system calls where they cannot read a clock themselves) pass as they
 * are: the image transforms what they return.
 */
import { hostVdsoRange } from "../linux/maps.ts";
import { readRegisters, resume } from "../linux/ptrace.ts";
import { Registers } from "../linux/registers.ts";
import type { Image } from "../vdso/image.ts";
import { type Architecture, DEADLINE_ARGUMENT, TIME_CALLS, type TimeCall } from "../syscalls/time-calls.ts";
import { isInVsyscallPage } from "../vsyscall/page.ts";
import { answerRead, WallReadings } from "./clock-reads.ts";
import { answerSet } from "./clock-sets.ts";
import { Deadlines } from "./deadlines.ts";
import { FollowedCalls } from "./followed-calls.ts";
import { imageAddress } from "./image-address.ts";
import type { RunClock } from "./run-clock.ts";
import { StoppedCall } from "./stopped-call.ts";

export interface TimeCallOptions {
	readonly clock: RunClock;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
	readonly image: Image;
	readonly processOf: (tid: number) => number;
}

/** Addresses from `start` up to, not including, `end`. */
interface Range {
	readonly start: bigint;
	readonly end: bigint;
}

/** What is known of a process. */
interface Process {
	/** Runs in real time: nothing of it is transformed, but it cannot set the host's clock. */
	readonly isCovered: boolean;
	/** The code whose system calls read the host's clock on purpose. */
	readonly hostCode: Range | undefined;
}

const EFAULT = -14n;

const CALLS: Readonly<Record<Architecture, ReadonlyMap<number, TimeCall>>> = {
	"x86-64": new Map(TIME_CALLS["x86-64"].map((call) => [call.number, call])),
	i386: new Map(TIME_CALLS.i386.map((call) => [call.number, call])),
};

export class TimeCalls {
	readonly #options: TimeCallOptions;
	readonly #readings: WallReadings;
	readonly #deadlines: Deadlines;
	readonly #followed = new FollowedCalls();
	readonly #processes = new Map<number, Process>();
	readonly #registers = new Registers();

	constructor(options: TimeCallOptions) {
		this.#options = options;
		this.#readings = new WallReadings(options.clock, options.taiSeconds);
		this.#deadlines = new Deadlines(options.clock, this.#readings);
		options.clock.onStep(() => this.#followed.restartWaits());
	}

	exec(tid: number): void {
		this.#followed.ended(tid);
		this.#processes.delete(tid);
	}

	/** A process that could not be covered and runs in real time. */
	uncovered(tid: number): void {
		this.#processes.set(tid, { isCovered: false, hostCode: undefined });
	}

	forked(parent: number, child: number): void {
		const process = this.#processes.get(this.#options.processOf(parent));
		if (process !== undefined) this.#processes.set(child, process);
	}

	ended(tid: number): void {
		this.#followed.ended(tid);
		this.#processes.delete(tid);
	}

	/** A stop by the filter. Resumes the task. */
	seccompStop(tid: number, architecture: Architecture): void {
		if (!readRegisters(tid, this.#registers)) return;
		const call = CALLS[architecture].get(Number(BigInt.asIntN(32, this.#registers.get("orig_rax"))));
		// Another stop than ours: the filter of an outer tracer's making, or a number that was changed.
		if (call === undefined) resume(tid, 0);
		else this.#dispatch(new StoppedCall(tid, architecture, call, this.#registers));
	}

	/** A syscall-stop. @returns whether it was the exit of a call that is followed; then the task has been resumed */
	syscallStop(tid: number): boolean {
		return this.#followed.syscallStop(tid);
	}

	#dispatch(stopped: StoppedCall): void {
		const { tid } = stopped;
		const process = this.#processOf(tid);
		const result = this.#answer(stopped, process);
		if (result !== undefined) {
			stopped.skip(result);
			resume(tid, 0);
			return;
		}
		if (process.isCovered && stopped.call.name in DEADLINE_ARGUMENT) {
			return this.#deadlines.wait(
				new StoppedCall(tid, stopped.architecture, stopped.call, stopped.registers.copy()),
				this.#followed,
			);
		}
		resume(tid, 0);
	}

	/** What a read or a set returns; undefined for a call that the kernel is to see. */
	#answer(stopped: StoppedCall, process: Process): bigint | undefined {
		const set = answerSet(stopped, { clock: this.#options.clock, readings: this.#readings });
		if (set !== undefined) return set;
		if (!process.isCovered || this.#options.clock.current.kind === "host") return undefined;
		const rip = stopped.registers.get("rip");
		if (isWithin(process.hostCode, rip)) return undefined;
		const result = answerRead(stopped, this.#readings);
		// At the vsyscall page a bad pointer is a fault, which the host raises when it meets the pointer itself.
		return result === EFAULT && isInVsyscallPage(rip) ? undefined : result;
	}

	#processOf(tid: number): Process {
		const id = this.#options.processOf(tid);
		let process = this.#processes.get(id);
		if (process === undefined) {
			process = { isCovered: true, hostCode: hostVdsoRange(tid) ?? this.#ownImage(tid) };
			this.#processes.set(id, process);
		}
		return process;
	}

	/** On a host without a vDSO the image makes the system calls. */
	#ownImage(tid: number): Range | undefined {
		const start = imageAddress(tid, this.#options.image);
		return start === undefined ? undefined : { start, end: start + BigInt(this.#options.image.bytes.length) };
	}
}

const isWithin = (range: Range | undefined, address: bigint): boolean =>
	range !== undefined && address >= range.start && address < range.end;
