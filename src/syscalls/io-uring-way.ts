/**
 * What becomes of io_uring, whose timeouts name times of the wall clock in memory, where no filter sees them.
 *
 * - host: those are times of the host's clock. Nothing is stopped.
 * - follow: each call that submits is stopped, and they are times of the run's clock.
 * - refuse: there is no io_uring, as on a kernel without: programs that have another way take that.
 */
import { VsyscallError } from "../errors.ts";

export const IO_URING_WAYS = ["host", "follow", "refuse"] as const;
export type IoUringWay = (typeof IO_URING_WAYS)[number];

/** @throws {VsyscallError} ERR_VSYSCALL_IO_URING when the name is unknown. */
export const parseIoUringWay = (name: string): IoUringWay => {
	const way = IO_URING_WAYS.find((known) => known === name);
	if (way !== undefined) return way;
	throw new VsyscallError(
		"ERR_VSYSCALL_IO_URING",
		`unknown way to treat io_uring "${name}": give host (the default), follow or refuse`,
	);
};
