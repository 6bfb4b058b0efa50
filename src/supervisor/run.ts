/** One run: a program under a clock, from the command to the status that it ends with. */
import type { ClockFile } from "../clock-file/clock-file.ts";
import { noteUncovered } from "../clock-file/members.ts";
import type { WallClock } from "../clock/clock.ts";
import { verifyImage } from "../elf/verify.ts";
import { VsyscallError } from "../errors.ts";
import { readHostImage, readTaiOffset, zeroTail } from "../linux/host-vdso.ts";
import { inheritedDescriptors, inheritedEnvironment, inheritedOpenFilesLimit } from "../linux/inherited-state.ts";
import { type PendingProgram, spawn } from "../linux/spawn.ts";
import { waitForAny } from "../linux/wait.ts";
import { buildFilter } from "../linux/seccomp.ts";
import { probeHostVsyscall } from "../linux/host-vsyscall.ts";
import { errnoName } from "../linux/syscall-error.ts";
import { counterFault, readCounterFacts } from "../linux/time-stamp-counter.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import type { HostVdso } from "../vdso/host.ts";
import { buildImage, type Image } from "../vdso/image.ts";
import type { Reads } from "../vdso/reads.ts";
import { decidePolicy, incompleteness, type PagePolicy, type RequestedMode } from "../vsyscall/mode.ts";
import type { PageStatistics } from "./vsyscall-page/call-patcher.ts";
import type { OnFailure } from "./install/coverage.ts";
import { EXIT_OWN_FAILURE, type ExitStatus } from "./exit-status.ts";
import { follow, type FollowedFile } from "./followed-file.ts";
import { Installer } from "./install/install.ts";
import { forwardSignals, JobStop } from "./job-control.ts";
import { PageFile } from "./install/page-file.ts";
import { isProcess, programNames } from "./process-facts.ts";
import { execError, findProgram } from "./program-file.ts";
import { type ObservationOptions, ObservedRun } from "./observation/observed-run.ts";
import type { Observer } from "./observation/observer.ts";
import { NamedRunClock } from "./run-clock.ts";
import { seizeError } from "./seize-error.ts";
import { isSelected, type Selection } from "./selection.ts";
import { type DrainResult, Supervisor } from "./supervisor.ts";

export interface RunOptions {
	/** The command, byte for byte. */
	readonly command: readonly Uint8Array[];
	/** A clock for this run alone, or one that has a name. */
	readonly clock: WallClock | ClockFile;
	/** A file whose changes set the clock. */
	readonly followed: FollowedFile | undefined;
	/** The programs that are on the clock; undefined for all. */
	readonly selection: Selection | undefined;
	readonly onFailure: OnFailure;
	readonly reads: Reads;
	readonly vsyscall: {
		readonly mode: RequestedMode;
		/** Call sites of the page are changed when they have trapped. */
		readonly patches: boolean;
	};
	/** Calls are counted or traced. @default undefined: neither */
	readonly observation?: ObservationOptions | undefined;
	readonly report: (message: string) => void;
	readonly trace: (message: string) => void;
}

export interface RunResult {
	readonly status: ExitStatus;
	readonly page: PageStatistics;
}

/** A safety net under SIGCHLD; also what keeps the event loop alive. */
const SWEEP_MS = 500;

interface Prepared {
	readonly installer: Installer;
	readonly pageFile: PageFile;
	readonly image: Image;
	readonly policy: PagePolicy | undefined;
	readonly observer: Observer | undefined;
	/** Ends what observes the run, when its last process has ended. */
	readonly endObservation: () => void;
	/** Descriptors of ours that processes must not inherit. */
	readonly descriptors: readonly number[];
}

/** Whether the time of the run is and stays the host's. */
const isHostClock = (clock: RunOptions["clock"]): boolean => "kind" in clock && clock.kind === "host";

/** @throws {VsyscallError} ERR_VSYSCALL_READS when the counter of this host cannot be read without order. */
const checkReads = (reads: Reads, { fine }: HostVdso): void => {
	const fault = reads === "relaxed" ? counterFault(fine, readCounterFacts()) : undefined;
	if (fault === undefined) return;
	throw new VsyscallError(
		"ERR_VSYSCALL_READS",
		`--reads=relaxed needs a time stamp counter that goes alike on all processors, and ${fault}: give --reads=exact or --reads=coarse`,
	);
};

const prepare = (options: RunOptions): Prepared => {
	const host = readHostImage();
	checkReads(options.reads, host.vdso);
	const policy = decidePolicy({
		requested: options.vsyscall.mode,
		host: probeHostVsyscall(),
		// Calls of the page that nobody sees could not be counted.
		isHostClock: isHostClock(options.clock) && options.observation === undefined,
		patches: options.vsyscall.patches,
	});
	const observedRun = options.observation && new ObservedRun(options.observation);
	const image = buildImage(host.vdso, {
		hasEntryPage: policy?.patches ?? false,
		copy: policy?.copy ?? "none",
		reads: options.reads,
		observation: observedRun?.request,
	});
	const [violation] = verifyImage(image.bytes, "own");
	if (violation !== undefined) {
		throw new VsyscallError(
			"ERR_VSYSCALL_IMAGE",
			`the image breaks a rule of its own (${violation.rule}): ${violation.detail}`,
		);
	}
	const pageFile = new PageFile({ image, clock: options.clock, taiSeconds: readTaiOffset() });
	const { observer, end } = observedRun?.begin(image) ?? { observer: undefined, end: () => {} };
	const installer = new Installer({
		image,
		pageFile,
		roomFor: (length) => zeroTail(host.bytes, length),
		observer,
	});
	const descriptors = [...pageFile.descriptors, ...(observedRun?.descriptors ?? [])];
	return { pageFile, installer, image, policy, observer, endObservation: end, descriptors };
};

/** What stops the calls that are answered here. */
const filterFor = (policy: PagePolicy | undefined): Uint8Array =>
	buildFilter({
		tracesPageCalls: policy?.tracesCalls ?? false,
		tracesSegvActions: policy?.tracesSegvActions ?? false,
		tracesTimeCalls: true,
		tracesTracers: true,
		syscallKey: SYSCALL_KEY,
	});

const start = (
	supervisor: Supervisor,
	command: readonly Uint8Array[],
	{ own, filter, isFilterOptional }: { own: readonly number[]; filter: Uint8Array; isFilterOptional: boolean },
): { program: PendingProgram; file: Uint8Array } => {
	const [name = new Uint8Array(0)] = command;
	const file = findProgram(name, process.env["PATH"]);
	const program = spawn({
		file,
		args: command,
		environment: inheritedEnvironment(),
		descriptors: inheritedDescriptors(own),
		openFilesLimit: inheritedOpenFilesLimit(),
		filter,
		isFilterOptional,
	});
	const refusal = supervisor.seize(program.pid);
	if (refusal < 0) throw seizeError(program.pid, -refusal);
	// Before it runs: a signal that ended us from here on would leave it in real time.
	forwardSignals({
		pids: () => (supervisor.status === undefined ? [program.pid] : supervisor.tids.filter(isProcess)),
		lastDelivery: (signal) => supervisor.lastDelivery(signal),
	});
	program.release();
	return { program, file };
};

const filterError = (errno: number): VsyscallError =>
	new VsyscallError(
		"ERR_VSYSCALL_HOST",
		`a seccomp filter cannot be installed (${errnoName(errno)}), without which system calls that mean the wall clock, and calls to the vsyscall page, cannot be served: allow seccomp(2) in the container`,
	);

const withoutFilter = (errno: number): string =>
	`a seccomp filter cannot be installed (${errnoName(errno)}): a program that sets the clock asks the host`;

const drainOnce = (supervisor: Supervisor): DrainResult | Error => {
	try {
		return supervisor.drain();
	} catch (error) {
		return error instanceof Error ? error : new Error(String(error));
	}
};

/** Handles stops as SIGCHLD announces them, until no task is left. */
const untilOver = (supervisor: Supervisor, named: NamedRunClock | undefined): Promise<void> =>
	new Promise((resolve, reject) => {
		const sweep = setInterval(() => {
			named?.look();
			if (isListening) drain();
		}, SWEEP_MS);
		let isListening = false;
		drain();
		function drain(): void {
			const outcome = drainOnce(supervisor);
			if (outcome === "more") {
				// Every stop is a SIGCHLD, which says nothing new now. The signals of a busy program would fill libuv's pipe, and others be lost.
				listen(false);
				setImmediate(drain);
				return;
			}
			if (outcome === "idle") {
				if (isListening) return;
				listen(true);
				// What has happened just before was not announced.
				return drain();
			}
			clearInterval(sweep);
			listen(false);
			if (outcome === "over") return resolve();
			supervisor.endAll();
			reject(outcome);
		}
		function listen(wanted: boolean): void {
			if (wanted && !isListening) process.on("SIGCHLD", drain);
			if (!wanted) process.removeListener("SIGCHLD", drain);
			isListening = wanted;
		}
	});

/**
 * Runs the command until its last process has ended.
 *
 * Signals to this process go to the program meanwhile. The program's own end is the result, also when it could not be covered
 * (then it is exit status 125 and the reason has been reported).
 *
 * @throws {VsyscallError} ERR_VSYSCALL_NOT_FOUND, ERR_VSYSCALL_NOT_EXECUTABLE: the command; ERR_VSYSCALL_PTRACE: tracing is
 * forbidden; ERR_VSYSCALL_SYSCALL: the host lacks descriptors, memory or processes.
 */
export const run = async (options: RunOptions): Promise<RunResult> => {
	const { selection } = options;
	const { installer, pageFile, image, policy, observer, endObservation, descriptors } = prepare(options);
	const named = "kind" in options.clock ? undefined : new NamedRunClock(options.clock, options.report);
	const clock = named ?? pageFile;
	const incomplete = policy === undefined ? undefined : incompleteness(policy);
	if (incomplete !== undefined) options.report(incomplete);
	const started: { program?: PendingProgram } = {};
	const supervisor = new Supervisor({
		installer,
		pageFile,
		onFailure: options.onFailure,
		isMeant: (tid) => selection === undefined || isSelected(selection, programNames(tid)),
		hasForeignChildren: waitForAny().kind !== "no-children",
		isHostClock: isHostClock(options.clock),
		report: options.report,
		trace: options.trace,
		uncovered: (pid, reason) => {
			if (!("kind" in options.clock)) noteUncovered(options.clock, pid, reason);
		},
		timeCalls: { clock, taiSeconds: pageFile.taiSeconds, image },
		page: policy === undefined ? undefined : { policy, image, clock },
		mode: options.vsyscall.mode,
		programStarted: () => {
			// A program that needs the filter has not been started without it.
			const errno = started.program?.filterError ?? 0;
			if (errno !== 0) options.trace(withoutFilter(errno));
		},
		observer,
		jobStop: new JobStop(),
	});
	// Nothing is lost without it as long as nobody sets the clock, and the page is the host's.
	const isFilterOptional = policy === undefined && isHostClock(options.clock);
	const filter = filterFor(policy);
	const { program, file } = start(supervisor, options.command, {
		own: descriptors,
		filter,
		isFilterOptional,
	});
	started.program = program;
	const stopFollowing = options.followed && follow(options.followed, (next) => clock.change(() => next));
	await untilOver(supervisor, named);
	stopFollowing?.();
	endObservation();
	if (program.filterError !== 0 && !isFilterOptional) throw filterError(program.filterError);
	if (program.execError !== 0) throw execError(file, program.execError);
	const failure: ExitStatus = { kind: "exited", exitCode: EXIT_OWN_FAILURE };
	const status = supervisor.hasRefusedLead ? failure : (supervisor.status ?? failure);
	return { status, page: supervisor.pageStatistics ?? { patched: 0, trapped: 0, refused: 0 } };
};
