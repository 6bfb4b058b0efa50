/** Ends a process that could not be covered, so that it never runs in real time unnoticed. */
import * as linux from "../../linux/constants.ts";
import { syscallResult } from "../../linux/ffi.ts";
import { readRegisters, resume } from "../../linux/ptrace.ts";
import { Registers, USER32_CS } from "../../linux/registers.ts";
import { pokeMemory } from "../../linux/remote-memory.ts";
import { errnoName } from "../../linux/syscall-error.ts";
import { EXIT_OWN_FAILURE } from "../exit-status.ts";

/** mov $125, %edi; mov $231 (exit_group), %eax; syscall */
const EXIT_64 = [0xbf, EXIT_OWN_FAILURE, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05];
/** mov $125, %ebx; mov $252 (exit_group), %eax; int $0x80 */
const EXIT_32 = [0xbb, EXIT_OWN_FAILURE, 0, 0, 0, 0xb8, 252, 0, 0, 0, 0xcd, 0x80];

/**
 * Makes a stopped process exit with status 125: its first instructions are replaced. Where its memory is out of our reach it is
 * killed instead.
 */
export const endProcess = (tid: number): void => {
	const registers = new Registers();
	if (!readRegisters(tid, registers)) return;
	const code = new Uint8Array(16).fill(0x90);
	code.set(registers.get("cs") === USER32_CS ? EXIT_32 : EXIT_64);
	if (pokeMemory(tid, registers.get("rip"), code) < 0) syscallResult(linux.SYS_kill, tid, linux.SIGKILL);
	resume(tid, 0);
};

/** Why the image is not in a process: the end of a sentence. */
export const describeMapFailure = (errno: number): string =>
	`the image could not be mapped (${errnoName(errno)})${errno === 12 ? ": a limit of address space (ulimit -v) or of mappings is too small" : ""}`;

export const NO_PAGE_IN_32_BIT: string =
	"is a 32-bit program, which has no vsyscall page: leave --vsyscall out (64-bit programs that it starts have one)";
