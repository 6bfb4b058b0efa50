/** Numbers of the x86-64 Linux ABI, spelled as in the manual pages: syscall_64.tbl and include/uapi/linux. */

// System calls
export const SYS_read = 0;
export const SYS_close = 3;
export const SYS_mmap = 9;
export const SYS_munmap = 11;
export const SYS_rt_sigaction = 13;
export const SYS_ioctl = 16;
export const SYS_sched_yield = 24;
export const SYS_pread64 = 17;
export const SYS_pwrite64 = 18;
export const SYS_getpid = 39;
export const SYS_kill = 62;
export const SYS_clone = 56;
export const SYS_wait4 = 61;
export const SYS_sendmsg = 46;
export const SYS_fcntl = 72;
export const SYS_flock = 73;
export const SYS_gettimeofday = 96;
export const SYS_getrusage = 98;
export const SYS_ptrace = 101;
export const SYS_getpgrp = 111;
export const SYS_adjtimex = 159;
export const SYS_futex = 202;
export const SYS_clock_gettime = 228;
export const SYS_openat = 257;
export const SYS_tgkill = 234;
export const SYS_timerfd_settime = 286;
export const SYS_prlimit64 = 302;
export const SYS_process_vm_readv = 310;
export const SYS_process_vm_writev = 311;
export const SYS_kcmp = 312;
export const SYS_seccomp = 317;
export const SYS_memfd_create = 319;
export const SYS_pidfd_open = 434;
export const SYS_pidfd_getfd = 438;

// socketpair(2), unix(7), cmsg(3)
export const AF_UNIX = 1;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
export const MSG_CMSG_CLOEXEC = 0x4000_0000;

// flock(2)
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

// mmap(2)
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_ANONYMOUS = 0x20;

// memfd_create(2), fcntl(2)
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
export const MFD_NOEXEC_SEAL = 8;
/** Linux 6.3; the default before, and of hosts with vm.memfd_noexec=0. */
export const MFD_EXEC = 0x10;
export const F_GETFD = 1;
export const F_GETFL = 3;
export const FD_CLOEXEC = 1;
export const F_ADD_SEALS = 1033;
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
/** Linux 5.1: no new writable mapping and no write(2); mappings that exist go on. */
export const F_SEAL_FUTURE_WRITE = 0x10;
export const O_RDONLY = 0;
export const O_CLOEXEC = 0o2000000;
export const O_NONBLOCK = 0o4000;
export const AT_FDCWD = -100;

// ptrace(2)
export const PTRACE_TRACEME = 0;
export const PTRACE_POKEDATA = 5;
export const PTRACE_CONT = 7;
export const PTRACE_SINGLESTEP = 9;
export const PTRACE_GETREGS = 12;
export const PTRACE_SETREGS = 13;
export const PTRACE_ATTACH = 16;
export const PTRACE_DETACH = 17;
export const PTRACE_SYSCALL = 24;
export const PTRACE_GETEVENTMSG = 0x4201;
export const PTRACE_GETSIGINFO = 0x4202;
export const PTRACE_SETSIGINFO = 0x4203;
export const PTRACE_SEIZE = 0x4206;
export const PTRACE_INTERRUPT = 0x4207;
export const PTRACE_LISTEN = 0x4208;
export const PTRACE_GETSIGMASK = 0x420a;
export const PTRACE_SETSIGMASK = 0x420b;
export const PTRACE_O_TRACESYSGOOD = 0x01;
export const PTRACE_O_TRACEFORK = 0x02;
export const PTRACE_O_TRACEVFORK = 0x04;
export const PTRACE_O_TRACECLONE = 0x08;
export const PTRACE_O_TRACEEXEC = 0x10;
export const PTRACE_O_TRACEEXIT = 0x40;
export const PTRACE_O_TRACESECCOMP = 0x80;
export const PTRACE_EVENT_FORK = 1;
export const PTRACE_EVENT_VFORK = 2;
export const PTRACE_EVENT_CLONE = 3;
export const PTRACE_EVENT_EXEC = 4;
export const PTRACE_EVENT_EXIT = 6;
export const PTRACE_EVENT_SECCOMP = 7;
export const PTRACE_EVENT_STOP = 128;

// signal(7)
export const SIGBUS = 7;
export const SIGKILL = 9;
export const SIGSEGV = 11;
export const SIGURG = 23;

// siginfo: asm-generic/siginfo.h
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const TRAP_TRACE = 2;
export const SI_KERNEL = 128;

// wait4(2)
export const WNOHANG = 1;
export const WALL = 0x40000000;

// clone(2), futex(2), prctl(2)
export const CLONE_VM = 0x100;
export const CLONE_VFORK = 0x4000;
export const CLONE_UNTRACED = 0x80_0000;
export const FUTEX_WAKE_PRIVATE = 129;

// getrusage(2)
export const RUSAGE_CHILDREN = -1;

// getrlimit(2)
export const RLIMIT_FSIZE = 1;
export const RLIMIT_CORE = 4;
export const RLIMIT_NOFILE = 7;

// getauxval(3)
export const AT_HWCAP2 = 26;
export const AT_SYSINFO_EHDR = 33;

// timerfd_create(2)
export const TFD_TIMER_CANCEL_ON_SET = 2;
export const TFD_IOC_SET_TICKS = 0x4008_5400;

// seccomp(2)
export const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_TSYNC = 1;
/** Leaves the mitigation of speculative store bypass as it is: kernels before 5.16 switch it on for filtered tasks otherwise. */
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;

// ioctl_tty(2)
export const TIOCGPGRP = 0x540f;

// clock_gettime(2)
export const CLOCK_REALTIME = 0;
export const CLOCK_MONOTONIC = 1;
export const CLOCK_REALTIME_COARSE = 5;
export const CLOCK_MONOTONIC_COARSE = 6;
export const CLOCK_TAI = 11;
