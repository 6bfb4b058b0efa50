/** This machine's cost of every way to ask for the time. */
import { readFileSync, realpathSync } from "node:fs";
import { cpus, release } from "node:os";
import { PT_INTERP } from "../elf/constants.ts";
import type { Imports } from "../elf/executable.ts";
import { readElf } from "../elf/reader.ts";
import { VsyscallError } from "../errors.ts";
import { readCpuinfo } from "../linux/cpuinfo.ts";
import { readClockSource } from "../linux/time-stamp-counter.ts";
import { findProgram } from "../supervisor/program-file.ts";
import { type GroupResult, measureGroup } from "./measure.ts";
import { measuringProgram32 } from "./program32.ts";
import { measuringProgram64 } from "./program64.ts";
import type { SessionStart } from "./session.ts";
import { GROUPS, type Trial } from "./ways.ts";

export interface Machine {
	readonly cpu: string;
	readonly processors: number;
	readonly kernel: string;
	readonly clockSource: string;
	readonly node: string;
}

export interface BenchResult {
	readonly machine: Machine;
	readonly rounds: number;
	readonly groups: readonly GroupResult[];
}

export interface BenchOptions {
	readonly rounds: number;
	/** The file of the command line, which starts what runs under a clock. */
	readonly commandLine: string;
	/** Called before each group. */
	readonly progress: (title: string) => void;
}

const machine = (): Machine => ({
	cpu: /^model name\s*:\s*(.*)$/m.exec(readCpuinfo())?.[1] ?? "unknown",
	processors: cpus().length,
	kernel: release(),
	clockSource: readClockSource() || "unknown",
	node: process.version,
});

type Start = SessionStart | { readonly reason: string };

/** The dynamic loader and the libraries of a program: what one that calls the same C library needs. */
const importsLike = (file: string, functions: readonly string[]): Imports | undefined => {
	const bytes = readFileSync(file);
	const { programHeaders, needed } = readElf(bytes);
	const interpreter = programHeaders.find(({ type }) => type === PT_INTERP);
	if (interpreter === undefined) return undefined;
	const [from, size] = [Number(interpreter.offset), Number(interpreter.fileSize)];
	const path = bytes.toString("latin1", from, from + size).replace(/\0.*$/s, "");
	return { interpreter: path, libraries: needed, functions };
};

/** Ten years of 365 days, in the grammar of libfaketime. */
const FAKETIME_OFFSET = "+3650d";

const startUnderFaketime = (commandLine: string): Start => {
	let file: string;
	try {
		file = Buffer.from(findProgram(Buffer.from("faketime"), process.env["PATH"])).toString();
	} catch (error) {
		if (error instanceof VsyscallError) return { reason: "faketime is not installed" };
		throw error;
	}
	if (realpathSync(file) === realpathSync(commandLine)) return { reason: `${file} is vsyscall` };
	try {
		const imports = importsLike(file, ["clock_gettime"]);
		if (imports === undefined) return { reason: `${file} is a static program` };
		return {
			program: measuringProgram64(imports),
			through: [file, "-f", FAKETIME_OFFSET],
			environment: process.env,
		};
	} catch (error) {
		if (error instanceof VsyscallError) return { reason: `${file} is no ELF program` };
		throw error;
	}
};

/**
 * Measures all groups, one after the other.
 *
 * @throws {SyscallError} EACCES: the host lets no memory file be executed (vm.memfd_noexec=2).
 */
export const bench = async ({ rounds, commandLine, progress }: BenchOptions): Promise<BenchResult> => {
	const programs = { 64: measuringProgram64(), 32: measuringProgram32() };
	const startOf = ({ bits, start }: Trial): Start => {
		const common = { program: programs[bits], environment: process.env };
		switch (start.kind) {
			case "native":
				return { ...common, through: [] };
			case "run":
				return { ...common, through: [process.execPath, commandLine, "run", ...start.flags, "--"] };
			case "faketime":
				return startUnderFaketime(commandLine);
		}
	};
	const groups: GroupResult[] = [];
	for (const group of GROUPS) {
		progress(group.title);
		groups.push(await measureGroup(group, { rounds, startOf }));
	}
	return { machine: machine(), rounds, groups };
};
