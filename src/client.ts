/**
 * Starts programs from TypeScript. The supervisor is a process of its own: a tracer inside the caller would lose its stops to
 * libuv, and the caller's own children with them.
 */
import { type ChildProcess, spawn as spawnProcess, type SpawnOptions } from "node:child_process";
import { fileURLToPath } from "node:url";
import { isClockName } from "./clock-file/clock-name.ts";
import { parseClockSpec } from "./clock/spec.ts";
import { parseSpan } from "./supervisor/span.ts";
import { parseSelection } from "./supervisor/selection.ts";
import { type IoUringWay, parseIoUringWay } from "./syscalls/io-uring-way.ts";
import { type FastEntry, parseFastEntry } from "./vdso/fast-entry.ts";
import { parseReads, type Reads } from "./vdso/reads.ts";
import { parseMode, type RequestedMode } from "./vsyscall/mode.ts";

/** The command line, bundled beside the modules by the build. */
const CLI = fileURLToPath(new URL("../vsyscall.cjs", import.meta.url));

export interface ProgramOptions extends SpawnOptions {
	/**
	 * The time that the program and everything it starts see: a clock spec (docs/clock-spec.md), or the name of a clock that
	 * `createClock` or `vsyscall clock create` has made (docs/clocks.md).
	 *
	 * @default "host"
	 */
	readonly clock?: string;
	/**
	 * The clock is the host's for this long, a duration as in a clock spec (`30s`), and only then what `clock` says, which must not be
	 * the name of a clock.
	 *
	 * @default "0s"
	 */
	readonly after?: string;
	/**
	 * How long it is that; then it is the host's again.
	 *
	 * @default to the end
	 */
	readonly for?: string;
	/**
	 * The names of the programs that are on the clock, without their directory: all others run in real time. Not with `skip`.
	 *
	 * @default every program
	 */
	readonly only?: readonly string[];
	/** The names of programs that run in real time. Not with `only`. */
	readonly skip?: readonly string[];
	/**
	 * What happens to a process that cannot be covered: it is ended with exit status 125, or it runs in real time. Either way one
	 * line on stderr names it and the reason.
	 *
	 * @default "refuse"
	 */
	readonly onFailure?: "refuse" | "warn";
	/**
	 * What the vsyscall page does for the program and everything it starts, see docs/modes.md.
	 *
	 * @default "auto"
	 */
	readonly vsyscall?: RequestedMode;
	/**
	 * How CLOCK_REALTIME, CLOCK_MONOTONIC and gettimeofday read the host's clock, see docs/reads.md.
	 *
	 * @default "exact"
	 */
	readonly reads?: Reads;
	/**
	 * How 32-bit programs make system calls through the vDSO, see docs/modes.md.
	 *
	 * @default "auto"
	 */
	readonly fastEntry?: FastEntry;
	/**
	 * Whose clock the timeouts of io_uring are on: the host's; the run's ("follow"), which costs each call that submits a stop; or there
	 * is no io_uring ("refuse"). See docs/limits.md.
	 *
	 * @default "host"
	 */
	readonly ioUring?: IoUringWay;
	/**
	 * Whether call sites of the vsyscall page are changed when they have trapped once, so that they never trap again.
	 *
	 * @default true
	 */
	readonly patch?: boolean;
}

/**
 * Starts `file` under a clock, as `vsyscall run` does, and returns the supervisor as a child process: its standard streams are the
 * program's, its exit status and the signal that ends it are the program's, and signals sent to it go on to the program.
 *
 * All other options are those of child_process.spawn; `shell` and `argv0` apply to the supervisor and are of no use here.
 *
 * @throws {ClockSpecError} ERR_VSYSCALL_CLOCK_SPEC when `clock` is neither a clock spec nor a name.
 * @throws {VsyscallError} ERR_VSYSCALL_MODE when `vsyscall` is not a mode; ERR_VSYSCALL_READS when `reads` is none of the ways;
 * ERR_VSYSCALL_FAST_ENTRY when `fastEntry` is none; ERR_VSYSCALL_IO_URING when `ioUring` is none; ERR_VSYSCALL_SPAN when `after` and `for` cannot be those of this clock;
 * ERR_VSYSCALL_SELECTION when `only` and `skip` are both given, or have a name that is empty or a path.
 * @example
 *     const server = spawn("redis-server", ["--port", "0"], { clock: "+30d", stdio: "inherit" });
 */
export const spawn = (file: string, args: readonly string[] = [], options: ProgramOptions = {}): ChildProcess => {
	const {
		clock = "host",
		onFailure = "refuse",
		vsyscall = "auto",
		reads = "exact",
		fastEntry = "auto",
		ioUring = "host",
		patch = true,
		only,
		skip,
		after,
		for: length,
		...spawnOptions
	} = options;
	if (!isClockName(clock)) parseClockSpec(clock);
	const span = { after, for: length };
	parseSpan({ clock, ...span });
	parseMode(vsyscall);
	parseReads(reads);
	parseFastEntry(fastEntry);
	parseIoUringWay(ioUring);
	const lists = { only: only?.join(","), skip: skip?.join(",") };
	parseSelection(lists);
	const settings = ["--clock", clock, "--on-failure", onFailure, "--vsyscall", vsyscall, "--reads", reads];
	const further = Object.entries({ ...lists, ...span }).flatMap(([option, value]) =>
		value === undefined ? [] : [`--${option}=${value}`],
	);
	const flags = [
		...settings,
		"--fast-entry",
		fastEntry,
		"--io-uring",
		ioUring,
		...further,
		...(patch ? [] : ["--no-patch"]),
	];
	const command = [CLI, "run", ...flags, "--", file, ...args];
	return spawnProcess(process.execPath, command, spawnOptions);
};
