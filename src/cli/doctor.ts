/** `vsyscall doctor`: its options. What it does is loaded when it runs. */
import type { Command } from "commander";
import { addExamples } from "./examples.ts";

export interface DoctorFlags {
	readonly json?: boolean;
}

/** Adds `doctor`, which inherits the settings of `program`. */
export const addDoctorCommand = (program: Command): void => {
	const command = program
		.command("doctor")
		.description("say whether a program needs the vsyscall page and gets it here, or what this host allows")
		.argument("[target]", "a program, a process id or a directory; the host when there is none")
		.option("--json", "as JSON (docs/doctor.schema.json)")
		.action(async (target: string | undefined, flags: DoctorFlags) => {
			const { doctor } = await import("./doctor-run.ts");
			await doctor(target, flags);
		});
	addExamples(command, ["vsyscall doctor", "vsyscall doctor ls"]);
};
