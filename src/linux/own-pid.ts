import { SYSCALL_KEY } from "../syscalls/key.ts";
import { SYS_getpid } from "./constants.ts";
import { syscallResult } from "./ffi.ts";

let own: number | undefined;

/** Our own process id as the kernel has it, also inside of a run that tells its processes another one (process.pid is that). */
export const ownPid = (): number => (own ??= syscallResult(SYS_getpid, SYSCALL_KEY));
