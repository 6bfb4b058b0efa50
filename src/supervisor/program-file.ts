/**
 * Finds the file of a program as execvp(3) does, and says in words why one cannot be executed.
 *
 * Names are bytes: the kernel knows no encoding.
 */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import * as elf from "../elf/constants.ts";
import { VsyscallError } from "../errors.ts";
import { errnoName } from "../linux/syscall-error.ts";

const SLASH = 0x2f;
/** What execvp uses when PATH is not set (glibc, CS_PATH). */
const DEFAULT_PATH = "/bin:/usr/bin";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

const notFound = (message: string): VsyscallError => new VsyscallError("ERR_VSYSCALL_NOT_FOUND", message);
const notExecutable = (message: string): VsyscallError => new VsyscallError("ERR_VSYSCALL_NOT_EXECUTABLE", message);

type Candidate = "executable" | "directory" | "no permission" | "missing";

const examine = (path: Buffer): Candidate => {
	const file = statSync(path, { throwIfNoEntry: false });
	if (file === undefined) return "missing";
	if (file.isDirectory()) return "directory";
	try {
		accessSync(path, constants.X_OK);
		return "executable";
	} catch {
		return "no permission";
	}
};

const safely = (path: Buffer): Candidate => {
	try {
		return examine(path);
	} catch {
		// ENOTDIR, EACCES on the way, ENAMETOOLONG, ELOOP: nothing that could be executed.
		return "missing";
	}
};

/**
 * @param name the first word of the command
 * @param path the PATH to search, when the name has no slash
 * @throws {VsyscallError} ERR_VSYSCALL_NOT_FOUND or ERR_VSYSCALL_NOT_EXECUTABLE
 */
export const findProgram = (name: Uint8Array, path: string | undefined): Uint8Array => {
	if (name.length === 0) throw notFound("the program's name is empty");
	if (name.includes(SLASH)) {
		const candidate = safely(Buffer.from(name));
		if (candidate === "directory") throw notExecutable(`${text(name)} is a directory`);
		if (candidate === "no permission")
			throw notExecutable(`${text(name)} is not executable by you (chmod +x makes it so)`);
		// A file that is missing, or cannot be seen, is left to execve, whose errno tells more.
		return name;
	}
	let refused: Buffer | undefined;
	for (const directory of (path ?? DEFAULT_PATH).split(":")) {
		const file = Buffer.concat([Buffer.from(directory === "" ? "./" : `${directory}/`), name]);
		const candidate = safely(file);
		if (candidate === "executable") return file;
		if (candidate === "no permission") refused ??= file;
	}
	if (refused !== undefined) throw notExecutable(`${text(refused)} is not executable by you (chmod +x makes it so)`);
	throw notFound(`${text(name)} was not found in PATH`);
};

const MACHINES: Readonly<Record<number, string>> = {
	[elf.EM_386]: "i386",
	[elf.EM_X86_64]: "x86-64",
	[elf.EM_AARCH64]: "arm64",
	8: "MIPS",
	20: "PowerPC",
	21: "PowerPC64",
	22: "s390",
	40: "ARM",
	243: "RISC-V",
	258: "LoongArch",
};

const HEAD_SIZE = 256;

const readHead = (path: Uint8Array): Uint8Array => {
	const head = new Uint8Array(HEAD_SIZE);
	try {
		const fd = openSync(Buffer.from(path), "r");
		const count = readSync(fd, head);
		closeSync(fd);
		return head.subarray(0, count);
	} catch {
		return head.subarray(0, 0);
	}
};

/** Why the kernel does not know the format of a file (ENOEXEC). */
const describeFormat = (file: string, head: Uint8Array): string => {
	if (head.length === 0) return `${file} is empty or cannot be read, so the kernel cannot execute it`;
	if (String.fromCharCode(...head.subarray(1, 4)) !== "ELF") {
		return `${file} is neither a program nor a script with a #! line: give it one, or run it as an argument of its interpreter (sh ${file})`;
	}
	const machine = (head[18] ?? 0) | ((head[19] ?? 0) << 8);
	if (machine !== elf.EM_X86_64 && machine !== elf.EM_386) {
		return `${file} is a program for ${MACHINES[machine] ?? `machine ${machine}`}; this host runs x86-64`;
	}
	if (machine === elf.EM_X86_64 && head[elf.EI_CLASS] === elf.ELFCLASS32) {
		return `${file} is an x32 program, which this kernel does not run: it wants CONFIG_X86_X32_ABI, and vsyscall would not cover it then`;
	}
	return `${file} is an ELF file that the kernel cannot execute: it is damaged or incomplete`;
};

const missing = (file: string, head: Uint8Array): VsyscallError => {
	const line = /^#![ \t]*([^\s]+)/.exec(String.fromCharCode(...head))?.[1];
	if (line !== undefined) return notFound(`${file} needs the interpreter ${line}, which was not found`);
	if (head.length > 0) return notFound(`${file} needs a dynamic loader that was not found (ldd ${file} names it)`);
	return notFound(`${file} was not found`);
};

const ERRNO = { ENOENT: 2, E2BIG: 7, ENOEXEC: 8, EACCES: 13, ELIBBAD: 80 } as const;

/** The error for an execve that failed with `errno`. */
export const execError = (path: Uint8Array, errno: number): VsyscallError => {
	const file = text(path);
	const head = readHead(path);
	switch (errno) {
		case ERRNO.ENOENT:
			return missing(file, head);
		case ERRNO.ENOEXEC:
			return notExecutable(describeFormat(file, head));
		case ERRNO.EACCES:
			return notExecutable(
				`${file} cannot be executed (EACCES): no permission on the way to it, or its file system is mounted noexec`,
			);
		case ERRNO.ELIBBAD:
			return notExecutable(`${file} needs an interpreter or loader that is damaged`);
		case ERRNO.E2BIG:
			return notExecutable(`${file} cannot be executed: arguments and environment are too large (E2BIG)`);
		default:
			return notExecutable(`${file} cannot be executed (${errnoName(errno)})`);
	}
};
