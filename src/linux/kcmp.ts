/** kcmp(2): whether two tasks share something of the kernel's. */
import { SYS_kcmp } from "./constants.ts";
import { syscallResult } from "./ffi.ts";

const KCMP_VM = 1;
const ENOSYS = 38;

/**
 * Whether two tasks have one memory: threads, and processes that were made with CLONE_VM (LinuxThreads, vfork). True where the kernel
 * cannot tell (no CONFIG_KCMP). A task that is gone shares nothing, and one that we may not look at has a memory of its own, since
 * that is a property of the memory.
 */
export const mayShareMemory = (tid: number, other: number): boolean => {
	const result = syscallResult(SYS_kcmp, tid, other, KCMP_VM, 0, 0);
	return result === 0 || result === -ENOSYS;
};
