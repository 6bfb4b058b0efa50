/**
 * The loop: a stop of any task of the tree -> one handler -> the task goes on.
 *
 * One thread traces and never waits for one task. SIGCHLD says that something may be there; then wait4 is asked until it has
 * nothing more. Tasks are known by their tid from whatever is seen first: the first stop of a new task can come before the event
 * of the parent that made it, and threads vanish without a word when another thread of their process calls execve.
 *
 * Nothing here is needed for the clock itself: a task that runs on without us reads its page as before.
 */
import * as linux from "../linux/constants.ts";
import { syscallResult } from "../linux/ffi.ts";
import { signalName } from "../linux/exit.ts";
import { eventMessage, listen, readRegisters, resume, resumeToSyscall, seize } from "../linux/ptrace.ts";
import { Registers } from "../linux/registers.ts";
import { errnoName } from "../linux/syscall-error.ts";
import { waitForAny } from "../linux/wait.ts";
import { decodeWaitStatus, type Stop } from "../linux/wait-status.ts";
import { dumpsCore, keepImageInCore } from "./core-image.ts";
import type { ExitStatus } from "./exit-status.ts";
import type { InstallFailure, Installer, PendingInstall } from "./install.ts";
import type { JobStop } from "./job-control.ts";
import { makeOwnFile, type OwnFileResult } from "./own-file.ts";
import type { PageFile } from "./page-file.ts";
import { droppedPrivileges, programName } from "./process-facts.ts";
import { endProcess } from "./refusal.ts";
import { RemoteCaller, type ScriptStep } from "./remote-call.ts";

/** What happens to a process that cannot be covered. */
export type OnFailure = "refuse" | "warn";

export interface SupervisorOptions {
	readonly installer: Installer;
	readonly pageFile: PageFile;
	readonly onFailure: OnFailure;
	/**
	 * This process had children before the run (`sidecar & exec vsyscall run ...`, an init system): the end of the run is then known
	 * by counting tasks, not by having no child left.
	 */
	readonly hasForeignChildren: boolean;
	/** The time that was asked for is the host's: a process that is not covered loses nothing. */
	readonly isHostClock: boolean;
	/** One line for the user, without "vsyscall: " and newline. */
	readonly report: (message: string) => void;
	/** One line for `--verbose`. */
	readonly trace: (message: string) => void;
	/** Told when the first process enters and leaves a group-stop. */
	readonly jobStop: Pick<JobStop, "programStopped" | "programContinued">;
}

interface Task {
	readonly tid: number;
	/** The event of the task that made it has been seen, or it is the first. */
	isAnnounced: boolean;
	pending: PendingInstall | undefined;
	caller: RemoteCaller<OwnFileResult> | undefined;
	/** Signals that came while `caller` worked: sent again when it has finished. */
	heldSignals: number[];
	/** The process has been given a file of its own. */
	hasOwnFile: boolean;
	/** The image will be whole in a core file. */
	isImageKept: boolean;
}

const OPTIONS =
	linux.PTRACE_O_TRACESYSGOOD |
	linux.PTRACE_O_TRACEFORK |
	linux.PTRACE_O_TRACEVFORK |
	linux.PTRACE_O_TRACECLONE |
	linux.PTRACE_O_TRACEEXEC;

const MAKES_A_TASK = new Set([linux.PTRACE_EVENT_FORK, linux.PTRACE_EVENT_VFORK, linux.PTRACE_EVENT_CLONE]);

/** How an install stops, succeeds or fails; SIGILL and SIGSYS would be a surprise worth a line. */
const INSTALL_SIGNALS = new Set([4, 5, linux.SIGBUS, linux.SIGSEGV, linux.SIGURG, 31]);

const describeMapFailure = (errno: number): string =>
	`the image could not be mapped (${errnoName(errno)})${errno === 12 ? ": a limit of address space (ulimit -v) or of mappings is too small" : ""}`;

export class Supervisor {
	readonly #options: SupervisorOptions;
	readonly #tasks = new Map<number, Task>();
	/** Tasks that ended before they were announced; the foreign children, too, when they end. */
	readonly #endedEarly = new Set<number>();
	/** Signals of the first process, and when it last got each. */
	readonly #deliveries = new Map<number, number>();
	readonly #registers = new Registers();
	#lead = 0;
	#status: ExitStatus | undefined;
	#hasRefusedLead = false;
	#isOver = false;

	constructor(options: SupervisorOptions) {
		this.#options = options;
	}

	/** Begins to trace the child that will become the first process. @returns 0 or -errno */
	seize(pid: number): number {
		this.#lead = pid;
		this.#taskOf(pid).isAnnounced = true;
		return seize(pid, OPTIONS);
	}

	/** How the first process ended; undefined while it runs. */
	get status(): ExitStatus | undefined {
		return this.#status;
	}

	/** The first process was ended because it could not be covered. */
	get hasRefusedLead(): boolean {
		return this.#hasRefusedLead;
	}

	/** When the first process last got this signal, as Date.now() tells; 0 for never. */
	lastDelivery(signal: number): number {
		return this.#deliveries.get(signal) ?? 0;
	}

	/** Ends every process of the run: without us they would go on in real time, unnoticed. */
	endAll(): void {
		for (const tid of this.#tasks.keys()) syscallResult(linux.SYS_kill, tid, linux.SIGKILL);
	}

	/** Processes and threads that are traced, the first process first. */
	get tids(): readonly number[] {
		return [...this.#tasks.keys()];
	}

	/** Handles everything that has happened. @returns whether no task is left */
	drain(): boolean {
		while (!this.#isOver) {
			const result = waitForAny();
			if (result.kind === "nothing") return this.#hasOnlyForeignChildren();
			if (result.kind === "no-children") this.#isOver = true;
			else this.#handle(result.tid, decodeWaitStatus(result.status));
		}
		return true;
	}

	/** Whether every task of the run has ended, and what is left to wait for was there before us. */
	#hasOnlyForeignChildren(): boolean {
		return this.#options.hasForeignChildren && this.#tasks.size === 0;
	}

	/** A task has been made; its own first stop, and even its end, may have come before. */
	#announce(tid: number): void {
		if (!this.#endedEarly.delete(tid)) this.#taskOf(tid).isAnnounced = true;
	}

	#taskOf(tid: number): Task {
		let task = this.#tasks.get(tid);
		if (task === undefined) {
			task = {
				tid,
				isAnnounced: false,
				pending: undefined,
				caller: undefined,
				heldSignals: [],
				hasOwnFile: false,
				isImageKept: false,
			};
			this.#tasks.set(tid, task);
		}
		return task;
	}

	#handle(tid: number, stop: Stop): void {
		switch (stop.kind) {
			case "exited":
				return this.#ended(tid, { kind: "exited", exitCode: stop.exitCode });
			case "killed":
				return this.#ended(tid, { kind: "killed", signal: stop.signal });
			case "group-stop":
				this.#taskOf(tid);
				listen(tid);
				if (tid === this.#lead) this.#options.jobStop.programStopped();
				return;
			case "event-stop":
				if (stop.event === linux.PTRACE_EVENT_EXEC) return this.#exec(this.#taskOf(tid));
				if (this.#options.hasForeignChildren && MAKES_A_TASK.has(stop.event)) this.#announce(eventMessage(tid));
				if (tid === this.#lead) this.#options.jobStop.programContinued();
				// SIGCONT stops a seized task even while it runs: a call on its behalf goes on being traced.
				if (this.#taskOf(tid).caller === undefined) resume(tid, 0);
				else resumeToSyscall(tid);
				return;
			case "syscall-stop":
				return this.#syscallStop(this.#taskOf(tid));
			case "signal-delivery-stop":
				return this.#signalDelivery(this.#taskOf(tid), stop.signal);
		}
	}

	#ended(tid: number, status: ExitStatus): void {
		const task = this.#tasks.get(tid);
		this.#tasks.delete(tid);
		if (this.#options.hasForeignChildren && task?.isAnnounced !== true) this.#endedEarly.add(tid);
		if (tid === this.#lead) this.#status = status;
		if (task?.caller !== undefined) this.#options.report(`a process (pid ${tid}) ended while it was being covered`);
		if (this.#status !== undefined && tid === this.#lead && this.#tasks.size > 0) {
			this.#options.trace(`the first process ended; waiting for ${this.#tasks.size} more`);
		}
	}

	#exec(task: Task): void {
		const { tid } = task;
		// The thread that called execve has taken the id of its process; its former id is gone.
		const former = eventMessage(tid);
		if (former !== tid) this.#tasks.delete(former);
		task.pending = undefined;
		task.caller = undefined;
		task.hasOwnFile = false;
		task.isImageKept = false;
		const { installer, isHostClock, report, trace } = this.#options;
		const dropped = droppedPrivileges(tid);
		if (dropped !== undefined) report(`${programName(tid)} (pid ${tid}) ${dropped}`);
		const result = installer.start(tid);
		switch (result.kind) {
			case "started":
				task.pending = result.pending;
				resume(tid, 0);
				return;
			case "dead":
				return;
			case "not-64-bit":
				if (!isHostClock) return this.#uncovered(task, "is a 32-bit program, which this release does not cover");
				trace(`${programName(tid)} (pid ${tid}) is a 32-bit program: real time`);
				resume(tid, 0);
				return;
			case "failed":
				return this.#uncovered(task, `could not be covered: ${result.reason}`);
		}
	}

	/** The process is in a stop, before its first instruction. */
	#uncovered(task: Task, reason: string): void {
		const { onFailure, report } = this.#options;
		const { tid } = task;
		const name = `${programName(tid)} (pid ${tid})`;
		if (onFailure === "warn") {
			report(`${name} ${reason}; it runs in real time`);
			this.#enter(task);
			return;
		}
		report(`${name} ${reason}; it was not started (--on-failure=warn runs it in real time)`);
		if (tid === this.#lead) this.#hasRefusedLead = true;
		task.pending = undefined;
		endProcess(tid);
	}

	/** Starts the program as execve left it. */
	#enter(task: Task): void {
		const { pending } = task;
		task.pending = undefined;
		if (pending !== undefined && !this.#options.installer.enterProgram(task.tid, pending)) return;
		resume(task.tid, 0);
	}

	#signalDelivery(task: Task, signal: number): void {
		const { tid, pending } = task;
		if (tid === this.#lead) this.#deliveries.set(signal, Date.now());
		if (task.caller !== undefined) {
			task.heldSignals.push(signal);
			resumeToSyscall(tid);
			return;
		}
		if (pending !== undefined && INSTALL_SIGNALS.has(signal)) {
			if (!readRegisters(tid, this.#registers)) return;
			const { installer, report } = this.#options;
			const isFault = signal === linux.SIGBUS || signal === linux.SIGSEGV;
			const meaning = isFault
				? installer.meaningOfFault(pending, this.#registers)
				: installer.meaningOfStop(pending, this.#registers);
			if (meaning === "done") return this.#enter(task);
			if (typeof meaning === "object") return this.#installFailed(task, pending, meaning);
			if (meaning === "over") task.pending = undefined;
			if (meaning === "other" && signal !== linux.SIGURG) {
				report(`${programName(tid)} (pid ${tid}) could not be covered: it got ${signalName(signal)} meanwhile`);
			}
		}
		if (dumpsCore(signal) && !task.isImageKept) {
			task.isImageKept = true;
			keepImageInCore(tid);
		}
		resume(tid, signal);
	}

	#installFailed(task: Task, pending: PendingInstall, failure: InstallFailure): void {
		const { tid } = task;
		// A file of its own is tried once.
		if (failure.at === "map" || task.hasOwnFile) return this.#uncovered(task, describeMapFailure(failure.errno));
		this.#options.trace(
			`${programName(tid)} (pid ${tid}) cannot open our file (${errnoName(failure.errno)}): it makes its own`,
		);
		task.hasOwnFile = true;
		const { installer, pageFile } = this.#options;
		const { instruction, scratch } = installer.placeForCalls(pending);
		task.caller = new RemoteCaller(tid, instruction, makeOwnFile({ tid, stale: failure.stale, scratch, pageFile }));
		this.#afterStep(task, task.caller.begin());
	}

	#syscallStop(task: Task): void {
		if (task.caller === undefined) {
			resume(task.tid, 0);
			return;
		}
		this.#afterStep(task, task.caller.syscallStop());
	}

	#afterStep(task: Task, step: ScriptStep<OwnFileResult>): void {
		if (step.kind !== "finished") return;
		const { tid, pending, heldSignals } = task;
		task.caller = undefined;
		for (const signal of heldSignals.splice(0)) syscallResult(linux.SYS_tgkill, tid, tid, signal);
		if (step.result.kind === "failed") return this.#uncovered(task, `could not be covered: ${step.result.reason}`);
		if (pending !== undefined && this.#options.installer.continueWith(tid, pending, step.result.descriptor))
			resume(tid, 0);
	}
}
