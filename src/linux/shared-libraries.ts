/**
 * The files that a program is made of when it runs: its own, its loader, and the libraries that the loader would find.
 *
 * Nothing is executed for it (ldd(1) runs the program's loader). Libraries are looked for as ld.so(8) says, but for its cache: the
 * directories of /etc/ld.so.conf instead.
 */
import { readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { DT_RPATH, DT_RUNPATH, EM_X86_64, PT_INTERP } from "../elf/constants.ts";
import { dynamicStrings, dynamicValue } from "../elf/dynamic.ts";
import { ElfError } from "../elf/elf-error.ts";
import { type ElfFile, readElf } from "../elf/reader.ts";
import { bytesAt } from "../scan/source.ts";
import { withFile } from "./open-file.ts";
import { readText } from "./proc-file.ts";
import { VsyscallError } from "../errors.ts";

/** Of the loaders of glibc and musl, in which they look without being told. */
const DEFAULT_DIRECTORIES = ["/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"] as const;
/** Nothing that is loaded into a process is larger. */
const LARGEST = 1 << 28;
const MOST_FILES = 1000;
const MOST_INCLUDES = 8;

const listDirectory = (path: string): readonly string[] => {
	try {
		return readdirSync(path).toSorted();
	} catch {
		return [];
	}
};

/** The directories of a file like /etc/ld.so.conf; `include` names others, by a pattern with one asterisk in its last part. */
const configuredDirectories = (file: string, depth = 0): readonly string[] =>
	readText(file)
		.split("\n")
		.map((line) => line.replace(/#.*/, "").trim())
		.flatMap((line) => {
			const pattern = /^include\s+(\S+)$/.exec(line)?.[1];
			if (pattern === undefined) return line === "" ? [] : [line];
			if (depth > MOST_INCLUDES) return [];
			const directory = dirname(resolve(dirname(file), pattern));
			const [front = "", back = ""] = basename(pattern).split("*");
			return listDirectory(directory)
				.filter((entry) => entry.startsWith(front) && entry.endsWith(back))
				.flatMap((entry) => configuredDirectories(join(directory, entry), depth + 1));
		});

/** The file as ELF for x86-64; undefined for everything else. */
const readProgram = (path: string): ElfFile | undefined => {
	try {
		const elf = withFile(path, (source) => readElf(bytesAt(source, 0, Math.min(source.length, LARGEST))));
		return elf.header.machine === EM_X86_64 ? elf : undefined;
	} catch (error) {
		if (error instanceof ElfError || error instanceof VsyscallError) return undefined;
		throw error;
	}
};

const interpreterOf = ({ programHeaders, view }: ElfFile): string | undefined => {
	const segment = programHeaders.find(({ type }) => type === PT_INTERP);
	if (segment === undefined) return undefined;
	const bytes = view.bytes.subarray(Number(segment.offset), Number(segment.offset + segment.fileSize));
	return Buffer.from(bytes).toString("latin1").replace(/\0.*$/s, "");
};

const runPath = (path: string, { view, addresses, dynamic }: ElfFile): readonly string[] => {
	const offset = dynamicValue(dynamic, DT_RUNPATH) ?? dynamicValue(dynamic, DT_RPATH);
	if (offset === undefined) return [];
	const text = dynamicStrings(view, addresses, dynamic)?.at(Number(offset), "DT_RUNPATH") ?? "";
	return text
		.split(":")
		.filter((part) => part !== "")
		.map((part) => part.replaceAll(/\$ORIGIN|\$\{ORIGIN\}/g, dirname(path)));
};

export interface ProgramFiles {
	/** The program first. */
	readonly paths: readonly string[];
	/** Names of libraries that were not found. */
	readonly missing: readonly string[];
}

/** @param path of an ELF program */
export const filesOfProgram = (path: string): ProgramFiles => {
	const program = readProgram(path);
	const interpreter = program === undefined ? undefined : interpreterOf(program);
	const paths = new Set([path]);
	if (program === undefined || interpreter === undefined) return { paths: [path], missing: [] };
	const library = (process.env["LD_LIBRARY_PATH"] ?? "").split(":").filter((part) => part !== "");
	const shared = [
		...library,
		...configuredDirectories("/etc/ld.so.conf"),
		dirname(interpreter),
		...DEFAULT_DIRECTORIES,
	];
	const missing = new Set<string>();
	paths.add(interpreter);
	for (const file of paths) {
		const elf = file === path ? program : readProgram(file);
		if (elf === undefined || paths.size > MOST_FILES) continue;
		const directories = [...runPath(file, elf), ...shared];
		for (const name of elf.needed) {
			// A loader takes a name for what it has loaded by it: its own, too.
			if ([...paths].some((loaded) => basename(loaded) === name)) continue;
			const candidates = name.includes("/") ? [name] : directories.map((directory) => join(directory, name));
			const found = candidates.find((candidate) => readProgram(candidate) !== undefined);
			if (found === undefined) missing.add(name);
			else paths.add(found);
		}
	}
	return { paths: [...paths], missing: [...missing] };
};
