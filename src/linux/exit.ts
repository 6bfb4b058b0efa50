/** Ends this process the way another one ended. */
import { constants } from "node:os";
import { RLIMIT_CORE, SYS_kill, SYS_prlimit64 } from "./constants.ts";
import { addressOf, sigaction, syscallResult } from "./ffi.ts";
import { ownPid } from "./own-pid.ts";

/** sizeof(struct sigaction) of the C library: handler, 128 bytes of mask, flags, restorer. All zeros is SIG_DFL. */
const SIGACTION_SIZE = 152;

/** "SIGTERM" of 15. */
export const signalName = (signal: number): string =>
	Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `signal ${signal}`;

/** Dies of `signal`, without a core file of its own; returns only if the signal does not kill. */
export const dieOf = (signal: number): void => {
	syscallResult(SYS_prlimit64, 0, RLIMIT_CORE, new BigUint64Array([0n, 0n]), 0);
	const action = new Uint8Array(SIGACTION_SIZE);
	// V8 handles SIGSEGV, libuv what JavaScript listens to: back to the default.
	sigaction(signal, addressOf(action), 0n);
	syscallResult(SYS_kill, ownPid(), signal);
};
