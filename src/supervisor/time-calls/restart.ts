/**
 * Restarts an interrupted system call by hand.
 *
 * Calls on behalf of a task end the system call that it was interrupted in, so the kernel does not restart it any more. This is
 * what arch_do_signal_or_restart does without a handler (arch/x86/kernel/signal.c, v6.18). A handler that waits to run
 * interrupts the restarted call again, and then gets its due.
 */
import type { Registers } from "../../linux/registers.ts";
import { CALL_INSTRUCTION_LENGTH } from "../../linux/system-call.ts";
import type { Architecture } from "../../syscalls/time-calls.ts";

const SYS_restart_syscall: Readonly<Record<Architecture, bigint>> = { "x86-64": 219n, i386: 0n };

/** What an interrupted call returns to the kernel: include/linux/errno.h. */
const ERESTARTSYS = -512n;
const ERESTARTNOINTR = -513n;
const ERESTARTNOHAND = -514n;
const ERESTART_RESTARTBLOCK = -516n;
const EINTR = -4n;

/**
 * Waits that return EINTR at every stop, also one that the program is not to notice (signal(7), "Interruption of system calls by
 * stop signals"): they have done nothing yet, so they are made again, with their whole timeout.
 */
const NEVER_RESTARTED: Readonly<Record<Architecture, ReadonlySet<bigint>>> = {
	"x86-64": new Set([
		0n, // read with SO_RCVTIMEO
		1n, // write with SO_SNDTIMEO
		44n, // sendto
		45n, // recvfrom
		46n, // sendmsg
		47n, // recvmsg
		65n, // semop
		128n, // rt_sigtimedwait
		208n, // io_getevents
		220n, // semtimedop
		232n, // epoll_wait
		281n, // epoll_pwait
		441n, // epoll_pwait2
	]),
	i386: new Set([
		3n, // read
		4n, // write
		102n, // socketcall
		117n, // ipc: semop, semtimedop
		177n, // rt_sigtimedwait
		247n, // io_getevents
		256n, // epoll_wait
		319n, // epoll_pwait
		369n, // sendto
		370n, // sendmsg
		371n, // recvfrom
		372n, // recvmsg
		420n, // semtimedop_time64
		421n, // rt_sigtimedwait_time64
		441n, // epoll_pwait2
	]),
};

/** Sets the registers of a task, which a PTRACE_INTERRUPT has stopped, so that it makes its system call again. */
export const restartByHand = (registers: Registers, architecture: Architecture): void => {
	const call = BigInt.asIntN(32, registers.get("orig_rax"));
	if (call < 0n) return;
	const result = BigInt.asIntN(32, registers.get("rax"));
	const isAgain =
		result === ERESTARTSYS ||
		result === ERESTARTNOINTR ||
		result === ERESTARTNOHAND ||
		(result === EINTR && NEVER_RESTARTED[architecture].has(call));
	if (!isAgain && result !== ERESTART_RESTARTBLOCK) return;
	registers.set("rip", registers.get("rip") - CALL_INSTRUCTION_LENGTH);
	registers.set("rax", isAgain ? call : SYS_restart_syscall[architecture]);
	registers.set("orig_rax", -1n);
};
