/** `vsyscall doctor`: what this host serves and allows, and whether a program needs what it does not. */
import { diagnose } from "../doctor/diagnosis.ts";
import { checkHostFacts } from "../doctor/host-checks.ts";
import { checkHost } from "../linux/host-check.ts";
import { readHostFacts } from "../linux/host-facts.ts";
import { probeHostVsyscall } from "../linux/host-vsyscall.ts";
import type { DoctorFlags } from "./doctor.ts";
import { patientOf } from "./doctor-target.ts";
import { checksJson, diagnosisJson } from "./format/doctor-json.ts";
import { checksText, diagnosisText } from "./format/doctor-text.ts";
import { writeOut } from "./messages.ts";

const EXIT_PROBLEM = 1;

const toText = (value: object): string => `${JSON.stringify(value, undefined, "\t")}\n`;

const doctorHost = ({ json }: DoctorFlags): "ok" | "problem" => {
	const checks = checkHostFacts(readHostFacts());
	writeOut(json === true ? toText(checksJson(checks)) : checksText(checks));
	return checks.some(({ state }) => state === "problem") ? "problem" : "ok";
};

const doctorTarget = async (target: string, { json }: DoctorFlags): Promise<"ok" | "problem"> => {
	const diagnosis = diagnose(await patientOf(target), probeHostVsyscall());
	writeOut(json === true ? toText(diagnosisJson(diagnosis)) : diagnosisText(diagnosis));
	return diagnosis.state;
};

/** @throws {VsyscallError} when the target cannot be looked at. */
export const doctor = async (target: string | undefined, flags: DoctorFlags): Promise<void> => {
	checkHost();
	const state = target === undefined ? doctorHost(flags) : await doctorTarget(target, flags);
	if (state === "problem") process.exitCode = EXIT_PROBLEM;
};
