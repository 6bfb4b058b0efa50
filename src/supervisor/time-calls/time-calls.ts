/**
 * The system calls of the run that mean the wall clock: each seccomp stop goes to what answers it.
 *
 *     reads     answered here, the kernel is left out            clock-reads.ts
 *     sets      change the clock of the run, never the host's    clock-sets.ts
 *     waits     go to the kernel with the host's deadline        deadlines.ts
 *     timers    are armed with the host's time                   timers.ts
 *     io_uring  is submitted with the host's time                ../io-uring
 *     pretence  what programs are told beside the time           ../pretence
 *
 * When the clock is changed, waits start over and timers are armed anew.
 *
 * Calls of the host's own vDSO (its functions fall back to system calls where they cannot read a clock themselves) pass as they
 * are: the image transforms what they return.
 */
import { type AddressRange, hostVdsoRange } from "../../linux/maps.ts";
import { readRegisters, resume } from "../../linux/ptrace.ts";
import { Registers } from "../../linux/registers.ts";
import { callerAddress } from "../../linux/system-call.ts";
import { type Architecture, DEADLINE_ARGUMENT, TIME_CALLS, type TimeCall } from "../../syscalls/time-calls.ts";
import type { IoUringWay } from "../../syscalls/io-uring-way.ts";
import type { Pretence } from "../../syscalls/pretence.ts";
import { isInVsyscallPage } from "../../vsyscall/page.ts";
import { IoUring } from "../io-uring/io-uring.ts";
import { Pretending } from "../pretence/pretending.ts";
import { programName } from "../process-facts.ts";
import { answerRead, WallReadings } from "./clock-reads.ts";
import { answerSet } from "./clock-sets.ts";
import { Deadlines } from "./deadlines.ts";
import { FollowedCalls } from "./followed-calls.ts";
import type { InstalledImage } from "../install/kits.ts";
import type { Observer } from "../observation/observer.ts";
import type { RunClock } from "../run-clock.ts";
import { StoppedCall } from "./stopped-call.ts";
import type { CallRemotely } from "../remote-call.ts";
import { ScratchCaller } from "./scratch-call.ts";
import { TimerRearming } from "./timer-rearming.ts";
import { rearmPosixTimers } from "./timer-script.ts";
import { Timers } from "./timers.ts";
import { watchReads } from "./watch-reads.ts";

export interface TimeCallOptions {
	readonly clock: RunClock;
	/** TAI minus UTC of the host in seconds. */
	readonly taiSeconds: bigint;
	/** The image of ours that a process has. */
	readonly installedIn: (tid: number) => InstalledImage | undefined;
	readonly processOf: (tid: number) => number;
	/** The tasks of a process. */
	readonly threadsOf: (process: number) => readonly number[];
	readonly callRemotely: CallRemotely;
	/** What becomes of the calls of io_uring. */
	readonly ioUring: IoUringWay;
	/** What programs are told beside the time. @default undefined: nothing but the truth */
	readonly pretence?: Pretence | undefined;
	/** One line for the user. */
	readonly report: (message: string) => void;
	/** Told of every call of the program. */
	readonly observer?: Pick<Observer, "systemCall"> | undefined;
}

/** What is known of a process. */
interface Process {
	/** Runs in real time: nothing of it is transformed, but it cannot set the host's clock. */
	readonly isCovered: boolean;
	/** The code whose system calls read the host's clock on purpose. */
	readonly hostCode: AddressRange | undefined;
	/** It has been said that its memory is out of reach. */
	readonly isClosed?: boolean;
}

const EFAULT = -14n;
/** What is read is no time: number and layout do not matter. */
const READ: TimeCall = { name: "read", number: 0, layout: "64" };

/** What is read is the time of a request. */
const IO_URING: Readonly<Record<Architecture, TimeCall>> = {
	"x86-64": { name: "io_uring", number: 0, layout: "64" },
	i386: { name: "io_uring", number: 0, layout: "64 on i386" },
};

const PRETENDED: TimeCall = { name: "pretended", number: 0, layout: "64" };

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
	/** undefined where rings are the host's business. */
	readonly #ioUring: IoUring | undefined;
	readonly #pretending: Pretending | undefined;
	readonly #processes = new Map<number, Process>();
	readonly #caller: ScratchCaller;
	readonly #rearming: TimerRearming;

	constructor(options: TimeCallOptions) {
		this.#options = options;
		this.#readings = new WallReadings(options.clock, options.taiSeconds);
		this.#deadlines = new Deadlines(options.clock, this.#readings);
		this.#caller = new ScratchCaller(options.installedIn, options.callRemotely);
		this.#rearming = new TimerRearming({
			caller: this.#caller,
			threadsOf: options.threadsOf,
			script: (tid, { scratch }, { process, before }) =>
				rearmPosixTimers(tid, scratch, { timers: this.#timers.posix(process), deadlines: this.#deadlines, before }),
		});
		this.#timers = new Timers({
			deadlines: this.#deadlines,
			readings: this.#readings,
			calls: this.#followed,
			clock: () => options.clock.current,
			rearmPosix: (process, before) => this.#rearming.request(process, before),
			watchReads: (tid, descriptor) => this.#watchReads(tid, descriptor),
		});
		const { ioUring: way, pretence } = options;
		if (pretence !== undefined) this.#pretending = new Pretending({ ...options, pretence, calls: this.#followed });
		if (way !== "host") {
			this.#ioUring = new IoUring({ ...options, way, deadlines: this.#deadlines, calls: this.#followed });
		}
		options.clock.onStep((before) => {
			this.#ioUring?.step();
			this.#followed.restartWaits();
			for (const process of this.#timers.step(before)) this.#rearming.request(process, before);
		});
	}

	exec(tid: number): void {
		this.#followed.ended(tid);
		this.#rearming.exec(tid);
		this.#timers.exec(tid);
		this.#ioUring?.exec(tid);
		this.#pretending?.exec(tid);
		this.#processes.delete(tid);
	}

	/** A process that is not covered and runs in real time. */
	uncovered(tid: number): void {
		this.#processes.set(tid, { isCovered: false, hostCode: undefined });
	}

	forked(parent: number, child: number): void {
		const id = this.#options.processOf(parent);
		this.#timers.forked(id, child);
		this.#pretending?.forked(id, child);
		const process = this.#processes.get(id);
		if (process !== undefined) this.#processes.set(child, process);
	}

	ended(tid: number): void {
		this.#followed.ended(tid);
		this.#timers.ended(tid);
		this.#ioUring?.ended(tid);
		this.#pretending?.ended(tid);
		this.#processes.delete(tid);
		this.#rearming.ended(tid);
	}

	/** A stop by the filter. Resumes the task. */
	seccompStop(tid: number, architecture: Architecture): void {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return;
		const call = CALLS[architecture].get(Number(BigInt.asIntN(32, registers.get("orig_rax"))));
		// A filter of the program's own can stop other calls and say the same.
		if (call === undefined) resume(tid, 0);
		else this.#dispatch(new StoppedCall(tid, architecture, call, registers));
	}

	/** A read of a descriptor that is watched. Resumes the task. */
	readStop(tid: number, architecture: Architecture): void {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return;
		const stopped = new StoppedCall(tid, architecture, READ, registers);
		this.#timers.stopped(stopped, this.#options.processOf(tid));
	}

	/** A call of io_uring. Resumes the task. */
	ioUringStop(tid: number, architecture: Architecture): void {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return;
		const stopped = new StoppedCall(tid, architecture, IO_URING[architecture], registers);
		// A run around this one has the call stopped, too; or nothing of the process is transformed.
		if (this.#ioUring === undefined || !this.#processOf(tid).isCovered) resume(tid, 0);
		else this.#ioUring.stopped(stopped, this.#options.processOf(tid));
		if (stopped.isClosed()) this.#reportClosed(tid);
	}

	/** A call of a pretence. Resumes the task. */
	pretendedStop(tid: number, architecture: Architecture): void {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return;
		const stopped = new StoppedCall(tid, architecture, PRETENDED, registers);
		// Without one, it is that of a run around this one, which does not see our programs.
		if (this.#pretending === undefined) resume(tid, 0);
		else {
			const { isCovered } = this.#processOf(tid);
			this.#pretending.stopped(stopped, { process: this.#options.processOf(tid), isCovered });
		}
	}

	/** A syscall-stop. @returns whether it was the exit of a call that is followed; then the task has been resumed */
	syscallStop(tid: number): boolean {
		return this.#followed.syscallStop(tid);
	}

	/** A PTRACE_EVENT_STOP of a task is waited for. */
	isAwaited(tid: number): boolean {
		return this.#rearming.isAwaited(tid);
	}

	/** A PTRACE_EVENT_STOP. @returns whether the task has something to do for its process; then it will be resumed */
	eventStop(tid: number): boolean {
		return this.#rearming.eventStop(tid);
	}

	/** Lets reads of a descriptor stop from now on, by calls in a task that is at the exit of another, which has succeeded. */
	#watchReads(tid: number, descriptor: number): boolean {
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return false;
		registers.set("orig_rax", -1n);
		return this.#caller.run({ tid, registers, script: (place) => watchReads(tid, descriptor, place) });
	}

	#dispatch(stopped: StoppedCall): void {
		const { tid } = stopped;
		const process = this.#processOf(tid);
		const result = this.#answer(stopped, process);
		const { observer } = this.#options;
		if (observer !== undefined && !isOfHost(stopped, process)) {
			observer.systemCall(stopped, this.#options.processOf(tid), result);
		}
		if (stopped.isClosed()) return this.#closed(tid);
		if (result !== undefined) {
			stopped.skip(result);
			resume(tid, 0);
			return;
		}
		if (!process.isCovered) resume(tid, 0);
		else if (stopped.call.name in DEADLINE_ARGUMENT) this.#deadlines.wait(stopped, this.#followed);
		else if (!this.#timers.stopped(stopped, this.#options.processOf(tid))) resume(tid, 0);
		if (stopped.isClosed()) this.#reportClosed(tid);
	}

	/** The kernel answers, where nothing can be stored. */
	#closed(tid: number): void {
		this.#reportClosed(tid);
		resume(tid, 0);
	}

	/** Once for a process. */
	#reportClosed(tid: number): void {
		const id = this.#options.processOf(tid);
		const process = this.#processOf(tid);
		if (process.isClosed === true || !this.#options.clock.isAsked) return;
		this.#processes.set(id, { ...process, isClosed: true });
		this.#options.report(
			`${programName(tid)} (pid ${id}) has closed its memory to other processes (PR_SET_DUMPABLE): the system calls by which it asks or waits for the time get the host's (the vDSO does not; run vsyscall as root to cover them)`,
		);
	}

	/** What a read or a set returns; undefined for a call that the kernel is to see. */
	#answer(stopped: StoppedCall, process: Process): bigint | undefined {
		const set = answerSet(stopped, { clock: this.#options.clock, readings: this.#readings });
		if (set !== undefined) return set;
		if (!process.isCovered || !this.#options.clock.isAsked) return undefined;
		if (isOfHost(stopped, process)) return undefined;
		const result = answerRead(stopped, this.#readings);
		// At the vsyscall page a bad pointer is a fault, which the host raises when it meets the pointer itself.
		return result === EFAULT && isInVsyscallPage(stopped.registers.get("rip")) ? undefined : result;
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
	#ownImage(tid: number): AddressRange | undefined {
		const installed = this.#options.installedIn(tid);
		if (installed === undefined) return undefined;
		const { address, kit } = installed;
		return { start: address, end: address + BigInt(kit.image.bytes.length) };
	}
}

/** Whether the host's own code makes the call. Every fast call of a 32-bit program stands there, too, on behalf of another. */
const isOfHost = ({ tid, registers }: StoppedCall, { hostCode }: Process): boolean =>
	isWithin(hostCode, registers.get("rip")) && isWithin(hostCode, callerAddress(tid, registers));

const isWithin = (range: AddressRange | undefined, address: bigint): boolean =>
	range !== undefined && address >= range.start && address < range.end;
