/** `vsyscall inspect`: arguments -> a report of the fast-call layer of a process, a core file, an image or the host. */
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { cannotWrite, noImage } from "../inspect/inspect-error.ts";
import type { DisassembledFunction } from "../inspect/disassembly.ts";
import { isImage } from "../inspect/layer.ts";
import type { ImageReport } from "../inspect/image-report.ts";
import type { Report } from "../inspect/report.ts";
import { VsyscallError } from "../errors.ts";
import { writeOut } from "./messages.ts";

interface InspectFlags {
	readonly host?: boolean;
	readonly json?: boolean;
	/** true without a symbol */
	readonly disassemble?: string | true;
	readonly dump?: string;
}

const EXAMPLES = `
Examples:
  vsyscall inspect $$                                    # the shell
  vsyscall inspect --host --disassemble __vdso_time      # the kernel's own code`;

const lookAt = async (target: string | undefined, flags: InspectFlags): Promise<Report> => {
	const { inspectFile, inspectHost, inspectProcess } = await import("./inspect-target.ts");
	if (target === undefined) return inspectHost();
	if (flags.host === true) {
		throw new VsyscallError("ERR_VSYSCALL_INSPECT", `--host and ${target} were both given: choose one`);
	}
	return /^\d+$/.test(target) ? inspectProcess(Number(target)) : inspectFile(target);
};

const imageOf = ({ layer: { image }, target }: Report): ImageReport => {
	if (isImage(image)) return image;
	const what = target.kind === "process" ? `process ${target.pid}` : `the ${target.kind}`;
	throw noImage(what, image?.fault ?? "its auxiliary vector leads to none");
};

const disassembled = async (report: Report, symbol: string | true): Promise<readonly DisassembledFunction[]> => {
	const { disassembleImage } = await import("../inspect/disassembly.ts");
	const { memory, mappings, layer } = report;
	const surroundings = { memory, mappings, names: layer.names, vvarPage: layer.ownClock?.address };
	return disassembleImage(imageOf(report), surroundings, symbol === true ? undefined : symbol);
};

const dump = (report: Report, path: string): void => {
	try {
		writeFileSync(path, imageOf(report).bytes);
	} catch (error) {
		if (error instanceof VsyscallError) throw error;
		throw cannotWrite(path, error instanceof Error ? error.message : String(error), error);
	}
};

const inspect = async (target: string | undefined, flags: InspectFlags): Promise<void> => {
	const report = await lookAt(target, flags);
	const functions = flags.disassemble === undefined ? undefined : await disassembled(report, flags.disassemble);
	if (flags.dump !== undefined) dump(report, flags.dump);
	if (flags.json === true) {
		const { inspectJson } = await import("./format/inspect-json.ts");
		writeOut(`${JSON.stringify(inspectJson(report, functions), undefined, "\t")}\n`);
		return;
	}
	const { disassemblyText, inspectText } = await import("./format/inspect-text.ts");
	if (functions !== undefined) writeOut(disassemblyText(functions));
	else if (flags.dump === undefined) writeOut(inspectText(report));
};

/** Adds `inspect`, which inherits the settings of `program`. */
export const addInspectCommand = (program: Command): void => {
	program
		.command("inspect")
		.description("look at the vDSO, the vvar page and the vsyscall page of a process, a core file or the host")
		.argument("[target]", "a process id, a core file or a vDSO image; the host when there is none")
		.option("--host", "the kernel's own layer")
		.option("--json", "as JSON (docs/inspect.schema.json)")
		.option("--disassemble [symbol]", "the code instead, or that of one function")
		.option("--dump <file>", "write the image to a file")
		.addHelpText("after", EXAMPLES)
		.action(inspect);
};
