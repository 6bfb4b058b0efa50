/** Types of entries of the auxiliary vector: include/uapi/linux/auxvec.h, arch/x86/include/uapi/asm/auxvec.h. */
export const AT_NULL = 0n;
export const AT_ENTRY = 9n;
export const AT_RANDOM = 25n;
/** 32-bit programs: where the function is that makes system calls. */
export const AT_SYSINFO = 32n;
export const AT_SYSINFO_EHDR = 33n;
