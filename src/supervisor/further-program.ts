/** A program that is started some time after the first one, as a part of the same run. */
import type { Moment } from "../clock/span.ts";
import { type Inheritance, launch, type ProgramCommand } from "./launch.ts";
import { atMoment, type AtRead } from "./moments.ts";
import { execError } from "./program-file.ts";
import type { Supervisor } from "./supervisor.ts";

export interface FurtherProgram {
	readonly command: ProgramCommand;
	/** The first of them, counted from the start of the run. */
	readonly moments: readonly Moment[];
}

export interface FurtherProgramOptions {
	readonly inherited: Inheritance;
	readonly supervisor: Pick<Supervisor, "seizeFurther">;
	readonly atRead: AtRead;
	/** Told why it could not be started. */
	readonly report: (message: string) => void;
}

/**
 * Starts it when its time has come.
 *
 * @returns a function to be called when the run is over, which reports a program that could not be executed
 */
export const startFurther = (
	{ command, moments }: FurtherProgram,
	{ inherited, supervisor, atRead, report }: FurtherProgramOptions,
): (() => void) => {
	// Until it has been executed it reads memory of ours: it must stay reachable.
	let launched: ReturnType<typeof launch> | undefined;
	const start = (): void => {
		callOff();
		try {
			launched = launch(command, inherited, (pid) => supervisor.seizeFurther(pid));
			launched.program.release();
		} catch (error) {
			report(error instanceof Error ? error.message : String(error));
		}
	};
	const alarms = moments.map((moment) => atMoment(moment, start, atRead));
	const callOff = (): void => {
		for (const forget of alarms) forget();
	};
	return () => {
		callOff();
		if (launched === undefined || launched.program.execError === 0) return;
		report(execError(launched.file, launched.program.execError).message);
	};
};
