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
  vsyscall doctor                 # this host
  vsyscall doctor ls              # a program that is in PATH`;

const printJson = (value: unknown): void => writeOut(`${JSON.stringify(value, undefined, "\t")}\n`);

const doctorHost = async ({ json }: DoctorFlags): Promise<"ok" | "problem"> => {
	const { readHostFacts } = await import("../linux/host-facts.ts");
	const { checkHostFacts } = await import("../doctor/host-checks.ts");
	const checks = checkHostFacts(readHostFacts());
	if (json === true) {
		printJson({ checks: checks.map(({ remedy, ...check }) => ({ ...check, remedy: remedy ?? null })) });
	} else {
		const { checksText } = await import("./format/doctor-text.ts");
		writeOut(checksText(checks));
	}
	return checks.some(({ state }) => state === "problem") ? "problem" : "ok";
};

const doctorTarget = async (target: string, { json }: DoctorFlags): Promise<"ok" | "problem"> => {
	const { patientOf } = await import("./doctor-target.ts");
	const { diagnose } = await import("../doctor/diagnosis.ts");
	const { probeHostVsyscall } = await import("../linux/host-vsyscall.ts");
	const diagnosis = diagnose(await patientOf(target), probeHostVsyscall());
	if (json === true) {
		const { diagnosisJson } = await import("./format/doctor-json.ts");
		printJson(diagnosisJson(diagnosis));
	} else {
		const { diagnosisText } = await import("./format/doctor-text.ts");
		writeOut(diagnosisText(diagnosis));
	}
	return diagnosis.state;
};

const doctor = async (target: string | undefined, flags: DoctorFlags): Promise<void> => {
	checkHost();
	const state = await (target === undefined ? doctorHost(flags) : doctorTarget(target, flags));
	if (state === "problem") process.exitCode = EXIT_PROBLEM;
};

/** Adds `doctor`, which inherits the settings of `program`. */
export const addDoctorCommand = (program: Command): void => {
	program
		.command("doctor")
		.description("say whether a program needs the vsyscall page and gets it here, or what this host allows")
		.argument("[target]", "a program, a process id or a directory; the host when there is none")
		.option("--json", "as JSON (docs/doctor.schema.json)")
		.addHelpText("after", EXAMPLES)
		.action(doctor);
};
