/** Constants that our machine code hands to the kernel, the same in both classes: uapi/linux/{mman,prctl,fcntl}.h, asm/signal.h. */
export const AT_FDCWD = -100;
export const O_RDONLY = 0;
export const O_RDWR = 2;
/** So that a FIFO at the end of a wrong path does not stop anybody. */
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
/** Linux 4.17: like MAP_FIXED, but EEXIST where something is mapped. */
export const MAP_FIXED_NOREPLACE = 0x100000;

/** madvise(2). Linux 4.14: a forked child finds the pages empty. */
export const MADV_WIPEONFORK = 18;
export const MADV_DONTDUMP = 16;

/** Ignored by default, and nobody waits for it in front of a program's first instruction. */
export const SIGURG = 23;

/** What stage 1 says of a file that is not ours. */
export const ESTALE = 116;

export const PR_SET_MM = 35;
export const PR_SET_MM_MAP = 14;
/** sizeof(struct prctl_mm_map): uapi/linux/prctl.h. */
export const PRCTL_MM_MAP_SIZE = 104;
