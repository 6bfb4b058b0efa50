/**
 * What a scan found, as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"): one run, a result per finding, a
 * notification for each file that was passed over.
 */
import { pathToFileURL } from "node:url";
import type { Finding, FindingKind } from "../../scan/finding.ts";
import type { FileReport } from "../../scan/report.ts";
import { writeOut } from "../messages.ts";
import type { ScanWriter } from "../scan.ts";
import { VERSION } from "../version.ts";
import { describe } from "./scan-text.ts";

const SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/** Section 3.27.10: a need that was seen, one that is likely, and what is only good to know. */
const LEVELS: Readonly<Record<FindingKind, "error" | "warning" | "note">> = {
	call: "error",
	address: "warning",
	pointer: "warning",
	go: "warning",
	read: "error",
	glibc: "warning",
	mention: "note",
};

const RULES: Readonly<Record<FindingKind, string>> = {
	call: "Code calls the vsyscall page.",
	address: "Code takes the address of an entry of the vsyscall page.",
	pointer: "Data holds the address of an entry of the vsyscall page.",
	go: "The Go runtime calls the vsyscall page where there is no vDSO.",
	read: "Code reads the vsyscall page.",
	glibc: "A C library of a version that calls the vsyscall page.",
	mention: "Code compares with the address of the vsyscall page.",
};
const KINDS = Object.keys(RULES) as FindingKind[];

/** Relative paths stay relative, to the directory of the scan. What is in an archive is a fragment of it. */
const uriOf = ({ file, path }: Pick<FileReport, "file" | "path">): string => {
	const { pathname, href } = pathToFileURL(file.startsWith("/") ? file : `/${file}`);
	const uri = file.startsWith("/") ? href : pathname.slice(1);
	return path === file ? uri : `${uri}#${encodeURI(path.slice(file.length + 1))}`;
};

const resultOf = (report: FileReport, finding: Finding): unknown => ({
	ruleId: finding.kind,
	ruleIndex: KINDS.indexOf(finding.kind),
	level: LEVELS[finding.kind],
	message: { text: `${finding.symbol ?? "The file"} ${describe(finding)}.` },
	locations: [
		{
			physicalLocation: {
				artifactLocation: { uri: uriOf(report) },
				...(finding.offset === undefined
					? {}
					: { region: { byteOffset: finding.offset, byteLength: lengthOf(finding) } }),
				...(finding.address === undefined ? {} : { address: { absoluteAddress: Number(finding.address) } }),
			},
			...(finding.symbol === undefined
				? {}
				: { logicalLocations: [{ name: finding.symbol, kind: finding.code.length > 0 ? "function" : "variable" }] }),
		},
	],
});

const WORD = 8;

/** Bytes of the call, of the instruction or of the word. */
const lengthOf = ({ code }: Finding): number => code.at(-1)?.bytes.length ?? WORD;

const notificationOf = (report: FileReport): unknown => ({
	level: "warning",
	message: { text: report.passedOver },
	locations: [{ physicalLocation: { artifactLocation: { uri: uriOf(report) } } }],
});

export const sarifWriter = (): ScanWriter => {
	const notifications: unknown[] = [];
	let separator = "\n";
	return {
		begin() {
			const rules = KINDS.map((kind) => ({
				id: kind,
				shortDescription: { text: RULES[kind] },
				defaultConfiguration: { level: LEVELS[kind] },
			}));
			const tool = { driver: { name: "vsyscall", semanticVersion: VERSION, rules } };
			writeOut(`{"$schema": "${SCHEMA}", "version": "2.1.0", "runs": [{"tool": ${JSON.stringify(tool)}, "results": [`);
		},
		report(report) {
			for (const finding of report.findings) {
				writeOut(`${separator}${JSON.stringify(resultOf(report, finding))}`);
				separator = ",\n";
			}
			if (report.passedOver !== undefined) notifications.push(notificationOf(report));
		},
		end() {
			const invocation = { executionSuccessful: true, toolExecutionNotifications: notifications };
			writeOut(`\n], "invocations": [${JSON.stringify(invocation)}]}]}\n`);
		},
	};
};
