/** One run: a program under a clock, from the command to the status that it ends with. */
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
import { buildImage, type Image } from "../vdso/image.ts";
import { decidePolicy, incompleteness, type PagePolicy, type RequestedMode } from "../vsyscall/mode.ts";
import type { PageStatistics } from "./call-patcher.ts";
import { EXIT_OWN_FAILURE, type ExitStatus } from "./exit-status.ts";
import { Installer } from "./install.ts";
import { forwardSignals, JobStop } from "./job-control.ts";
import { PageFile } from "./page-file.ts";
import { isProcess } from "./process-facts.ts";
import { execError, findProgram } from "./program-file.ts";
import { seizeError } from "./seize-error.ts";
import { type OnFailure, Supervisor } from "./supervisor.ts";

export interface RunOptions {
	/** The command, byte for byte. */
	readonly command: readonly Uint8Array[];
	readonly clock: WallClock;
	readonly onFailure: OnFailure;
	readonly vsyscall: {
		readonly mode: RequestedMode;
		/** Call sites of the page are changed when they have trapped. */
		readonly patches: boolean;
	};
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
}

const prepare = (options: RunOptions): Prepared => {
	const host = readHostImage();
	const policy = decidePolicy({
		requested: options.vsyscall.mode,
		host: probeHostVsyscall(),
		isHostClock: options.clock.kind === "host",
		patches: options.vsyscall.patches,
	});
	const image = buildImage(host.vdso, { hasEntryPage: policy?.patches ?? false, copy: policy?.copy ?? "none" });
	const [violation] = verifyImage(image.bytes, "own");
	if (violation !== undefined) {
		throw new VsyscallError(
			"ERR_VSYSCALL_IMAGE",
			`the image breaks a rule of its own (${violation.rule}): ${violation.detail}`,
		);
	}
	const pageFile = new PageFile({ image, clock: options.clock, taiSeconds: readTaiOffset() });
	const installer = new Installer({ image, pageFile, roomFor: (length) => zeroTail(host.bytes, length) });
	return { pageFile, installer, image, policy };
};

/** What stops the calls that are answered here. */
const filterFor = (policy: PagePolicy | undefined): Uint8Array =>
	buildFilter({
		tracesPageCalls: policy?.tracesCalls ?? false,
		tracesSegvActions: policy?.tracesSegvActions ?? false,
		tracesTimeCalls: true,
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

const drainOnce = (supervisor: Supervisor): "running" | "over" | Error => {
	try {
		return supervisor.drain() ? "over" : "running";
	} catch (error) {
		return error instanceof Error ? error : new Error(String(error));
	}
};

/** Handles stops as SIGCHLD announces them, until no task is left. */
const untilOver = (supervisor: Supervisor): Promise<void> =>
	new Promise((resolve, reject) => {
		const sweep = setInterval(drain, SWEEP_MS);
		process.on("SIGCHLD", drain);
		drain();
		function drain(): void {
			const outcome = drainOnce(supervisor);
			if (outcome === "running") return;
			clearInterval(sweep);
			process.removeListener("SIGCHLD", drain);
			if (outcome === "over") return resolve();
			supervisor.endAll();
			reject(outcome);
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
	const { installer, pageFile, image, policy } = prepare(options);
	const incomplete = policy === undefined ? undefined : incompleteness(policy);
	if (incomplete !== undefined) options.report(incomplete);
	const started: { program?: PendingProgram } = {};
	const supervisor = new Supervisor({
		installer,
		pageFile,
		onFailure: options.onFailure,
		hasForeignChildren: waitForAny().kind !== "no-children",
		isHostClock: options.clock.kind === "host",
		report: options.report,
		trace: options.trace,
		timeCalls: { clock: pageFile, taiSeconds: pageFile.taiSeconds, image },
		page: policy === undefined ? undefined : { policy, image, clock: () => pageFile.current },
		mode: options.vsyscall.mode,
		programStarted: () => {
			// A program that needs the filter has not been started without it.
			const errno = started.program?.filterError ?? 0;
			if (errno !== 0) options.trace(withoutFilter(errno));
		},
		jobStop: new JobStop(),
	});
	// Nothing is lost without it as long as nobody sets the clock, and the page is the host's.
	const isFilterOptional = policy === undefined && options.clock.kind === "host";
	const filter = filterFor(policy);
	const { program, file } = start(supervisor, options.command, { own: [pageFile.fd], filter, isFilterOptional });
	started.program = program;
	await untilOver(supervisor);
	if (program.filterError !== 0 && !isFilterOptional) throw filterError(program.filterError);
	if (program.execError !== 0) throw execError(file, program.execError);
	const failure: ExitStatus = { kind: "exited", exitCode: EXIT_OWN_FAILURE };
	const status = supervisor.hasRefusedLead ? failure : (supervisor.status ?? failure);
	return { status, page: supervisor.pageStatistics ?? { patched: 0, trapped: 0, refused: 0 } };
};
