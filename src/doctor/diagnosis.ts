/**
 * Whether a program needs the vsyscall page, whether the host serves it, and what to type: three lines and one command.
 *
 * Pure: what is in the files comes from scan/, what the host does from linux/.
 */
import { type Finding, isNeed } from "../scan/finding.ts";
import type { HostMode } from "../vsyscall/mode.ts";

export interface ScannedFile {
	readonly path: string;
	readonly findings: readonly Finding[];
	/** Programs of other classes and processors have no such page. */
	readonly isApplicable: boolean;
}

export interface Patient {
	readonly kind: "program" | "process" | "directory";
	/** What it is called in the lines. */
	readonly name: string;
	/** What starts it, as a person would type it. */
	readonly command: string;
	/** The ELF files that were scanned; of a directory those with findings. */
	readonly files: readonly ScannedFile[];
	/** How many ELF files were scanned. */
	readonly searched: number;
	/** Files that could not be read, and libraries that were not found. */
	readonly missing: readonly string[];
	/** It is a process of a run already. */
	readonly isInRun: boolean;
}

export interface Diagnosis {
	readonly state: "ok" | "problem";
	/** Whether it needs the page; what the host does; what follows. */
	readonly need: string;
	readonly host: string;
	readonly verdict: string;
	readonly command: string;
	/** Files with a need. */
	readonly files: readonly ScannedFile[];
}

const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? "" : "s"}`;

const needsOf = ({ findings }: ScannedFile): readonly Finding[] => findings.filter(isNeed);

const placeOf = ({ symbol, address }: Finding): string => {
	const at = address === undefined ? "" : `0x${address.toString(16)}`;
	return symbol === undefined ? at : `${symbol} (${at})`;
};

const entriesOf = (findings: readonly Finding[]): string =>
	[...new Set(findings.flatMap(({ entry }) => entry ?? []))].join(", ");

/** What a file does with the page, by its strongest finding. */
const useOf = (findings: readonly Finding[]): string => {
	const of = (...kinds: readonly Finding["kind"][]): readonly Finding[] =>
		findings.filter(({ kind }) => kinds.includes(kind));
	const calls = of("call");
	const [call] = calls;
	if (call !== undefined) return `${counted(calls.length, "call")} of ${entriesOf(calls)}, first at ${placeOf(call)}`;
	const [taken] = of("address", "pointer");
	if (taken !== undefined) return `the address of ${entriesOf([taken]) || "the page"}, at ${placeOf(taken)}`;
	const [read] = of("read");
	if (read !== undefined) return `a read of it, at ${placeOf(read)}`;
	const [weak] = of("go", "glibc");
	return weak?.detail ?? "a use of it";
};

const needText = ({ name, kind, files, searched, missing }: Patient, needy: readonly ScannedFile[]): string => {
	const unseen =
		missing.length === 0
			? ""
			: `; not looked at: ${missing.slice(0, 3).join(", ")}${missing.length > 3 ? ", ..." : ""}`;
	const [first, ...others] = needy;
	if (first === undefined && files.length > 0 && files.every(({ isApplicable }) => !isApplicable)) {
		return `${name} is not for x86-64, and has no vsyscall page anywhere${unseen}`;
	}
	if (first === undefined) {
		return `${name} does not use the vsyscall page (${counted(searched, "ELF file")} looked at${unseen})`;
	}
	const more = others.length === 0 ? "" : `, and ${counted(others.length, "more file")}`;
	const has = kind === "directory" ? "has programs that need" : "needs";
	const where = first.path === name ? "" : `${first.path} has `;
	return `${name} ${has} the vsyscall page: ${where}${useOf(needsOf(first))}${more}${unseen}`;
};

const HOST: Readonly<Record<HostMode, string>> = {
	emulate: "this host serves the page, and lets it be read (emulate)",
	xonly: "this host serves calls of the page, and no reads (xonly)",
	none: "this host does not serve the page (none)",
};

/** Only a version or a variable tells: it is called in some cases alone. */
const isCertain = (needs: readonly Finding[]): boolean =>
	needs.some(({ kind }) => kind !== "glibc" && kind !== "go" && kind !== "pointer");

interface Outcome {
	readonly state: Diagnosis["state"];
	readonly verdict: string;
	readonly command: string;
}

const runs = (mode: string, { kind, command }: Patient): string =>
	kind === "directory" ? `vsyscall scan ${command}` : `vsyscall run ${mode}-- ${command}`;

const outcomeOf = (patient: Patient, needs: readonly Finding[], host: HostMode): Outcome => {
	const asItIs = patient.kind === "directory" ? `vsyscall scan ${patient.command}` : patient.command;
	const they = patient.kind === "directory" ? "those" : "it";
	const verb = (singular: string, plural: string): string => (patient.kind === "directory" ? plural : singular);
	if (needs.length === 0)
		return {
			state: "ok",
			verdict: patient.kind === "directory" ? "all of it runs as it is" : "it runs as it is",
			command: asItIs,
		};
	if (patient.isInRun)
		return { state: "ok", verdict: "it is in a run of vsyscall, which serves the page", command: asItIs };
	const isRead = needs.some(({ kind }) => kind === "read");
	const mode = isRead ? "--vsyscall=emulate " : "";
	if (host === "none" || (isRead && host !== "emulate")) {
		const may = isCertain(needs) ? verb("ends", "end") : "may end";
		const when = host === "none" ? "at the first call" : "at the first read";
		return {
			state: "problem",
			verdict: `${they} ${may} with SIGSEGV (139 in a shell) ${when}`,
			command: runs(mode, patient),
		};
	}
	const verdict = `${they} ${verb("runs", "run")} as ${verb("it is", "they are")}; each call costs a trap, and under vsyscall run only the first one`;
	return { state: "ok", verdict, command: asItIs };
};

export const diagnose = (patient: Patient, host: HostMode): Diagnosis => {
	const files = patient.files.filter((file) => file.findings.some(isNeed));
	const needs = files.flatMap(needsOf);
	return { need: needText(patient, files), host: HOST[host], ...outcomeOf(patient, needs, host), files };
};
