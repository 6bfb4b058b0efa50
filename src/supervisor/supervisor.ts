/**
 * The loop: a stop of any task of the tree -> one handler -> the task goes on.
 *
 * One thread traces and never waits for one task. SIGCHLD says that something may be there; then wait4 is asked until it has
 * nothing more. Threads vanish without a word when another thread of their process calls execve.
 *
 * Nothing here is needed for the clock itself: a task that runs on without us reads its page as before.
 */
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { eventMessage, interrupt, listen, resume, resumeToSyscall, seize } from "../linux/ptrace.ts";
import { waitForAny } from "../linux/wait.ts";
import { decodeWaitStatus, type Stop } from "../linux/wait-status.ts";
import { Bystanders } from "./bystanders.ts";
import { Coverage } from "./install/coverage.ts";
import { dumpsCore, keepImageInCore } from "./install/core-image.ts";
import type { ExitStatus } from "./exit-status.ts";
import { ForeignExecs } from "./install/foreign-exec.ts";
import { programName } from "./process-facts.ts";
import { PageCalls } from "./vsyscall-page/page-calls.ts";
import type { PageStatistics } from "./vsyscall-page/call-patcher.ts";
import { Parking } from "./parking.ts";
import { ProcessIds } from "./process-ids.ts";
import { answerSeccompStop } from "./seccomp-stops.ts";
import type { SupervisorOptions } from "./supervisor-options.ts";
import { type Task, Tasks } from "./tasks.ts";
import { TimeCalls } from "./time-calls/time-calls.ts";
import { TracerSlot } from "./tracer-slot.ts";
import { callOnBehalf } from "./held-task.ts";
import type { CallRemotely } from "./remote-call.ts";
import { UntracedClones } from "./untraced-clones.ts";

/** "over": no task is left; "idle": nothing more has happened; "more": something may have, but others want to run, too. */
export type DrainResult = "over" | "idle" | "more";

const ESRCH = 3;

/** Some ten milliseconds: a task that stops without end (a call site that cannot be patched) must not keep us from signals. */
const STOPS_AT_ONCE = 1000;

const OPTIONS =
	linux.PTRACE_O_TRACESYSGOOD |
	linux.PTRACE_O_TRACEFORK |
	linux.PTRACE_O_TRACEVFORK |
	linux.PTRACE_O_TRACECLONE |
	linux.PTRACE_O_TRACEEXEC |
	linux.PTRACE_O_TRACESECCOMP;

const MAKES_A_TASK = new Set([linux.PTRACE_EVENT_FORK, linux.PTRACE_EVENT_VFORK, linux.PTRACE_EVENT_CLONE]);

export class Supervisor {
	readonly #options: SupervisorOptions;
	readonly #tasks = new Tasks((tid) => this.#slot.seen(tid));
	/** Signals of the first process, and when it last got each. */
	readonly #deliveries = new Map<number, number>();
	readonly #processes = new ProcessIds();
	readonly #bystanders = new Bystanders(this.#processes);
	readonly #pageCalls: PageCalls | undefined;
	readonly #timeCalls: TimeCalls | undefined;
	readonly #slot: TracerSlot;
	readonly #untracedClones = new UntracedClones();
	readonly #parking: Parking;
	readonly #coverage: Coverage;
	/** The options of ptrace(2). */
	readonly #traced: number;
	#lead = 0;
	#status: ExitStatus | undefined;
	#hasStarted = false;
	#hasRefusedLead = false;
	#isOver = false;
	/** A call to the vsyscall page has been answered since the last time that nothing was there. */
	#hasAnswered = false;

	constructor(options: SupervisorOptions) {
		this.#options = options;
		this.#traced = options.observer === undefined ? OPTIONS : OPTIONS | linux.PTRACE_O_TRACEEXIT;
		const isMeant = (tid: number): boolean => {
			if (options.isMeant(tid)) return true;
			this.#bystanders.add(tid);
			return false;
		};
		const processOf = (tid: number): number => this.#processes.of(tid);
		const callRemotely: CallRemotely = (tid, ...call) => callOnBehalf(this.#tasks.of(tid), ...call);
		this.#coverage = new Coverage({
			...options,
			isMeant,
			callRemotely,
			isLead: (tid) => tid === this.#lead,
			uncovered: (tid, reason) => {
				this.#timeCalls?.uncovered(tid);
				if (reason !== undefined) options.uncovered(tid, reason);
			},
			refused: (tid) => {
				if (tid === this.#lead) this.#hasRefusedLead = true;
			},
		});
		if (options.timeCalls !== undefined) {
			const threadsOf = (process: number): readonly number[] => this.tids.filter((tid) => processOf(tid) === process);
			this.#timeCalls = new TimeCalls({
				...options.timeCalls,
				processOf,
				threadsOf,
				installedIn: (tid) => options.installer.installedIn(tid),
				callRemotely,
				report: options.report,
				observer: options.observer,
			});
		}
		this.#parking = new Parking((tid) => options.installer.roomIn(tid));
		this.#slot = new TracerSlot({
			parking: this.#parking,
			foreignExecs: new ForeignExecs({
				installer: options.installer,
				isMeant,
				callRemotely,
				uncovered: (pid, reason) => this.#say(pid, reason),
			}),
			isWatching: (tid, process) => this.#untracedClones.isWatching(tid, process),
			isTraced: (tid) => this.#tasks.has(tid),
			processOf,
			letGo: (tid) => this.#letGo(tid),
			takeBack: (tid, isCovered) => this.#takeBack(tid, isCovered),
			lost: (pid, reason) => this.#say(pid, reason),
			isInstalled: (pid) => options.installer.installedIn(pid) !== undefined,
		});
		if (options.page === undefined) return;
		this.#pageCalls = new PageCalls({
			...options.page,
			trace: options.trace,
			report: options.report,
			observer: options.observer,
			tasks: () => [...this.#tasks.all, ...this.#slot.tids],
			processes: this.#processes,
			callRemotely,
		});
	}

	/** What became of the calls to the vsyscall page; undefined when none came here. */
	get pageStatistics(): PageStatistics | undefined {
		return this.#pageCalls?.statistics;
	}

	/** Begins to trace the child that will become the first process. @returns 0 or -errno */
	seize(pid: number): number {
		this.#lead = pid;
		return this.seizeFurther(pid);
	}

	/** The same of a child that will become a program beside it. @returns 0 or -errno */
	seizeFurther(pid: number): number {
		this.#tasks.of(pid).isAnnounced = true;
		return seize(pid, this.#traced);
	}

	/** How the first process ended; undefined while it runs. */
	get status(): ExitStatus | undefined {
		return this.#status;
	}

	/** The first process was ended because it could not be covered. */
	get hasRefusedLead(): boolean {
		return this.#hasRefusedLead;
	}

	/** When the first process last got this signal, as performance.now() tells; 0 for never. */
	lastDelivery(signal: number): number {
		return this.#deliveries.get(signal) ?? 0;
	}

	/** Ends every process of the run: without us they would go on in real time, unnoticed. */
	endAll(): void {
		for (const tid of this.#tasks.tids) syscallResult(linux.SYS_kill, tid, linux.SIGKILL);
	}

	/** Processes and threads that are traced, the first process first. */
	get tids(): readonly number[] {
		return this.#tasks.tids;
	}

	/** Handles what has happened. */
	drain(): DrainResult {
		for (let handled = 0; !this.#isOver; handled++) {
			if (handled === STOPS_AT_ONCE) return "more";
			const result = waitForAny();
			if (result.kind === "nothing") {
				if (!this.#hasAnswered) return this.#hasOnlyForeignChildren() ? "over" : "idle";
				// The task that has just been answered may call again at once, and on one processor it needs ours for that.
				this.#hasAnswered = false;
				syscallResult(linux.SYS_sched_yield);
				continue;
			}
			if (result.kind === "no-children") this.#isOver = true;
			else this.#handle(result.tid, decodeWaitStatus(result.status));
		}
		return "over";
	}

	/** Whether every task of the run has ended, and what is left to wait for was there before us. The first may have been let go. */
	#hasOnlyForeignChildren(): boolean {
		return this.#options.hasForeignChildren && this.#tasks.size === 0 && this.#status !== undefined;
	}

	#handle(tid: number, stop: Stop): void {
		this.#parking.stopped(tid);
		switch (stop.kind) {
			case "exited":
				return this.#ended(tid, { kind: "exited", exitCode: stop.exitCode });
			case "killed":
				return this.#ended(tid, { kind: "killed", signal: stop.signal });
			case "group-stop":
				this.#tasks.of(tid);
				this.#pageCalls?.beforeResume(tid);
				if (this.#isLetGo(this.#tasks.of(tid))) return;
				listen(tid);
				if (tid === this.#lead) this.#options.jobStop.programStopped();
				return;
			case "event-stop":
				if (stop.event !== linux.PTRACE_EVENT_STOP) this.#otherStop(tid);
				return this.#eventStop(this.#tasks.of(tid), stop.event);
			case "syscall-stop":
				this.#otherStop(tid);
				return this.#syscallStop(this.#tasks.of(tid));
			case "signal-delivery-stop":
				this.#otherStop(tid);
				return this.#signalDelivery(this.#tasks.of(tid), stop.signal);
		}
	}

	/**
	 * A stop of another kind than PTRACE_EVENT_STOP. It clears a PTRACE_INTERRUPT that came while the task was on its way into it
	 * (kernel/signal.c, ptrace_stop: "any trap clears pending STOP trap"): who waits for his stop asks for it again.
	 */
	#otherStop(tid: number): void {
		if (this.#slot.isAwaited(tid) || this.#timeCalls?.isAwaited(tid) === true) interrupt(tid);
	}

	#eventStop(task: Task, event: number): void {
		const { tid } = task;
		this.#observe(tid, event);
		if (event === linux.PTRACE_EVENT_EXEC) return this.#exec(task);
		if (event === linux.PTRACE_EVENT_SECCOMP && task.remote === undefined) {
			this.#seccompStop(tid);
			this.#hasAnswered = true;
			return;
		}
		if (MAKES_A_TASK.has(event)) this.#made(tid, event);
		if (event === linux.PTRACE_EVENT_STOP) this.#untracedClones.eventStop(tid);
		if (tid === this.#lead) this.#options.jobStop.programContinued();
		if (event === linux.PTRACE_EVENT_STOP && this.#isLetGo(task)) return;
		// SIGCONT stops a seized task even while it runs: a call on its behalf goes on being traced.
		if (task.remote !== undefined || this.#untracedClones.isCalling(tid)) resumeToSyscall(tid);
		else if (event === linux.PTRACE_EVENT_STOP && this.#timeCalls?.eventStop(tid) === true) return;
		else if (this.#pageCalls !== undefined) this.#pageCalls.resume(tid);
		else resume(tid, 0);
	}

	#observe(tid: number, event: number): void {
		const { observer } = this.#options;
		if (event === linux.PTRACE_EVENT_STOP) observer?.seen(tid);
		if (event === linux.PTRACE_EVENT_EXIT) observer?.exits(tid);
	}

	/** The filter has stopped a call. */
	#seccompStop(tid: number): void {
		answerSeccompStop(tid, {
			slot: this.#slot,
			untracedClones: this.#untracedClones,
			bystanders: this.#bystanders,
			timeCalls: this.#timeCalls,
			pageCalls: this.#pageCalls,
		});
	}

	/** A task has made another. */
	#made(tid: number, event: number): void {
		const made = eventMessage(tid);
		if (this.#options.hasForeignChildren) this.#tasks.announce(made);
		// It may have ended, and been seen to end, before: then its id can be another's next.
		if (syscallResult(linux.SYS_kill, made, 0) === -ESRCH) return;
		this.#tasks.made(made);
		this.#pageCalls?.made(tid, made);
		this.#bystanders.made(tid, made);
		// A process that is made like a thread, with another signal than SIGCHLD for its end, is looked at when it calls.
		if (event !== linux.PTRACE_EVENT_CLONE) this.#timeCalls?.forked(tid, made);
	}

	#ended(tid: number, status: ExitStatus): void {
		this.#parking.forget(tid);
		const task = this.#tasks.find(tid);
		const isBeingCovered = task?.remote !== undefined && this.#coverage.isPending(tid);
		this.#forget(tid);
		this.#slot.ended(tid);
		if (this.#options.hasForeignChildren && task?.isAnnounced !== true) this.#tasks.endedEarly(tid);
		if (tid === this.#lead) this.#status = status;
		if (isBeingCovered) this.#options.report(`a process (pid ${tid}) ended while it was being covered`);
		if (this.#status !== undefined && tid === this.#lead && this.#tasks.size > 0) {
			this.#options.trace(`the first process ended; waiting for ${this.#tasks.size} more`);
		}
	}

	#forget(tid: number): void {
		this.#tasks.delete(tid);
		this.#pageCalls?.ended(tid);
		this.#timeCalls?.ended(tid);
		this.#untracedClones.forget(tid);
		this.#options.observer?.ended(tid);
		this.#coverage.forget(tid);
		this.#processes.ended(tid);
		this.#bystanders.forget(tid);
	}

	/** Another tracer wants a task that has stopped. @returns whether it was let go */
	#isLetGo(task: Task): boolean {
		if (!this.#slot.isAwaited(task.tid)) return false;
		return this.#slot.stopped(task.tid, task.remote !== undefined || this.#coverage.isUnderWay(task.tid));
	}

	#letGo(tid: number): void {
		this.#pageCalls?.beforeResume(tid);
		this.#forget(tid);
		if (tid === this.#lead) this.#options.jobStop.programContinued();
	}

	/** Traces a task again that was let go. It may have executed a program that nobody has covered. */
	#takeBack(tid: number, isCovered: boolean): void {
		if (seize(tid, this.#traced) < 0) return;
		this.#tasks.of(tid).isAnnounced = true;
		if (this.#options.installer.installedIn(tid) !== undefined) return this.#options.uncovered(tid, undefined);
		this.#timeCalls?.uncovered(tid);
		if (!this.#options.isMeant(tid)) return this.#bystanders.add(tid);
		if (!isCovered && !this.#options.isHostClock) this.#say(tid, "was executed out of our sight: it runs in real time");
	}

	/** Of a process that is not, or not wholly, on the clock. */
	#say(pid: number, reason: string): void {
		this.#options.report(`${programName(pid)} (pid ${pid}) ${reason}`);
		this.#options.uncovered(pid, reason);
	}

	/** The first execve of the first process. */
	#programStarted(tid: number): void {
		if (tid !== this.#lead || this.#hasStarted) return;
		this.#hasStarted = true;
		this.#options.programStarted();
	}

	#exec(task: Task): void {
		const { tid } = task;
		// The thread that called execve has taken the id of its process; its former id is gone.
		const former = eventMessage(tid);
		if (former !== tid) this.#tasks.delete(former);
		this.#programStarted(tid);
		task.remote = undefined;
		this.#parking.forget(tid);
		this.#untracedClones.forget(tid);
		this.#processes.exec(tid, former);
		this.#bystanders.forget(tid);
		this.#pageCalls?.exec(tid, former);
		this.#timeCalls?.exec(tid);
		task.isImageKept = false;
		this.#coverage.exec(tid);
	}

	#signalDelivery(task: Task, signal: number): void {
		const { tid } = task;
		if (tid === this.#lead) this.#deliveries.set(signal, performance.now());
		if (task.remote !== undefined) {
			task.heldSignals.push(signal);
			resumeToSyscall(tid);
			return;
		}
		if (this.#coverage.signal(tid, signal)) return;
		const pageCalls = this.#bystanders.has(tid) ? undefined : this.#pageCalls;
		const delivered = pageCalls === undefined ? signal : pageCalls.signalStop(tid, signal);
		if (delivered === undefined) return;
		if (dumpsCore(delivered) && !task.isImageKept) {
			task.isImageKept = true;
			keepImageInCore(tid);
		}
		resume(tid, delivered);
	}

	#syscallStop(task: Task): void {
		if (task.remote !== undefined) task.remote();
		else if (this.#untracedClones.syscallStop(task.tid) || this.#slot.syscallStop(task.tid)) return;
		else if (this.#timeCalls?.syscallStop(task.tid) !== true) resume(task.tid, 0);
	}
}
