/**
 * The tracer's slot: a task has one tracer. It is us, until a program of the run asks for it (gdb, strace, a run inside the run).
 *
 *     TRACEME         the caller is let go at its seccomp stop, and the call runs
 *     ATTACH, SEIZE   the target is interrupted and let go at its stop; the caller stays in its seccomp stop meanwhile. When the
 *                     kernel refuses the call after all, the target is taken back. If the caller is a task that the target's process
 *                     has made to look at itself, the target does not run until it is ours again (parking.ts)
 *     DETACH          the target is taken back, or taken if it was made under the other tracer; also when its tracer ends
 *     CONT, GETEVENTMSG   see foreign-exec.ts
 *
 * A task that is let go keeps its clock, which is a page, and our filter: the calls that the filter stops are ENOSYS for it, since
 * nobody answers (seccomp(2), SECCOMP_RET_TRACE). Targets are known by their ids in our own pid namespace: in another, the kernel
 * refuses the call, as for every task that has a tracer.
 */
import * as linux from "../linux/constants.ts";
import { readStatusField } from "../linux/proc-file.ts";
import { detach, interrupt, readRegisters, resume, resumeToSyscall } from "../linux/ptrace.ts";
import { Registers } from "../linux/registers.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { NUMBERS } from "../syscalls/numbers.ts";
import type { ForeignExecs } from "./install/foreign-exec.ts";
import type { Parking } from "./parking.ts";
import { programName } from "./process-facts.ts";

export interface TracerSlotOptions {
	/** Whether we trace a task. */
	readonly isTraced: (tid: number) => boolean;
	/** Whether a process has made a task to look at itself: what that one attaches to stands still and loses nothing by it. */
	readonly isWatching: (tid: number, process: number) => boolean;
	/** The process of a task that may be any task of the host. */
	readonly processOf: (tid: number) => number;
	/** A task is not ours any more. */
	readonly letGo: (tid: number) => void;
	readonly foreignExecs: ForeignExecs;
	readonly parking: Parking;
	/** Whether a process has the image of the run. */
	readonly isInstalled: (pid: number) => boolean;
	/** Traces a task again, or for the first time, if that is possible. @param isCovered by the run that had it */
	readonly takeBack: (tid: number, isCovered: boolean) => void;
	/** A process has another tracer now, which is none of our supervisors. Called once for each. @param reason the end of a sentence */
	readonly lost: (pid: number, reason: string) => void;
}

/** A call of ptrace(2) that is followed to its exit. */
interface Request {
	readonly kind: "attach" | "detach";
	readonly target: number;
	/** The process of the target. */
	readonly process: number;
	/** The caller is the supervisor of a run inside of ours. */
	readonly isSupervisors: boolean;
}

/** Until a task that cannot be let go yet is asked again. */
const RETRY_MS = 1;

const parentOf = (tid: number): number => Number(readStatusField(tid, "PPid") ?? 0);

export class TracerSlot {
	readonly #options: TracerSlotOptions;
	readonly #registers = new Registers();
	/** By caller. */
	readonly #requests = new Map<number, Request>();
	/** Targets that are to be let go, with the callers that wait for it in their seccomp stops. */
	readonly #awaited = new Map<number, Set<number>>();
	/** Of the tasks that were let go. */
	readonly #tracers = new Map<number, { readonly tracer: number; readonly isSupervisors: boolean }>();
	readonly #told = new Set<number>();

	constructor(options: TracerSlotOptions) {
		this.#options = options;
	}

	/** Tasks that have been let go and may still be there. */
	get tids(): readonly number[] {
		return [...this.#tracers.keys()];
	}

	/** A task asks for its next stop to be its last with us. */
	isAwaited(tid: number): boolean {
		return this.#awaited.has(tid);
	}

	/** A call of ptrace(2) that the filter has stopped. Resumes the task, now or later. */
	seccompStop(tid: number): void {
		if (!readRegisters(tid, this.#registers)) return;
		const is32 = this.#registers.get("orig_rax") === BigInt(NUMBERS.i386.ptrace);
		const request = Number(BigInt.asUintN(32, this.#registers.get(is32 ? "rbx" : "rdi")));
		const target = Number(BigInt.asIntN(32, this.#registers.get(is32 ? "rcx" : "rsi")));
		const isSupervisors = !is32 && this.#registers.get("r8") === BigInt(SYSCALL_KEY);
		const process = this.#options.processOf(target);
		switch (request) {
			case linux.PTRACE_TRACEME:
				return this.#traceMe(tid);
			case linux.PTRACE_ATTACH:
			case linux.PTRACE_SEIZE:
				return this.#attach(tid, { kind: "attach", target, process, isSupervisors });
			case linux.PTRACE_CONT:
			case linux.PTRACE_GETEVENTMSG:
				return this.#options.foreignExecs.asks(tid, target, this.#registers);
			case linux.PTRACE_DETACH:
				if (this.#tracers.get(target)?.tracer !== tid && !this.#options.isInstalled(target)) break;
				this.#requests.set(tid, { kind: "detach", target, process, isSupervisors });
				resumeToSyscall(tid);
				return;
		}
		resume(tid, 0);
	}

	/**
	 * An awaited task is in a stop from which it may run on without us.
	 *
	 * @param isBusy it is in the middle of something that we do with it, and is resumed by who does that
	 * @returns whether it was let go
	 */
	stopped(tid: number, isBusy: boolean): boolean {
		if (isBusy) {
			setTimeout(() => {
				if (this.#awaited.has(tid)) interrupt(tid);
			}, RETRY_MS);
			return false;
		}
		const callers = [...(this.#awaited.get(tid) ?? [])];
		this.#awaited.delete(tid);
		if (callers.some((caller) => this.#isWatching(caller, tid))) this.#options.parking.park(tid);
		this.#letGo(tid);
		for (const caller of callers) resumeToSyscall(caller);
		return true;
	}

	/** A syscall-stop. @returns whether it was the exit of a call that is followed; then the task has been resumed */
	syscallStop(tid: number): boolean {
		const request = this.#requests.get(tid);
		if (request === undefined) return this.#options.foreignExecs.syscallStop(tid);
		this.#requests.delete(tid);
		if (!readRegisters(tid, this.#registers)) return true;
		const hasFailed = BigInt.asIntN(32, this.#registers.get("rax")) < 0n;
		const { kind, target, process, isSupervisors } = request;
		if (kind === "detach") {
			if (!hasFailed) this.#takeBack(target);
		} else if (hasFailed) this.#takeBackUntraced(target);
		else {
			this.#tracers.set(target, { tracer: tid, isSupervisors });
			if (!isSupervisors && !this.#isWatching(tid, target)) this.#tell(process, tid);
		}
		resume(tid, 0);
		return true;
	}

	/** A task of ours has ended. What it traced has no tracer now, what was waited for will not come. */
	ended(tid: number): void {
		const callers = this.#awaited.get(tid) ?? [];
		this.#awaited.delete(tid);
		for (const caller of callers) resumeToSyscall(caller);
		const request = this.#requests.get(tid);
		this.#requests.delete(tid);
		this.#options.foreignExecs.ended(tid);
		for (const [target, waiting] of this.#awaited) {
			if (waiting.delete(tid) && waiting.size === 0) this.#awaited.delete(target);
		}
		if (request?.kind === "attach" && !this.#options.isTraced(request.target)) this.#takeBackUntraced(request.target);
		for (const [target, { tracer }] of this.#tracers) if (tracer === tid) this.#takeBack(target);
	}

	/** A task is ours, whoever had this id before. */
	seen(tid: number): void {
		this.#tracers.delete(tid);
	}

	#traceMe(tid: number): void {
		const tracer = parentOf(tid);
		// Before it is another program.
		this.#tell(tid, tracer);
		this.#letGo(tid);
		this.#tracers.set(tid, { tracer, isSupervisors: false });
	}

	#attach(tid: number, request: Request): void {
		const { target, process } = request;
		const { isTraced, processOf } = this.#options;
		// A process cannot trace its own threads: the kernel says so.
		if (!isTraced(target) || process === processOf(tid)) {
			this.#options.foreignExecs.ignore(target);
			resume(tid, 0);
			return;
		}
		this.#requests.set(tid, request);
		const waiting = this.#awaited.get(target);
		if (waiting !== undefined) waiting.add(tid);
		else if (this.#requests.has(target) && this.#isWaiting(target)) this.#letGoWaiting(target, tid);
		else {
			this.#awaited.set(target, new Set([tid]));
			if (!interrupt(target)) this.ended(target);
		}
	}

	/** A task that asks for another one stands in its seccomp stop, and would wait for us for ever if that one asks for it. */
	#letGoWaiting(target: number, caller: number): void {
		this.#requests.delete(target);
		for (const waiting of this.#awaited.values()) waiting.delete(target);
		this.#letGo(target);
		resumeToSyscall(caller);
	}

	/** Whether a tracer was made by the process of its target to look at it. */
	#isWatching(tracer: number, target: number): boolean {
		return this.#options.isWatching(tracer, this.#options.processOf(target));
	}

	#isWaiting(caller: number): boolean {
		return [...this.#awaited.values()].some((waiting) => waiting.has(caller));
	}

	#letGo(tid: number): void {
		this.#options.letGo(tid);
		detach(tid, 0);
	}

	#takeBack(tid: number): void {
		const wasSupervisors = this.#tracers.get(tid)?.isSupervisors === true;
		this.#tracers.delete(tid);
		this.#options.takeBack(tid, wasSupervisors);
		this.#options.parking.takenBack(tid);
	}

	/** Where another tracer was faster, the task is its. */
	#takeBackUntraced(tid: number): void {
		if (this.#tracers.has(tid)) return;
		this.#options.takeBack(tid, false);
		this.#options.parking.takenBack(tid);
	}

	/** Once for each process, and once for what a tracer makes of itself: strace and gdb try what they can do on such children. */
	#tell(process: number, tracer: number): void {
		const name = programName(tracer);
		const key = programName(process) === name ? tracer : process;
		if (this.#told.has(key)) return;
		this.#told.add(key);
		this.#options.lost(
			process,
			`is let go to another tracer, ${name} (pid ${tracer}): its clock goes on, but system calls that mean the wall clock fail there (ENOSYS), and what it starts out of that tracer's sight runs in real time`,
		);
	}
}
