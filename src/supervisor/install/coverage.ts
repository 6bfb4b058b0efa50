/**
 * Cover or refuse: every process gets our image and page at its exec, or a line that names it and the reason, and then, as was asked
 * for, it is ended or runs in real time.
 *
 *     exec stop -> not meant: real time, on purpose
 *               -> install started -> (nothing more, when all goes well)
 *                                  -> files cannot be reached: descriptors are passed, and the install goes on
 *                                  -> failed
 */
import * as linux from "../../linux/constants.ts";
import { signalName } from "../../linux/exit.ts";
import { readRegisters, resume } from "../../linux/ptrace.ts";
import { Registers } from "../../linux/registers.ts";
import { errnoName } from "../../linux/syscall-error.ts";
import type { RequestedMode } from "../../vsyscall/mode.ts";
import { is32Bit } from "./exec-stop.ts";
import type { Installer, PendingInstall } from "./install.ts";
import { droppedPrivileges, programName } from "../process-facts.ts";
import { type ProvidedFiles, provideFiles } from "./provided-files.ts";
import { describeMapFailure, endProcess, NO_PAGE_IN_32_BIT } from "./refusal.ts";
import { type InstallFailure, meaningOfFault, meaningOfStop } from "./stop-meaning.ts";
import type { CallRemotely } from "../remote-call.ts";

/** What happens to a process that cannot be covered. */
export type OnFailure = "refuse" | "warn";

export interface CoverageOptions {
	readonly installer: Installer;
	readonly onFailure: OnFailure;
	/** Whether a process that has executed a program is to be covered at all. */
	readonly isMeant: (tid: number) => boolean;
	/** What was asked for the vsyscall page. */
	readonly mode: RequestedMode;
	/** One line for the user, without "vsyscall: " and newline. */
	readonly report: (message: string) => void;
	/** One line for `--verbose`. */
	readonly trace: (message: string) => void;
	/** The first process of the run. */
	readonly isLead: (tid: number) => boolean;
	/** Told of a process that runs in real time; the reason is missing where nobody needs to know it. */
	readonly uncovered: (tid: number, reason: string | undefined) => void;
	/** Told of a process that was ended. */
	readonly refused: (tid: number) => void;
	readonly callRemotely: CallRemotely;
}

/** How an install stops, succeeds or fails; SIGILL and SIGSYS would be a surprise worth a line. */
const INSTALL_SIGNALS = new Set([4, 5, linux.SIGBUS, linux.SIGSEGV, linux.SIGURG, 31]);

const nameOf = (tid: number): string => `${programName(tid)} (pid ${tid})`;

/** An install that has not been seen to end. */
interface Started {
	readonly pending: PendingInstall;
	/** The files have been passed to the process, or a copy of them. */
	hasProvidedFiles: boolean;
}

export class Coverage {
	readonly #options: CoverageOptions;
	readonly #registers = new Registers();
	readonly #started = new Map<number, Started>();

	constructor(options: CoverageOptions) {
		this.#options = options;
	}

	/** The process is gone, or another tracer's. */
	forget(tid: number): void {
		this.#started.delete(tid);
	}

	/** Whether the end of the install has not been seen. When all goes well it never is. */
	isPending(tid: number): boolean {
		return this.#started.has(tid);
	}

	/** Whether a stopped process is in the middle of its install. */
	isUnderWay(tid: number): boolean {
		const started = this.#started.get(tid);
		if (started === undefined || !readRegisters(tid, this.#registers)) return false;
		return meaningOfStop(tid, started.pending, this.#registers) !== "over";
	}

	/** An exec stop. Resumes the process. */
	exec(tid: number): void {
		this.#started.delete(tid);
		const { installer, isMeant, mode, report, trace, isLead, uncovered } = this.#options;
		const dropped = droppedPrivileges(tid);
		if (dropped !== undefined) report(`${nameOf(tid)} ${dropped}`);
		if (!isMeant(tid)) {
			trace(`${nameOf(tid)} is not meant: real time`);
			uncovered(tid, undefined);
			resume(tid, 0);
			return;
		}
		if (isLead(tid) && mode !== "auto" && mode !== "none" && this.#is32Bit(tid)) {
			return this.#fail(tid, NO_PAGE_IN_32_BIT);
		}
		const result = installer.start(tid);
		switch (result.kind) {
			case "started":
				this.#started.set(tid, { pending: result.pending, hasProvidedFiles: false });
				resume(tid, 0);
				return;
			case "dead":
				return;
			case "failed":
				return this.#fail(tid, `could not be covered: ${result.reason}`);
		}
	}

	#is32Bit(tid: number): boolean {
		return readRegisters(tid, this.#registers) && is32Bit(this.#registers);
	}

	/** A signal that may be how an install stops. @returns whether it was, and the process has been dealt with */
	signal(tid: number, signal: number): boolean {
		const started = this.#started.get(tid);
		if (started === undefined || !INSTALL_SIGNALS.has(signal)) return false;
		if (!readRegisters(tid, this.#registers)) return true;
		const { report } = this.#options;
		const isFault = signal === linux.SIGBUS || signal === linux.SIGSEGV;
		const meaning = (isFault ? meaningOfFault : meaningOfStop)(tid, started.pending, this.#registers);
		if (meaning === "done") this.#enter(tid);
		if (typeof meaning === "object") this.#installFailed(tid, started, meaning);
		if (meaning === "over") this.#started.delete(tid);
		if (meaning === "other" && signal !== linux.SIGURG) {
			report(`${nameOf(tid)} could not be covered: it got ${signalName(signal)} meanwhile`);
		}
		return meaning === "done" || typeof meaning === "object";
	}

	/** The process is in a stop, before its first instruction. */
	#fail(tid: number, reason: string): void {
		const { onFailure, report, uncovered, refused } = this.#options;
		if (onFailure === "warn") {
			report(`${nameOf(tid)} ${reason}; it runs in real time`);
			uncovered(tid, reason);
			this.#enter(tid);
			return;
		}
		report(`${nameOf(tid)} ${reason}; it was not started (--on-failure=warn runs it in real time)`);
		refused(tid);
		this.#started.delete(tid);
		endProcess(tid);
	}

	/** Starts the program as execve left it. */
	#enter(tid: number): void {
		const started = this.#started.get(tid);
		this.#started.delete(tid);
		if (started !== undefined && !this.#options.installer.enterProgram(tid, started.pending)) return;
		resume(tid, 0);
	}

	#installFailed(tid: number, started: Started, failure: InstallFailure): void {
		const { installer, trace, callRemotely } = this.#options;
		const { files, wordSize } = started.pending.kit;
		// That is tried once.
		if (failure.at === "map" || started.hasProvidedFiles) return this.#fail(tid, describeMapFailure(failure.errno));
		trace(`${nameOf(tid)} cannot open our file (${errnoName(failure.errno)}): it is given a descriptor`);
		started.hasProvidedFiles = true;
		const { place, scratch } = installer.placeForCalls(started.pending);
		const script = provideFiles({ tid, stale: failure.stale, scratch, files, wordSize });
		callRemotely(tid, place, script, (result) => this.#filesProvided(tid, started, result));
	}

	#filesProvided(tid: number, { pending }: Started, result: ProvidedFiles): void {
		if (result.kind === "failed") return this.#fail(tid, `could not be covered: ${result.reason}`);
		if (result.kind === "made") this.#options.trace(`${nameOf(tid)} has a copy of our file`);
		if (this.#options.installer.continueWith(tid, pending, result)) resume(tid, 0);
	}
}
