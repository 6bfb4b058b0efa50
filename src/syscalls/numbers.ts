/**
 * Numbers of the system calls that our own code makes or stops in processes of either class: arch/x86/entry/syscalls/syscall_64.tbl and
 * syscall_32.tbl, v6.18.
 *
 * Two differ in more than the number. `mmap` of i386 is mmap2, which counts the offset in the file in pages. The calls of timers are
 * those with 64-bit times (Linux 5.1), so their structures have one layout.
 */
import type { Architecture } from "./time-calls.ts";

const X86_64 = {
	close: 3,
	kill: 62,
	madvise: 28,
	getpid: 39,
	memfd_create: 319,
	mmap: 9,
	mprotect: 10,
	munmap: 11,
	openat: 257,
	pread64: 17,
	prctl: 157,
	ptrace: 101,
	read: 0,
	recvmsg: 47,
	rt_sigaction: 13,
	seccomp: 317,
	socketpair: 53,
	timer_gettime: 224,
	timer_settime: 223,
} as const;

export type OwnCall = keyof typeof X86_64;

export const NUMBERS: Readonly<Record<Architecture, Readonly<Record<OwnCall, number>>>> = {
	"x86-64": X86_64,
	i386: {
		close: 6,
		kill: 37,
		madvise: 219,
		getpid: 20,
		memfd_create: 356,
		mmap: 192,
		mprotect: 125,
		munmap: 91,
		openat: 295,
		pread64: 180,
		prctl: 172,
		ptrace: 26,
		read: 3,
		recvmsg: 372,
		rt_sigaction: 174,
		seccomp: 354,
		socketpair: 360,
		timer_gettime: 408,
		timer_settime: 409,
	},
};
