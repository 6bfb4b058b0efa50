/**
 * What the host does with the vsyscall page, found by trying: the command line of a kernel may name a mode that it ignored, and the
 * line in /proc/PID/maps is missing in sandboxes that serve the page (gVisor prints it always).
 *
 * A child (probe-child.ts) calls the time entry and reads a byte of the page. It catches its own SIGSEGV: a process that shares our
 * memory must not dump core. It shares nothing else, so its handler is not ours.
 *
 * Inside of a run the child is not that run's. What its filter stops fails then (ENOSYS), which a call of the page returns from all the
 * same.
 */
import { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { eax, edi, edx, r10d, r8d, rax, rbx, rsi } from "../asm/registers.ts";
import { setU64 } from "../bytes.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import type { HostMode } from "../vsyscall/mode.ts";
import { VSYSCALL_ADDR, VSYSCALL_START } from "../vsyscall/page.ts";
import * as linux from "./constants.ts";
import { emitProbeCall, emitProbeExit, emitProbeStart, runProbe } from "./probe-child.ts";

/** struct kernel_sigaction. */
const BLOCK = { handler: 0, flags: 8, restorer: 16, mask: 24, size: 32 } as const;
const SA_RESTORER = 0x0400_0000n;
const SIGSET_SIZE = 8;
const MODES: readonly HostMode[] = ["none", "xonly", "emulate"];

/** Exits with what has worked: 0 nothing, 1 the call, 2 the read too. */
const assembleChild = (): { readonly bytes: Uint8Array; readonly handler: number } => {
	const assembler = new Assembler(64);
	const handler = assembler.label("handler");
	emitProbeStart(assembler);
	assembler.mov(r10d, SIGSET_SIZE);
	assembler.mov(r8d, SYSCALL_KEY);
	assembler.mov(edi, linux.SIGSEGV);
	assembler.mov(rsi, rbx);
	assembler.xor(edx, edx);
	emitProbeCall(assembler, linux.SYS_rt_sigaction);
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
	emitProbeExit(assembler);
	const code = assembler.assemble();
	return { bytes: code.bytes, handler: code.offsetOf(handler) };
};

/** @throws {SyscallError} when no process can be made. */
export const probeHostVsyscall = (): HostMode => {
	const child = assembleChild();
	const end = runProbe(child.bytes, BLOCK.size, (block, { code }) => {
		setU64(block, BLOCK.handler, code + BigInt(child.handler));
		setU64(block, BLOCK.flags, SA_RESTORER);
		setU64(block, BLOCK.restorer, code + BigInt(child.handler));
	});
	return (end.kind === "exited" ? MODES[end.exitCode] : undefined) ?? "none";
};
