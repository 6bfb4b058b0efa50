/** Descriptors of other processes: pidfd_getfd(2), Linux 5.6. */
import { closeSync } from "node:fs";
import * as linux from "./constants.ts";
import { syscallResult } from "./ffi.ts";

/**
 * A descriptor of ours for a descriptor of another process. It must be closed soon: it keeps the file open.
 *
 * @param process a process, not one of its other threads
 * @returns the descriptor or -errno
 */
export const borrowDescriptor = (process: number, descriptor: number): number => {
	const pidfd = syscallResult(linux.SYS_pidfd_open, process, 0);
	if (pidfd < 0) return pidfd;
	const fd = syscallResult(linux.SYS_pidfd_getfd, pidfd, descriptor, 0);
	closeSync(pidfd);
	return fd;
};
