/**
 * The system calls of the run that mean the wall clock: each seccomp stop goes to what answers it.
 *
 *     reads     answered here, the kernel is left out            clock-reads.ts
 *     sets      change the clock of the run, never the host's    clock-sets.ts
 *     waits     go to the kernel with the host's deadline        deadlines.ts
 *     timers    are armed with the host's time                   timers.ts
 *
 * When the clock is changed, waits start over and timers are armed anew.
 *
 * Calls of the host's own vDSO (its functions fall back to system calls where they cannot read a clock themselves) pass as they
 * are: the image transforms what they return.
 */
import type { WallClock } from "../clock/clock.ts";
import { hostVdsoRange } from "../linux/maps.ts";
import { interrupt, readRegisters, resume, writeRegisters } from "../linux/ptrace.ts";
import { Registers } from "../linux/registers.ts";
import { readMemory, writeMemory } from "../linux/remote-memory.ts";
import type { Image } from "../vdso/image.ts";
import { type Architecture, DEADLINE_ARGUMENT, TIME_CALLS, type TimeCall } from "../syscalls/time-calls.ts";
import { isInVsyscallPage } from "../vsyscall/page.ts";
import { answerRead, WallReadings } from "./clock-reads.ts";
import { answerSet } from "./clock-sets.ts";
import { Deadlines } from "./deadlines.ts";
import { FollowedCalls } from "./followed-calls.ts";
import { imageAddress } from "./image-address.ts";
import type { RunClock } from "./run-clock.ts";
import type { RemoteScript } from "./remote-call.ts";
import { StoppedCall } from "./stopped-call.ts";
import { restartByHand } from "./restart.ts";
import { rearmPosixTimers } from "./timer-script.ts";
import { Timers } from "./timers.ts";
import { watchReads } from "./watch-reads.ts";

export interface TimeCallOptions {
	readonly clock: RunClock;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
	readonly image: Image;
	readonly processOf: (tid: number) => number;
	/** The tasks of a process. */
	readonly threadsOf: (process: number) => readonly number[];
	/** Runs system calls on behalf of a stopped task; then `finished` is called, and must resume it. */
	readonly callRemotely: (tid: number, instruction: bigint, script: RemoteScript<void>, finished: () => void) => void;
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
const READ: TimeCall = { name: "read", number: 0, layout: "64" };
const RED_ZONE = 128n;
/** What the scripts need: an itimerspec, or a sock_fprog with its filter. */
const SCRATCH_SIZE = 256;

const CALLS: Readonly<Record<Architecture, ReadonlyMap<number, TimeCall>>> = {
	"x86-64": new Map(TIME_CALLS["x86-64"].map((call) => [call.number, call])),
	i386: new Map(TIME_CALLS.i386.map((call) => [call.number, call])),
};

export class TimeCalls {
	readonly #options: TimeCallOptions;
	readonly #readings: WallReadings;
	readonly #deadlines: Deadlines;
	readonly #followed = new FollowedCalls();
	readonly #timers: Timers;
	readonly #processes = new Map<number, Process>();
	/** Tasks that are to arm the POSIX timers of their process anew at their next stop, with the clock that was there before. */
	readonly #rearming = new Map<number, { readonly process: number; readonly before: WallClock }>();

	constructor(options: TimeCallOptions) {
		this.#options = options;
		this.#readings = new WallReadings(options.clock, options.taiSeconds);
		this.#deadlines = new Deadlines(options.clock, this.#readings);
		this.#timers = new Timers({
			deadlines: this.#deadlines,
			readings: this.#readings,
			calls: this.#followed,
			clock: () => options.clock.current,
			rearmPosix: (process, before) => this.#rearm(process, before),
			watchReads: (tid, descriptor) => this.#watchReads(tid, descriptor),
		});
		options.clock.onStep((before) => {
			this.#followed.restartWaits();
			for (const process of this.#timers.step(before)) this.#rearm(process, before);
		});
	}

	exec(tid: number): void {
		this.#followed.ended(tid);
		this.#rearming.delete(tid);
		this.#timers.exec(tid);
		this.#processes.delete(tid);
	}

	/** A process that could not be covered and runs in real time. */
	uncovered(tid: number): void {
		this.#processes.set(tid, { isCovered: false, hostCode: undefined });
	}

	forked(parent: number, child: number): void {
		const id = this.#options.processOf(parent);
		this.#timers.forked(id, child);
		const process = this.#processes.get(id);
		if (process !== undefined) this.#processes.set(child, process);
	}

	ended(tid: number): void {
		this.#followed.ended(tid);
		this.#timers.ended(tid);
		this.#processes.delete(tid);
		const rearming = this.#rearming.get(tid);
		this.#rearming.delete(tid);
		if (rearming !== undefined) this.#rearm(rearming.process, rearming.before);
	}

	/** A stop by the filter. Resumes the task. */
	seccompStop(tid: number, architecture: Architecture): void {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return;
		const call = CALLS[architecture].get(Number(BigInt.asIntN(32, registers.get("orig_rax"))));
		// Another stop than ours: the filter of an outer tracer's making, or a number that was changed.
		if (call === undefined) resume(tid, 0);
		else this.#dispatch(new StoppedCall(tid, architecture, call, registers));
	}

	/** A read of a descriptor that is watched. Resumes the task. */
	readStop(tid: number): void {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return;
		const stopped = new StoppedCall(tid, "x86-64", READ, registers);
		this.#timers.stopped(stopped, this.#options.processOf(tid));
	}

	/** A syscall-stop. @returns whether it was the exit of a call that is followed; then the task has been resumed */
	syscallStop(tid: number): boolean {
		return this.#followed.syscallStop(tid);
	}

	/**
	 * A stop of another kind than PTRACE_EVENT_STOP. It has taken the place of the one that was asked for ("any trap clears pending
	 * STOP trap", ptrace_stop in kernel/signal.c, v6.18), so that is asked for again.
	 */
	otherStop(tid: number): void {
		if (this.#rearming.has(tid)) interrupt(tid);
	}

	/** A PTRACE_EVENT_STOP. @returns whether the task has something to do for its process; then it will be resumed */
	eventStop(tid: number): boolean {
		const registers = new Registers();
		if (!this.#rearming.has(tid) || !readRegisters(tid, registers)) return false;
		restartByHand(registers);
		return this.#rearmTimers(tid, registers);
	}

	/** @param registers with which the task goes on afterwards */
	#rearmTimers(tid: number, registers: Registers): boolean {
		const rearming = this.#rearming.get(tid);
		this.#rearming.delete(tid);
		if (rearming === undefined) return false;
		const { process, before } = rearming;
		const setup = { timers: this.#timers.posix(process), deadlines: this.#deadlines, before };
		return this.#callRemotely(tid, registers, (scratch) => rearmPosixTimers(tid, scratch, setup));
	}

	/** Lets reads of a descriptor stop from now on, by calls in a task that is at the exit of another, which has succeeded. */
	#watchReads(tid: number, descriptor: number): boolean {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return false;
		registers.set("orig_rax", -1n);
		return this.#callRemotely(tid, registers, (scratch) => watchReads(tid, descriptor, scratch));
	}

	/**
	 * Runs a script on behalf of a stopped task, which then goes on.
	 *
	 * @param registers with which it goes on
	 * @param make given the address of SCRATCH_SIZE bytes of memory
	 * @returns false when it cannot be run: the task is as it was
	 */
	#callRemotely(tid: number, registers: Registers, make: (scratch: bigint) => RemoteScript<void>): boolean {
		const { image, callRemotely } = this.#options;
		const address = imageAddress(tid, image);
		const scratch = (registers.get("rsp") - RED_ZONE - BigInt(SCRATCH_SIZE)) & ~15n;
		// A small stack (a goroutine's) may end before that: what stands there comes back.
		const overwritten = new Uint8Array(SCRATCH_SIZE);
		if (address === undefined || readMemory(tid, scratch, overwritten) !== SCRATCH_SIZE) return false;
		callRemotely(tid, address + BigInt(image.syscallOffset), make(scratch), () => {
			writeMemory(tid, scratch, overwritten);
			// The clock has been changed meanwhile: the stop that was asked for then has been taken for one of the calls.
			if (this.#rearmTimers(tid, registers)) return;
			writeRegisters(tid, registers);
			resume(tid, 0);
		});
		return true;
	}

	/** Lets a task of a process arm its POSIX timers anew. */
	#rearm(process: number, before: WallClock): void {
		for (const { process: asked } of this.#rearming.values()) if (asked === process) return;
		const [tid] = this.#options.threadsOf(process);
		if (tid === undefined) return;
		this.#rearming.set(tid, { process, before });
		interrupt(tid);
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
		if (!process.isCovered) resume(tid, 0);
		else if (stopped.call.name in DEADLINE_ARGUMENT) this.#deadlines.wait(stopped, this.#followed);
		else if (!this.#timers.stopped(stopped, this.#options.processOf(tid))) resume(tid, 0);
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
