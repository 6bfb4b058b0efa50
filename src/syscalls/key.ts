/**
 * "vsys": what our own code passes in an argument that the kernel does not look at, so that the filter of a run around us lets the
 * call pass, or its supervisor knows who asks.
 *
 *     clock_gettime      third argument    the host's time is meant
 *     gettimeofday       third argument    the same
 *     timerfd_settime    fifth argument    the time is the host's already
 *     rt_sigaction       fifth argument    a handler that nobody needs to know
 *     clone              fifth argument    a task that must not be traced by anybody
 *     getpid             first argument    the id that the kernel has is meant
 *     ptrace             fifth argument    the caller is a supervisor, which takes care of what it traces
 */
export const SYSCALL_KEY = 0x7673_7973;
