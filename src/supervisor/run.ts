/** One run: a program under a clock, from the command to the status that it ends with. */
import type { WallClock } from "../clock/clock.ts";
import { verifyImage } from "../elf/verify.ts";
import { VsyscallError } from "../errors.ts";
import { readHostImage, readTaiOffset, zeroTail } from "../linux/host-vdso.ts";
import { inheritedDescriptors, inheritedEnvironment, inheritedOpenFilesLimit } from "../linux/inherited-state.ts";
import { type PendingProgram, spawn } from "../linux/spawn.ts";
import { waitForAny } from "../linux/wait.ts";
import { buildImage } from "../vdso/image.ts";
import type { ExitStatus } from "./exit-status.ts";
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
	readonly report: (message: string) => void;
	readonly trace: (message: string) => void;
}

/** A safety net under SIGCHLD; also what keeps the event loop alive. */
const SWEEP_MS = 500;

const prepare = (options: RunOptions): { installer: Installer; pageFile: PageFile } => {
	const host = readHostImage();
	const image = buildImage(host.vdso);
	const [violation] = verifyImage(image.bytes, "own");
	if (violation !== undefined) {
		throw new VsyscallError(
			"ERR_VSYSCALL_IMAGE",
			`the image breaks a rule of its own (${violation.rule}): ${violation.detail}`,
		);
	}
	const pageFile = new PageFile({ image, clock: options.clock, taiSeconds: readTaiOffset() });
	return { pageFile, installer: new Installer({ image, pageFile, roomFor: (length) => zeroTail(host.bytes, length) }) };
};

const start = (
	supervisor: Supervisor,
	command: readonly Uint8Array[],
	own: readonly number[],
): { program: PendingProgram; file: Uint8Array } => {
	const [name = new Uint8Array(0)] = command;
	const file = findProgram(name, process.env["PATH"]);
	const program = spawn({
		file,
		args: command,
		environment: inheritedEnvironment(),
		descriptors: inheritedDescriptors(own),
		openFilesLimit: inheritedOpenFilesLimit(),
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
export const run = async (options: RunOptions): Promise<ExitStatus> => {
	const { installer, pageFile } = prepare(options);
	const supervisor = new Supervisor({
		installer,
		pageFile,
		onFailure: options.onFailure,
		hasForeignChildren: waitForAny().kind !== "no-children",
		isHostClock: options.clock.kind === "host",
		report: options.report,
		trace: options.trace,
		jobStop: new JobStop(),
	});
	const { program, file } = start(supervisor, options.command, [pageFile.fd]);
	await untilOver(supervisor);
	if (program.execError !== 0) throw execError(file, program.execError);
	if (supervisor.hasRefusedLead) return { kind: "exited", exitCode: 125 };
	return supervisor.status ?? { kind: "exited", exitCode: 125 };
};
