/** Tracees of a test: waited for one at a time, and ended with it. */
import assert from "node:assert/strict";
import * as linux from "../../src/linux/constants.ts";
import { syscallResult } from "../../src/linux/ffi.ts";
import { decodeWaitStatus, type Stop } from "../../src/linux/wait-status.ts";

/** Those that have not been seen to end. A test adds what it starts. */
export const alive: Set<number> = new Set<number>();

/** The next stop or the end of a tracee; fails after some ten seconds without. */
export const wait = (pid: number): Stop => {
	const status = new Int32Array(1);
	const sleeping = new Int32Array(new SharedArrayBuffer(4));
	for (let attempt = 0; attempt < 10_000; attempt++) {
		const waited = syscallResult(linux.SYS_wait4, pid, status, linux.WALL | linux.WNOHANG, 0);
		assert.ok(waited >= 0, `wait4 says ${waited}`);
		if (waited === pid) {
			const stop = decodeWaitStatus(status[0] ?? 0);
			if (stop.kind === "exited" || stop.kind === "killed") alive.delete(pid);
			return stop;
		}
		Atomics.wait(sleeping, 0, 0, 1);
	}
	return assert.fail(`process ${pid} neither stops nor ends`);
};

/** To be called after each test. */
export const endAll = (): void => {
	for (const pid of alive) {
		syscallResult(linux.SYS_kill, pid, linux.SIGKILL);
		while (alive.has(pid)) wait(pid);
	}
};
