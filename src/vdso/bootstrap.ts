/**
 * Stage 1 of the install: a few dozen bytes that the supervisor plants in a stopped process, in the zeros behind the code of the
 * host's vDSO. They open the image's file, map it, and jump to stage 2 (installer.ts) inside it. No stop is needed for that: the
 * supervisor sets the registers at the exec stop and lets the process go.
 *
 *     register  in stage 1                     in stage 2
 *     rdi       AT_FDCWD                       -
 *     rsi       path of the image's file       -
 *     rdx       O_RDONLY | O_CLOEXEC           -
 *     r10       MAP_PRIVATE                    -
 *     r9        0 (file offset)                0
 *     rax       -                              address of the image
 *     r8        -                              descriptor of the file
 *     rbp       address of the host's image    the same
 *     rbx       a prctl_mm_map, or 0           the same
 *     r12       1: stop when done              the same; at a stop: the result
 *     r14       entry point of the program     the same
 *     r15       where the auxiliary vector holds AT_SYSINFO_EHDR
 *
 * rax cannot carry anything into stage 1: at PTRACE_EVENT_EXEC the process is still inside execve, which stores its result 0
 * there on the way out. When something fails, the process sends itself SIGSTOP, which a tracer sees and takes away before
 * anybody else does; unlike int3 it cannot touch a disposition or a mask that the program inherited. r12 then holds -errno.
 */
import { Assembler } from "../asm/assembler.ts";
import { type Label, memory } from "../asm/operands.ts";
import { eax, edi, edx, esi, r8d, r12, rax, rcx } from "../asm/registers.ts";
import * as kernel from "./kernel-calls.ts";

export interface Bootstrap {
	readonly code: Uint8Array;
	/** Offset of a `syscall` instruction, for calls on behalf of the process. */
	readonly syscall: number;
	/** Offset behind the first `syscall`: from here stage 1 goes on with a descriptor in rax. */
	readonly opened: number;
	/** Offset of the instruction at which a failed stage 1 stops. */
	readonly stopped: number;
}

export interface BootstrapOptions {
	/** Bytes of address space to take: the image, the link page and the vvar page. */
	readonly mappingLength: number;
	/** Offset of stage 2 in the image. */
	readonly installerOffset: number;
}

/** r12 := rax; then SIGSTOP to the own process. `stopped` is bound behind the call. */
export const emitStop = (assembler: Assembler, stopped: Label): void => {
	assembler.mov(r12, rax);
	assembler.mov(eax, kernel.SYS_getpid);
	assembler.syscall();
	assembler.mov(edi, eax);
	assembler.mov(esi, kernel.SIGSTOP);
	assembler.mov(eax, kernel.SYS_kill);
	assembler.syscall();
	assembler.bind(stopped);
	// Only reached when a seccomp filter refused kill(2).
	assembler.int3();
};

export const assembleBootstrap = ({ mappingLength, installerOffset }: BootstrapOptions): Bootstrap => {
	const assembler = new Assembler(64);
	const syscall = assembler.label("syscall");
	const opened = assembler.label("opened");
	const failed = assembler.label("failed");
	const stopped = assembler.label("stopped");
	assembler.mov(eax, kernel.SYS_openat);
	assembler.bind(syscall);
	assembler.syscall();
	assembler.bind(opened);
	assembler.test(eax, eax);
	assembler.jcc("s", failed);
	assembler.mov(r8d, eax);
	assembler.xor(edi, edi);
	assembler.mov(esi, mappingLength);
	assembler.mov(edx, kernel.PROT_READ | kernel.PROT_EXEC);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.syscall();
	assembler.test(rax, rax);
	assembler.jcc("s", failed);
	assembler.lea(rcx, memory(rax, installerOffset));
	assembler.jmp(rcx);
	assembler.bind(failed);
	emitStop(assembler, stopped);
	const code = assembler.assemble();
	return {
		code: code.bytes,
		syscall: code.offsetOf(syscall),
		opened: code.offsetOf(opened),
		stopped: code.offsetOf(stopped),
	};
};
