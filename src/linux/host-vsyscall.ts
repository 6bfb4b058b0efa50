/**
 * What the host does with the vsyscall page, found by trying: the command line of a kernel may name a mode that it ignored, and the
 * line in /proc/PID/maps is missing in sandboxes that serve the page (gVisor prints it always).
 *
 * A child calls the time entry and reads a byte of the page. It catches its own SIGSEGV: a process that shares our memory must not
 * dump core. It shares nothing else, so its handler is not ours.
 *
 * Inside of a run the question is still what the kernel does, since our own processes are not that run's: its supervisor is not to
 * see the child. What its filter stops fails then (ENOSYS), which a call of the page returns from all the same.
 */
import { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { eax, edi, edx, r10d, r8d, rax, rbx, rdi, rsi } from "../asm/registers.ts";
import { setU64 } from "../bytes.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import type { HostMode } from "../vsyscall/mode.ts";
import { VSYSCALL_ADDR, VSYSCALL_START } from "../vsyscall/page.ts";
import * as linux from "./constants.ts";
import { addressOf, cloneInto, syscallResult } from "./ffi.ts";
import { mapCode } from "./memfd.ts";
import { SyscallError } from "./syscall-error.ts";
import { decodeWaitStatus } from "./wait-status.ts";

/** struct kernel_sigaction. Its mask serves the child itself too. */
const BLOCK = { handler: 0, flags: 8, restorer: 16, mask: 24, size: 32 } as const;
const SA_RESTORER = 0x0400_0000n;
const SYS_rt_sigprocmask = 14;
const SYS_exit = 60;
const EINTR = 4;
const SIGCHLD = 17;
const SIG_SETMASK = 2;
const SIGSET_SIZE = 8;
/** All signals but SIGSEGV: any other (SIGINT of a terminal) would run a handler of Node's in the child. */
const MASK = ~(1n << BigInt(linux.SIGSEGV - 1));
const STACK_SIZE = 16 * 1024;
const MODES: readonly HostMode[] = ["none", "xonly", "emulate"];

/** Exits with what has worked: 0 nothing, 1 the call, 2 the read too. */
const assembleChild = (): { readonly bytes: Uint8Array; readonly handler: number } => {
	const assembler = new Assembler(64);
	const call = (number: number): void => {
		assembler.mov(eax, number);
		assembler.syscall();
	};
	const handler = assembler.label("handler");
	assembler.mov(rbx, rdi);
	assembler.mov(edi, SIG_SETMASK);
	assembler.lea(rsi, memory(rbx, BLOCK.mask));
	assembler.xor(edx, edx);
	assembler.mov(r10d, SIGSET_SIZE);
	call(SYS_rt_sigprocmask);
	assembler.mov(r8d, SYSCALL_KEY);
	assembler.mov(edi, linux.SIGSEGV);
	assembler.mov(rsi, rbx);
	assembler.xor(edx, edx);
	call(linux.SYS_rt_sigaction);
	// What the handler exits with: in the flags of the block, which the kernel has read.
	assembler.mov(memory(rbx, BLOCK.flags), 0, 32);
	assembler.xor(edi, edi);
	assembler.mov(rax, Number(BigInt.asIntN(32, VSYSCALL_ADDR(1))));
	assembler.call(rax);
	assembler.mov(memory(rbx, BLOCK.flags), 1, 32);
	assembler.mov(rax, Number(BigInt.asIntN(32, VSYSCALL_START)));
	assembler.mov(eax, memory(rax));
	assembler.mov(memory(rbx, BLOCK.flags), 2, 32);
	assembler.bind(handler);
	// A handler is entered with the registers of the kernel's choice: rbx is still ours.
	assembler.mov(edi, memory(rbx, BLOCK.flags));
	call(SYS_exit);
	const code = assembler.assemble();
	return { bytes: code.bytes, handler: code.offsetOf(handler) };
};

/** @throws {SyscallError} when no process can be made. */
export const probeHostVsyscall = (): HostMode => {
	const child = assembleChild();
	const code = mapCode(child.bytes);
	const block = new Uint8Array(new ArrayBuffer(BLOCK.size));
	setU64(block, BLOCK.handler, code + BigInt(child.handler));
	setU64(block, BLOCK.flags, SA_RESTORER);
	setU64(block, BLOCK.restorer, code + BigInt(child.handler));
	setU64(block, BLOCK.mask, MASK);
	const stack = new Uint8Array(new ArrayBuffer(STACK_SIZE));
	const top = (addressOf(stack) + BigInt(STACK_SIZE)) & ~15n;
	const pid = cloneInto(
		code,
		top,
		linux.CLONE_VM | linux.CLONE_VFORK | linux.CLONE_UNTRACED | SIGCHLD,
		addressOf(block),
	);
	if (pid < 0) throw new SyscallError("clone", -pid);
	const status = new Int32Array(1);
	let waited: number;
	do waited = syscallResult(linux.SYS_wait4, pid, status, linux.WALL, 0);
	while (waited === -EINTR);
	syscallResult(linux.SYS_munmap, code, child.bytes.length);
	if (waited < 0) throw new SyscallError("wait4", -waited);
	const end = decodeWaitStatus(status[0] ?? 0);
	return (end.kind === "exited" ? MODES[end.exitCode] : undefined) ?? "none";
};
