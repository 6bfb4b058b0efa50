/** What `vsyscall doctor` was asked about -> its ELF files, scanned. Loaded only when the verb runs. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Patient, ScannedFile } from "../doctor/diagnosis.ts";
import { ELFMAG } from "../elf/constants.ts";
import { ElfError } from "../elf/elf-error.ts";
import { VsyscallError } from "../errors.ts";
import { hasNoProgram } from "../inspect/inspect-error.ts";
import { describeLayer } from "../inspect/layer.ts";
import { withFile } from "../linux/open-file.ts";
import { lookAtProcess, type ProcessView } from "../linux/process-view.ts";
import { interpreterLine, programOfLine } from "../linux/script.ts";
import { filesOfProgram } from "../linux/shared-libraries.ts";
import { scanPaths } from "../scan/files/scan-paths.ts";
import { scanElf } from "../scan/scan-elf.ts";
import { type ByteSource, bytesAt } from "../scan/source.ts";
import { findProgram } from "../supervisor/program-file.ts";

/** Words as a shell takes them. */
const shellWords = (words: readonly string[]): string =>
	words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");

type Scanned = Pick<Patient, "files" | "searched" | "missing">;

const MAGIC_SIZE = 4;
/** A script can be the interpreter of a script (BINPRM_MAX_RECURSION). */
const MOST_SCRIPTS = 5;

const isElf = (source: ByteSource): boolean => {
	const head = bytesAt(source, 0, MAGIC_SIZE);
	return head.length === MAGIC_SIZE && new DataView(head.buffer, head.byteOffset).getUint32(0, true) === ELFMAG;
};

/** undefined for what is no ELF file, or a damaged one. @param path where it is read, when that is not where it is seen */
const scanFile = (name: string, path: string = name): ScannedFile | undefined =>
	withFile(path, (source) => {
		if (!isElf(source)) return undefined;
		try {
			return { path: name, ...scanElf(source) };
		} catch (error) {
			if (error instanceof ElfError) return undefined;
			throw error;
		}
	});

/** Files that cannot be read are missing; those that are no ELF files do not count. */
const scanFiles = (names: readonly string[], pathOf: (name: string) => string = (name) => name): Scanned => {
	const files: ScannedFile[] = [];
	const missing: string[] = [];
	for (const name of names) {
		try {
			const scanned = scanFile(name, pathOf(name));
			if (scanned !== undefined) files.push(scanned);
		} catch (error) {
			if (!(error instanceof VsyscallError)) throw error;
			missing.push(name);
		}
	}
	return { files, searched: files.length, missing };
};

/** A path may lead to what is not executed itself, a library; other words are looked for as a shell would. */
const find = (name: string): string =>
	name.includes("/") ? name : Buffer.from(findProgram(new TextEncoder().encode(name), process.env["PATH"])).toString();

/** The scripts and the program that a name leads to. */
const resolveProgram = (name: string): { readonly path: string; readonly scripts: readonly string[] } => {
	const scripts: string[] = [];
	let path = find(name);
	for (let line = interpreterLine(path); line !== undefined; line = interpreterLine(path)) {
		if (scripts.length >= MOST_SCRIPTS) break;
		scripts.push(path);
		path = find(programOfLine(line));
	}
	return { path, scripts };
};

const programPatient = (name: string): Patient => {
	const { path } = resolveProgram(name);
	if (withFile(path, (source) => !isElf(source))) {
		throw new VsyscallError(
			"ERR_VSYSCALL_NOT_EXECUTABLE",
			`${path} is neither a program nor a script with a #! line, so it needs nothing`,
		);
	}
	const { paths, missing } = filesOfProgram(path);
	const scanned = scanFiles(paths);
	return {
		kind: "program",
		name,
		command: shellWords([name]),
		files: scanned.files,
		searched: scanned.searched,
		missing: [...missing, ...scanned.missing],
		isInRun: false,
	};
};

const isMappedFile = ({ permissions, name }: ProcessView["mappings"][number]): boolean =>
	permissions.includes("x") && name.startsWith("/") && !name.startsWith("/memfd:");

const processPatient = (pid: number): Patient =>
	lookAtProcess(pid, (view) => {
		if (view.emptiness !== undefined) throw hasNoProgram(pid, view.emptiness);
		const names = [...new Set(view.mappings.filter(isMappedFile).map(({ name }) => name))];
		return {
			kind: "process",
			name: `process ${pid}`,
			command: shellWords(view.command),
			// Its root directory may be another one.
			...scanFiles(names, (name) => join(`/proc/${pid}/root`, name)),
			isInRun: describeLayer(view).ownClock !== undefined,
		};
	});

const directoryPatient = async (path: string): Promise<Patient> => {
	const files: ScannedFile[] = [];
	const missing: string[] = [];
	const { searched } = await scanPaths([path], {
		onReport: (report) => {
			if (report.passedOver !== undefined) missing.push(report.path);
			files.push({ path: report.path, findings: report.findings, isApplicable: true });
		},
		onProgress: () => {},
	});
	return { kind: "directory", name: path, command: shellWords([path]), files, searched, missing, isInRun: false };
};

const isDirectory = (path: string): boolean => {
	try {
		return statSync(path).isDirectory();
	} catch {
		return false;
	}
};

/**
 * @throws {VsyscallError} ERR_VSYSCALL_NOT_FOUND or ERR_VSYSCALL_NOT_EXECUTABLE for a program, ERR_VSYSCALL_INSPECT for a process or a
 * file that cannot be looked at.
 */
export const patientOf = async (target: string): Promise<Patient> => {
	if (/^\d+$/.test(target)) return processPatient(Number(target));
	return isDirectory(target) ? directoryPatient(target) : programPatient(target);
};
