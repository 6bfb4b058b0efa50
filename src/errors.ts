/** Every failure that a caller can meet has a stable code; docs/errors.md has a heading for each. */
export type ErrorCode =
	| "ERR_VSYSCALL_CLOCK_SPEC"
	| "ERR_VSYSCALL_CLOCK"
	| "ERR_VSYSCALL_PAGE"
	| "ERR_VSYSCALL_FAKETIME"
	| "ERR_VSYSCALL_ASSEMBLER"
	| "ERR_VSYSCALL_ELF"
	| "ERR_VSYSCALL_IMAGE"
	| "ERR_VSYSCALL_AUXV"
	| "ERR_VSYSCALL_SYSCALL"
	| "ERR_VSYSCALL_HOST"
	| "ERR_VSYSCALL_MODE"
	| "ERR_VSYSCALL_READS"
	| "ERR_VSYSCALL_FAST_ENTRY"
	| "ERR_VSYSCALL_IO_URING"
	| "ERR_VSYSCALL_SELECTION"
	| "ERR_VSYSCALL_SPAN"
	| "ERR_VSYSCALL_INSPECT"
	| "ERR_VSYSCALL_OUTPUT"
	| "ERR_VSYSCALL_EXPRESSION"
	| "ERR_VSYSCALL_PTRACE"
	| "ERR_VSYSCALL_NOT_FOUND"
	| "ERR_VSYSCALL_NOT_EXECUTABLE";

/**
 * The base of every error of this package. Identify by `code`, not by `instanceof`: two copies of the package may be
 * loaded.
 */
export class VsyscallError extends Error {
	override readonly name: string = "VsyscallError";
	readonly code: ErrorCode;

	constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
		super(message, options);
		this.code = code;
	}
}

/** By the code: what a verb throws comes from another copy of this class (scripts/bundle.js). */
export const isVsyscallError = (error: unknown): error is VsyscallError =>
	error instanceof Error && "code" in error && typeof error.code === "string" && error.code.startsWith("ERR_VSYSCALL_");
