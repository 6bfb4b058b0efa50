/** One run: a program under a clock, from the command to the status that it ends with. */
import type { ClockFile } from "../clock-file/clock-file.ts";
import { noteFollower, noteUncovered } from "../clock-file/members.ts";
import type { WallClock } from "../clock/clock.ts";
import { verifyImage } from "../elf/verify.ts";
import { VsyscallError } from "../errors.ts";
import { type HostImage, readHostImage, readTaiOffset } from "../linux/host-vdso.ts";
import type { PendingProgram } from "../linux/spawn.ts";
import { waitForAny } from "../linux/wait.ts";
import { buildFilter } from "../linux/seccomp.ts";
import { probeHostVsyscall } from "../linux/host-vsyscall.ts";
import { errnoName } from "../linux/syscall-error.ts";
import { counterFault, readCounterFacts } from "../linux/time-stamp-counter.ts";
import type { IoUringWay } from "../syscalls/io-uring-way.ts";
import type { Pretence } from "../syscalls/pretence.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { type HostVdso, kernelVsyscallOffset } from "../vdso/host.ts";
import { buildImage, type Image, type ImageRequest } from "../vdso/image.ts";
import { type EntryForm, type FastEntry, hostEntryForm } from "../vdso/fast-entry.ts";
import type { Reads } from "../vdso/reads.ts";
import { decidePolicy, incompleteness, type PagePolicy, type RequestedMode } from "../vsyscall/mode.ts";
import type { PageStatistics } from "./vsyscall-page/call-patcher.ts";
import type { OnFailure } from "./install/coverage.ts";
import { EXIT_OWN_FAILURE, type ExitStatus } from "./exit-status.ts";
import type { ClockSource, SteeredClock } from "./clock-course.ts";
import { Installer } from "./install/install.ts";
import { Kits, type KitsOptions } from "./install/kits.ts";
import { forwardSignals, JobStop } from "./job-control.ts";
import { inheritance, launch } from "./launch.ts";
import { type FurtherProgram, type FurtherProgramOptions, startFurther } from "./further-program.ts";
import { PageFile } from "./install/page-file.ts";
import { isProcess, programNames } from "./process-facts.ts";
import { execError } from "./program-file.ts";
import { type ObservationOptions, ObservedRun } from "./observation/observed-run.ts";
import type { Observer } from "./observation/observer.ts";
import { CountedClock } from "./counted-clock.ts";
import { NamedRunClock, settledBy, type Settlement } from "./run-clock.ts";
import { isSelected, type Selection } from "./selection.ts";
import { type DrainResult, Supervisor } from "./supervisor.ts";

export interface RunOptions {
	/** The command, byte for byte. */
	readonly command: readonly Uint8Array[];
	/** A clock for this run alone, or one that has a name. */
	readonly clock: WallClock | ClockFile;
	/** What sets the clock meanwhile; only of a clock for this run alone. */
	readonly source: ClockSource | undefined;
	/** What becomes of a clock that a program has set. @default it stays so */
	readonly settle?: Settlement | undefined;
	/** A program that is started later. */
	readonly further?: FurtherProgram | undefined;
	/** The programs that are on the clock; undefined for all. */
	readonly selection: Selection | undefined;
	readonly onFailure: OnFailure;
	readonly reads: Reads;
	/** How 32-bit programs make system calls. */
	readonly fastEntry: FastEntry;
	/** What becomes of the timeouts of io_uring. */
	readonly ioUring: IoUringWay;
	/** What programs are told beside the time. @default undefined: nothing but the truth */
	readonly pretence?: Pretence | undefined;
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

/** Whether the time of the run is and stays the host's, and nobody counts who reads it. */
const isHostClock = ({ clock, source, further }: RunOptions): boolean => {
	const isCounted = further?.moments.some((moment) => "reads" in moment) === true;
	return "kind" in clock && clock.kind === "host" && source === undefined && !isCounted;
};

/** @throws {VsyscallError} ERR_VSYSCALL_READS when the counter of this host cannot be read without order. */
const checkReads = (reads: Reads, { fine }: HostVdso): void => {
	const fault = reads === "relaxed" ? counterFault(fine, readCounterFacts()) : undefined;
	if (fault === undefined) return;
	throw new VsyscallError(
		"ERR_VSYSCALL_READS",
		`--reads=relaxed needs a time stamp counter that goes alike on all processors, and ${fault}: give --reads=exact or --reads=coarse`,
	);
};

/** @throws {VsyscallError} ERR_VSYSCALL_IMAGE */
const checkedImage = ({ vdso }: HostImage, request: ImageRequest): Image => {
	const image = buildImage(vdso, request);
	const [violation] = verifyImage(image.bytes, "own");
	if (violation === undefined) return image;
	throw new VsyscallError(
		"ERR_VSYSCALL_IMAGE",
		`the image breaks a rule of its own (${violation.rule}): ${violation.detail}`,
	);
};

/** @throws {VsyscallError} ERR_VSYSCALL_FAST_ENTRY when the processor or the kernel refuses the instruction. */
const checkFastEntry = async (entry: FastEntry): Promise<void> => {
	if (entry !== "syscall" && entry !== "sysenter") return;
	const { fastInstructionFault } = await import("../linux/fast-entry-check.ts");
	const fault = fastInstructionFault(entry);
	if (fault === undefined) return;
	throw new VsyscallError("ERR_VSYSCALL_FAST_ENTRY", `--fast-entry=${entry}: ${fault}; give auto or int80`);
};

/** What stands in the image of 32-bit processes of a host. */
const entryForm = (entry: FastEntry, { vdso, bytes }: HostImage): EntryForm => {
	const kernelVsyscall = kernelVsyscallOffset(vdso);
	if (kernelVsyscall === undefined) return "int80";
	return entry === "auto" ? hostEntryForm(bytes.subarray(kernelVsyscall)) : entry;
};

/** The host without the function that makes random bytes in the process itself, where they are to be those of a seed. */
const hostFor = ({ pretence }: RunOptions): HostImage => {
	const host = readHostImage();
	if (pretence?.seed === undefined) return host;
	const functions = host.vdso.functions.filter(({ name }) => !name.endsWith("getrandom"));
	return { ...host, vdso: { ...host.vdso, functions } };
};

const prepare = async (options: RunOptions): Promise<Prepared> => {
	const host = hostFor(options);
	checkReads(options.reads, host.vdso);
	await checkFastEntry(options.fastEntry);
	const policy = decidePolicy({
		requested: options.vsyscall.mode,
		host: probeHostVsyscall(),
		// Calls of the page that nobody sees could not be counted.
		isHostClock: isHostClock(options) && options.observation === undefined,
		patches: options.vsyscall.patches,
	});
	const { reads } = options;
	const observedRun = options.observation && new ObservedRun(options.observation);
	const image = checkedImage(host, {
		hasEntryPage: policy?.patches ?? false,
		copy: policy?.copy ?? "none",
		reads,
		observation: observedRun?.request,
	});
	const pageFile = new PageFile({ image, clock: options.clock, taiSeconds: readTaiOffset() });
	const buildNarrow: KitsOptions["buildNarrow"] = (narrow, neighbour) =>
		checkedImage(narrow, {
			hasEntryPage: false,
			copy: "none",
			reads,
			entryForm: entryForm(options.fastEntry, narrow),
			observation: observedRun?.request,
			...(neighbour === undefined ? {} : { neighbour }),
		});
	const kits = new Kits({ host, image, pageFile, buildNarrow });
	const { observer, end } = observedRun?.begin(image) ?? { observer: undefined, end: () => {} };
	const installer = new Installer({ kits, pageFile, observer });
	const descriptors = [...pageFile.descriptors, ...(observedRun?.descriptors ?? [])];
	return { pageFile, installer, image, policy, observer, endObservation: end, descriptors };
};

/** What stops the calls that are answered here. */
const filterFor = (policy: PagePolicy | undefined, { ioUring, pretence }: RunOptions): Uint8Array =>
	buildFilter({
		tracesPageCalls: policy?.tracesCalls ?? false,
		tracesSegvActions: policy?.tracesSegvActions ?? false,
		tracesTimeCalls: true,
		tracesTracers: true,
		ioUring,
		pretence,
		syscallKey: SYSCALL_KEY,
	});

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

const namedClock = ({ clock, ioUring, report }: RunOptions): NamedRunClock | undefined => {
	if ("kind" in clock) return undefined;
	if (ioUring === "follow") noteFollower(clock);
	return new NamedRunClock(clock, report);
};

/** What happens beside the program. @returns a function to be called when the run is over */
const meanwhile = (
	{ source, further, report }: RunOptions,
	{ clock, ...start }: { readonly clock: SteeredClock } & Omit<FurtherProgramOptions, "report" | "atRead">,
): (() => void) => {
	const endSource = source?.(clock);
	const endFurther = further && startFurther(further, { ...start, atRead: clock.atRead, report });
	return () => {
		endSource?.();
		endFurther?.();
	};
};

/**
 * Runs the command until its last process has ended.
 *
 * Signals to this process go to the program meanwhile. The program's own end is the result, also when it could not be covered
 * (then it is exit status 125 and the reason has been reported).
 *
 * @throws {VsyscallError} ERR_VSYSCALL_NOT_FOUND, ERR_VSYSCALL_NOT_EXECUTABLE: the command; ERR_VSYSCALL_PTRACE: tracing is
 * forbidden; ERR_VSYSCALL_READS, ERR_VSYSCALL_FAST_ENTRY: this host cannot do what was asked for; ERR_VSYSCALL_SYSCALL: the host lacks
 * descriptors, memory or processes.
 */
export const run = async (options: RunOptions): Promise<RunResult> => {
	const { selection } = options;
	const { installer, pageFile, image, policy, observer, endObservation, descriptors } = await prepare(options);
	const named = namedClock(options);
	const own = new CountedClock(pageFile);
	const clock = named ?? own;
	const incomplete = policy === undefined ? undefined : incompleteness(policy);
	if (incomplete !== undefined) options.report(incomplete);
	const started: { program?: PendingProgram } = {};
	const supervisor = new Supervisor({
		installer,
		onFailure: options.onFailure,
		isMeant: (tid) => selection === undefined || isSelected(selection, programNames(tid)),
		hasForeignChildren: waitForAny().kind !== "no-children",
		isHostClock: isHostClock(options),
		report: options.report,
		trace: options.trace,
		uncovered: (pid, reason) => {
			if (!("kind" in options.clock)) noteUncovered(options.clock, pid, reason);
		},
		timeCalls: {
			clock: settledBy(clock, options.settle),
			taiSeconds: pageFile.taiSeconds,
			ioUring: options.ioUring,
			pretence: options.pretence,
		},
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
	// Nothing is lost without it as long as nobody sets the clock, the page and rings are the host's, and nothing is pretended.
	const isFilterOptional =
		policy === undefined && isHostClock(options) && options.ioUring === "host" && options.pretence === undefined;
	const inherited = inheritance({
		own: descriptors,
		filter: filterFor(policy, options),
		isFilterOptional,
	});
	const [name = new Uint8Array(0)] = options.command;
	const { program, file } = launch({ file: name, args: options.command }, inherited, (pid) => supervisor.seize(pid));
	// Before it runs: a signal that ended us from here on would leave it in real time.
	forwardSignals({
		pids: () => (supervisor.status === undefined ? [program.pid] : supervisor.tids.filter(isProcess)),
		lastDelivery: (signal) => supervisor.lastDelivery(signal),
	});
	program.release();
	started.program = program;
	const endMeanwhile = meanwhile(options, { clock: own, inherited, supervisor });
	await untilOver(supervisor, named);
	endMeanwhile();
	endObservation();
	if (program.filterError !== 0 && !isFilterOptional) throw filterError(program.filterError);
	if (program.execError !== 0) throw execError(file, program.execError);
	const failure: ExitStatus = { kind: "exited", exitCode: EXIT_OWN_FAILURE };
	const status = supervisor.hasRefusedLead ? failure : (supervisor.status ?? failure);
	return { status, page: supervisor.pageStatistics ?? { patched: 0, trapped: 0, refused: 0 } };
};
