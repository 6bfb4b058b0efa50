/** `vsyscall inspect`: flags -> a report of the fast-call layer of a process, a core file, an image or the host. */
import { writeFileSync } from "node:fs";
import { VsyscallError } from "../errors.ts";
import { type DisassembledFunction, disassembleImage } from "../inspect/disassembly.ts";
import type { ImageReport } from "../inspect/image-report.ts";
import { cannotWrite, noImage } from "../inspect/inspect-error.ts";
import { isImage } from "../inspect/layer.ts";
import type { Report } from "../inspect/report.ts";
import { inspectJson } from "./format/inspect-json.ts";
import { disassemblyText, inspectText } from "./format/inspect-text.ts";
import type { InspectFlags } from "./inspect.ts";
import { inspectFile, inspectHost, inspectProcess } from "./inspect-target.ts";
import { writeOut } from "./messages.ts";

const lookAt = (target: string | undefined, flags: InspectFlags): Report => {
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

const disassembled = (report: Report, symbol: string | true): readonly DisassembledFunction[] => {
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

/** @throws {VsyscallError} ERR_VSYSCALL_INSPECT when the target, or what is asked of it, cannot be looked at. */
export const inspect = (target: string | undefined, flags: InspectFlags): void => {
	const report = lookAt(target, flags);
	const functions = flags.disassemble === undefined ? undefined : disassembled(report, flags.disassemble);
	if (flags.dump !== undefined) dump(report, flags.dump);
	if (flags.json === true) {
		writeOut(`${JSON.stringify(inspectJson(report, functions), undefined, "\t")}\n`);
		return;
	}
	if (functions !== undefined) writeOut(disassemblyText(functions));
	else if (flags.dump === undefined) writeOut(inspectText(report));
};
