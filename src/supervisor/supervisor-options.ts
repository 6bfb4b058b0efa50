/** What the supervisor is told of a run, and whom it tells. */
import type { CoverageOptions } from "./install/coverage.ts";
import type { JobStop } from "./job-control.ts";
import type { Observer } from "./observation/observer.ts";
import type { TimeCallOptions } from "./time-calls/time-calls.ts";
import type { PageCallOptions } from "./vsyscall-page/page-calls.ts";

export interface SupervisorOptions
	extends Pick<CoverageOptions, "installer" | "onFailure" | "isMeant" | "mode" | "report" | "trace"> {
	/** The time that was asked for is the host's: a process that is not covered loses nothing. */
	readonly isHostClock: boolean;
	/**
	 * This process had children before the run (`sidecar & exec vsyscall run ...`, an init system): the end of the run is then known
	 * by counting tasks, not by having no child left.
	 */
	readonly hasForeignChildren: boolean;
	/** Told of every process that runs in real time, or whose programs will; without a reason when that is over. */
	readonly uncovered: (pid: number, reason: string | undefined) => void;
	/** The filter stops the system calls that mean the wall clock; undefined when it could not be asked for. */
	readonly timeCalls: Pick<TimeCallOptions, "clock" | "taiSeconds" | "ioUring" | "pretence"> | undefined;
	/** How the vsyscall page is given to processes; undefined when the host's own way is the right one. */
	readonly page: Pick<PageCallOptions, "policy" | "image" | "clock"> | undefined;
	/** In a run that counts or traces calls. */
	readonly observer?: Observer | undefined;
	/** Told when the first process executes its program. */
	readonly programStarted: () => void;
	/** Told when the first process enters and leaves a group-stop. */
	readonly jobStop: Pick<JobStop, "programStopped" | "programContinued">;
}
