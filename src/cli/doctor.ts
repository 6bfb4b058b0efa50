/** `vsyscall doctor`: what this host serves and allows, and whether a program needs what it does not. */
import type { Command } from "commander";
import { checkHost } from "../linux/host-check.ts";
import { writeOut } from "./messages.ts";

interface DoctorFlags {
	readonly json?: boolean;
}

const EXIT_PROBLEM = 1;

const EXAMPLES = `
Examples:
  vsyscall doctor
  vsyscall doctor --json`;

const printJson = (value: unknown): void => writeOut(`${JSON.stringify(value, undefined, "\t")}\n`);

const doctorHost = async ({ json }: DoctorFlags): Promise<void> => {
	const { readHostFacts } = await import("../linux/host-facts.ts");
	const { checkHostFacts } = await import("../doctor/host-checks.ts");
	const { checksText } = await import("./format/doctor-text.ts");
	const checks = checkHostFacts(readHostFacts());
	if (json === true) {
		printJson({ checks: checks.map(({ remedy, ...check }) => ({ ...check, remedy: remedy ?? null })) });
	} else writeOut(checksText(checks));
	if (checks.some(({ state }) => state === "problem")) process.exitCode = EXIT_PROBLEM;
};

const doctor = async (flags: DoctorFlags): Promise<void> => {
	checkHost();
	await doctorHost(flags);
};

/** Adds `doctor`, which inherits the settings of `program`. */
export const addDoctorCommand = (program: Command): void => {
	program
		.command("doctor")
		.description("say what this host serves and allows, and what to do where it does not")
		.option("--json", "as JSON")
		.addHelpText("after", EXAMPLES)
		.action(doctor);
};
