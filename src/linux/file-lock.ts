/** Exclusive use of an open file between processes: flock(2), which the kernel gives back when its holder dies. */
import * as linux from "./constants.ts";
import { checkedSyscall, syscallResult } from "./ffi.ts";

const EWOULDBLOCK = 11;
const PATIENCE_MS = 2000;
const PAUSE_MS = 1;

const pause = new Int32Array(new SharedArrayBuffer(4));

/**
 * Runs `action` while nobody else holds the lock of this file.
 *
 * Whoever holds it does so for microseconds, so the thread waits. It stops waiting when a holder has been stopped (SIGSTOP).
 *
 * @returns what `action` returns; "busy" when the lock was not to be had within two seconds
 */
export const withFileLock = <Result>(fd: number, action: () => Result): Result | "busy" => {
	const deadline = performance.now() + PATIENCE_MS;
	for (;;) {
		const result = syscallResult(linux.SYS_flock, fd, linux.LOCK_EX | linux.LOCK_NB);
		if (result === 0) break;
		if (result !== -EWOULDBLOCK) checkedSyscall("flock", linux.SYS_flock, fd, linux.LOCK_EX);
		if (performance.now() > deadline) return "busy";
		Atomics.wait(pause, 0, 0, PAUSE_MS);
	}
	try {
		return action();
	} finally {
		syscallResult(linux.SYS_flock, fd, linux.LOCK_UN);
	}
};
