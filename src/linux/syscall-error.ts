/** A system call that failed. */
import { constants } from "node:os";
import { VsyscallError } from "../errors.ts";

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** "EPERM" of 1; "errno 9999" of an unknown number. */
export const errnoName = (errno: number): string => NAMES.get(errno) ?? `errno ${errno}`;

export class SyscallError extends VsyscallError {
	readonly syscall: string;
	readonly errno: number;
	readonly errnoName: string;

	constructor(syscall: string, errno: number) {
		super("ERR_VSYSCALL_SYSCALL", `${syscall} failed: ${errnoName(errno)}`);
		this.syscall = syscall;
		this.errno = errno;
		this.errnoName = errnoName(errno);
	}
}
