/** `vsyscall doctor`: its options. What it does is loaded when it runs. */
import type { Command } from "commander";

export interface DoctorFlags {
	readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  vsyscall doctor                 # this host
  vsyscall doctor ls              # a program that is in PATH`;

/** Adds `doctor`, which inherits the settings of `program`. */
export const addDoctorCommand = (program: Command): void => {
	program
		.command("doctor")
		.description("say whether a program needs the vsyscall page and gets it here, or what this host allows")
		.argument("[target]", "a program, a process id or a directory; the host when there is none")
		.option("--json", "as JSON (docs/doctor.schema.json)")
		.addHelpText("after", EXAMPLES)
		.action(async (target: string | undefined, flags: DoctorFlags) => {
			const { doctor } = await import("./doctor-run.ts");
			await doctor(target, flags);
		});
};
