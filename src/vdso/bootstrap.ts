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
 *     r12       1: stop when done, plus        the same; at a stop: the result
 *               the place of the entry page
 *     r13       bytes to map                   address of the image
 *     r14       entry point of the program     the same
 *     r15       where the auxiliary vector holds AT_SYSINFO_EHDR
 *
 * rax cannot carry anything into stage 1: at PTRACE_EVENT_EXEC the process is still inside execve, which stores its result 0
 * there on the way out.
 *
 * When something fails, the process sends itself SIGURG: a tracer is shown even a signal that is ignored, and takes it from there
 * (r12 holds -errno). If the tracer has died meanwhile, nobody notices the signal, and the process enters its program in real
 * time. A file that is not ours is told by its missing nonce: r12 is -ESTALE then, r15 the address that it was mapped at, r8 its
 * descriptor. SIGSTOP would leave it stopped for ever then, and int3 would touch a disposition that the program inherited.
 */
import { Assembler } from "../asm/assembler.ts";
import type { Code } from "../asm/code.ts";
import { type Label, memory } from "../asm/operands.ts";
import { eax, edi, edx, esi, type Register, r8d, r12, r13d, r14, r15, rax, rcx, rdx, rsi } from "../asm/registers.ts";
import * as kernel from "./kernel-calls.ts";

export interface Bootstrap {
	readonly code: Uint8Array;
	/** Offset of a `syscall` instruction for calls on behalf of the process, behind which it would enter its program. */
	readonly syscall: number;
	/** Offset behind the call of openat: from here stage 1 goes on with a descriptor in rax. */
	readonly opened: number;
	/** Offsets of the instructions at which a failed stage 1 stops. */
	readonly stops: readonly number[];
}

export interface BootstrapOptions {
	/** Where the image has a word that no other file has there, in its first page. */
	readonly nonce: { readonly offset: number; readonly word: number };
	/** Offset of stage 2 in the image. */
	readonly installerOffset: number;
}

/** Bytes of a `syscall` instruction. */
const SYSCALL_SIZE = 2;

/**
 * What the supervisor leaves for both stages below the stack pointer: offsets from it. All of it lies beyond the red zone and inside
 * the first pages of the stack.
 */
export const PARCEL = {
	/** struct prctl_mm_map: 104 bytes. */
	memoryMap: -1024,
	/** Path of the image's file; at most "/proc/4194304/fd/2147483647" and a NUL, as the next. */
	imagePath: -920,
	/** Path of the file that holds the vvar page. */
	pagePath: -888,
	/** An int: the descriptor of that file, or one of the two below. */
	pageDescriptor: -856,
	size: 172,
} as const;

/** The vvar page's file is to be opened by its path. */
export const PAGE_BY_PATH = -1;
/** The vvar page is in the image's file. */
export const PAGE_IN_IMAGE = -2;

/** Sets a register to a small number in three or four bytes. Writes to the word below the stack pointer. */
const set = (assembler: Assembler, register: Register, value: number): void => {
	assembler.push(value);
	assembler.pop(register);
};

/** Where a tracer sees a process that stops: behind kill(2), or, when a seccomp filter refuses that, behind int3. */
export interface StopPlaces {
	readonly killed: Label;
	readonly trapped: Label;
}

export const stopPlaces = (assembler: Assembler): StopPlaces => ({
	killed: assembler.label("killed"),
	trapped: assembler.label("trapped"),
});

export const stopOffsets = (code: Code, { killed, trapped }: StopPlaces): readonly number[] => [
	code.offsetOf(killed),
	code.offsetOf(trapped),
];

/** r12 := rax; then SIGURG to the own process, which goes on behind this code when nobody answers. */
export const emitStop = (assembler: Assembler, { killed, trapped }: StopPlaces): void => {
	assembler.mov(r12, rax);
	set(assembler, rax, kernel.SYS_getpid);
	assembler.syscall();
	assembler.mov(edi, eax);
	set(assembler, rsi, kernel.SIGURG);
	set(assembler, rax, kernel.SYS_kill);
	assembler.syscall();
	assembler.bind(killed);
	assembler.test(eax, eax);
	assembler.jcc("ns", trapped);
	assembler.int3();
	assembler.bind(trapped);
};

export const assembleBootstrap = ({ installerOffset, nonce }: BootstrapOptions): Bootstrap => {
	const assembler = new Assembler(64);
	const opened = assembler.label("opened");
	const failed = assembler.label("failed");
	const stale = assembler.label("stale");
	const places = stopPlaces(assembler);
	assembler.mov(eax, kernel.SYS_openat);
	assembler.syscall();
	assembler.bind(opened);
	assembler.test(eax, eax);
	assembler.jcc("s", failed);
	assembler.mov(r8d, eax);
	assembler.xor(edi, edi);
	assembler.mov(esi, r13d);
	set(assembler, rdx, kernel.PROT_READ | kernel.PROT_EXEC);
	set(assembler, rax, kernel.SYS_mmap);
	assembler.syscall();
	assembler.test(rax, rax);
	assembler.jcc("s", failed);
	// In another pid namespace the path leads to some other file, or to a fault here if that is empty.
	assembler.cmp(memory(rax, nonce.offset), nonce.word, 32);
	assembler.jcc("nz", stale);
	assembler.lea(rcx, memory(rax, installerOffset));
	assembler.jmp(rcx);
	assembler.bind(stale);
	assembler.mov(r15, rax);
	set(assembler, rax, -kernel.ESTALE);
	assembler.bind(failed);
	emitStop(assembler, places);
	// rdx is the only register that a program may look at: psABI x86-64, "Process Initialization".
	assembler.xor(edx, edx);
	assembler.jmp(r14);
	const code = assembler.assemble();
	return {
		code: code.bytes,
		syscall: code.offsetOf(places.killed) - SYSCALL_SIZE,
		opened: code.offsetOf(opened),
		stops: stopOffsets(code, places),
	};
};
