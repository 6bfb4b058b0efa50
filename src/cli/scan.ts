/** `vsyscall scan PATH...`: paths -> what of them needs the vsyscall page, as text, JSON or SARIF. */
import { type Command, Option } from "commander";
import type { FileReport, Tally } from "../scan/report.ts";
import { EXIT_OWN_FAILURE } from "../supervisor/exit-status.ts";
import { say } from "./messages.ts";
import { addExamples } from "./examples.ts";

/** What is written of a scan, while it goes on. */
export interface ScanWriter {
	/** In front of everything. */
	begin(): void;
	report(report: FileReport): void;
	end(tally: Tally): void;
}

interface Flags {
	readonly json?: boolean;
	readonly sarif?: boolean;
}

const EXIT_FOUND = 1;

const EXIT_STATUS = `
Exit status:
  0    nothing was found
  1    something was found
  125  a path could not be searched`;

// A run loads nothing of a scan.
const writerOf = async ({ json, sarif }: Flags): Promise<ScanWriter> => {
	if (json === true) return (await import("./format/scan-json.ts")).jsonWriter();
	if (sarif === true) return (await import("./format/scan-sarif.ts")).sarifWriter();
	return (await import("./format/scan-text.ts")).textWriter();
};

const scan = async (paths: readonly string[], flags: Flags): Promise<void> => {
	const [{ scanPaths }, { isNeed }, { progressOf }] = await Promise.all([
		import("../scan/files/scan-paths.ts"),
		import("../scan/finding.ts"),
		import("./format/progress.ts"),
	]);
	const writer = await writerOf(flags);
	const progress = progressOf(paths);
	const seen = { isFound: false, isIncomplete: false };
	writer.begin();
	const tally = await scanPaths(paths, {
		onReport: (report) => {
			progress.clear();
			if (report.passedOver !== undefined) say(`${report.path}: ${report.passedOver}; passed over`);
			seen.isFound ||= report.findings.some(isNeed);
			seen.isIncomplete ||= report.passedOver !== undefined && paths.includes(report.path);
			writer.report(report);
		},
		onProgress: progress.show,
	});
	progress.end();
	writer.end(tally);
	process.exitCode = seen.isFound ? EXIT_FOUND : seen.isIncomplete ? EXIT_OWN_FAILURE : 0;
};

/** Adds `scan`, which inherits the settings of `program`. */
export const addScanCommand = (program: Command): void => {
	const command = program
		.command("scan")
		.description("find the programs in files, trees and container images that call the vsyscall page")
		.argument(
			"<path...>",
			"files, directories, archives of `docker save`, OCI layouts as tar; - is an archive on stdin",
		)
		.addOption(new Option("--json", "as JSON (docs/scan.schema.json)").conflicts("sarif"))
		.option("--sarif", "as SARIF 2.1.0, for code scanning")
		.addHelpText("after", EXIT_STATUS)
		.action(scan);
	addExamples(command, ["vsyscall scan .", "vsyscall scan --sarif . >found.sarif"]);
};
