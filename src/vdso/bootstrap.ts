/**
 * Stage 1 of the install: a few dozen bytes that the supervisor plants in a stopped process, in the zeros behind the code of the
 * host's vDSO. They open the image's file, map it, and jump to stage 2 (installer.ts) inside it. No stop is needed for that: the
 * supervisor sets the registers at the exec stop and lets the process go. The code is the same for both classes, but for its registers
 * and the way to call the kernel (system-call.ts).
 *
 *     argument   on entry                                for mmap
 *     1          AT_FDCWD                                where the frame says
 *     2          path of the image's file                bytes to map
 *     3          O_RDONLY | O_CLOEXEC | O_NONBLOCK       PROT_READ | PROT_EXEC
 *     4          MAP_PRIVATE, perhaps MAP_FIXED_NOREPLACE   the same
 *     5          -                                       the descriptor
 *     6          0                                       the same
 *
 * The stack pointer points to the frame with everything else (install-frame.ts). No number of a call comes from outside: at
 * PTRACE_EVENT_EXEC the process is still inside execve, which stores its result 0 in rax on the way out.
 *
 * When something fails, the process sends itself SIGURG: a tracer is shown even a signal that is ignored, and takes it from there
 * (the frame holds -errno). If the tracer has died meanwhile, nobody notices the signal, and the process enters its program in real
 * time. A file that is not ours is told by its missing nonce: the result is -ESTALE then. SIGSTOP would leave it stopped for ever
 * then, and int3 would touch a disposition that the program inherited.
 */
import { Assembler } from "../asm/assembler.ts";
import type { Code } from "../asm/code.ts";
import type { Bits } from "../asm/encoding.ts";
import { type Label, memory } from "../asm/operands.ts";
import { eax, edx } from "../asm/registers.ts";
import type { OwnCall } from "../syscalls/numbers.ts";
import { emitEnterProgram, frameField } from "./install-frame.ts";
import * as kernel from "./kernel-calls.ts";
import {
	argumentRegister,
	CALL_SIZE,
	callNumber,
	emitCallInstruction,
	setShort,
	wordRegisters,
} from "./system-call.ts";

export interface Bootstrap {
	readonly code: Uint8Array;
	/** Offset of a system call instruction for calls on behalf of the process, behind which it would enter its program. */
	readonly syscall: number;
	/** Offset behind the call of openat: from here stage 1 goes on with a descriptor in rax. */
	readonly opened: number;
	/** Offsets of the instructions at which a failed stage 1 stops. */
	readonly stops: readonly number[];
}

/** What stage 1 has to know of an image. */
export interface BootstrapOptions {
	readonly bits: Bits;
	/** Where the image has a word that no other file has there, in its first page. */
	readonly nonce: { readonly offset: number; readonly word: number };
	/** Offset of stage 2 in the image. */
	readonly installerOffset: number;
	/** Bytes of address space. */
	readonly mappingLength: number;
}

/** What a system call returns from here on is an error: IS_ERR_VALUE, include/linux/err.h. */
const FIRST_ERROR = -4095;

/** Jumps when mmap has failed: a 32-bit address may be negative. */
export const emitJumpIfFailed = (assembler: Assembler, failed: Label): void => {
	assembler.cmp(wordRegisters(assembler).ax, FIRST_ERROR);
	assembler.jcc("ae", failed);
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

/** The result of the install := rax; then SIGURG to the own process, which goes on behind this code when nobody answers. */
export const emitStop = (assembler: Assembler, { killed, trapped }: StopPlaces): void => {
	const { ax } = wordRegisters(assembler);
	const call = (name: OwnCall): void => {
		setShort(assembler, ax, callNumber(assembler, name));
		emitCallInstruction(assembler);
	};
	assembler.mov(frameField(assembler, "result"), ax);
	call("getpid");
	assembler.mov(argumentRegister(assembler, 0).half, eax);
	setShort(assembler, argumentRegister(assembler, 1).word, kernel.SIGURG);
	call("kill");
	assembler.bind(killed);
	assembler.test(eax, eax);
	assembler.jcc("ns", trapped);
	assembler.int3();
	assembler.bind(trapped);
};

export const assembleBootstrap = ({ bits, installerOffset, mappingLength, nonce }: BootstrapOptions): Bootstrap => {
	const assembler = new Assembler(bits);
	const [opened, failed, stale] = [assembler.label("opened"), assembler.label("failed"), assembler.label("stale")];
	const places = stopPlaces(assembler);
	const { ax } = wordRegisters(assembler);
	const argument = (index: number): ReturnType<typeof argumentRegister> => argumentRegister(assembler, index);
	assembler.mov(eax, callNumber(assembler, "openat"));
	emitCallInstruction(assembler);
	assembler.bind(opened);
	assembler.test(eax, eax);
	assembler.jcc("s", failed);
	assembler.mov(frameField(assembler, "descriptor"), eax);
	assembler.mov(argument(4).half, eax);
	assembler.mov(argument(0).word, frameField(assembler, "image"));
	assembler.mov(argument(1).half, mappingLength);
	setShort(assembler, argument(2).word, kernel.PROT_READ | kernel.PROT_EXEC);
	assembler.mov(eax, callNumber(assembler, "mmap"));
	emitCallInstruction(assembler);
	assembler.mov(frameField(assembler, "image"), ax);
	emitJumpIfFailed(assembler, failed);
	// In another pid namespace the path leads to some other file, or to a fault here if that is empty.
	assembler.cmp(memory(ax, nonce.offset), nonce.word, 32);
	assembler.jcc("nz", stale);
	assembler.add(ax, installerOffset);
	assembler.jmp(ax);
	assembler.bind(stale);
	setShort(assembler, ax, -kernel.ESTALE);
	assembler.bind(failed);
	emitStop(assembler, places);
	// rdx is the only register that a program may look at: psABI x86-64 and i386, "Process Initialization".
	assembler.xor(edx, edx);
	emitEnterProgram(assembler);
	const code = assembler.assemble();
	return {
		code: code.bytes,
		syscall: code.offsetOf(places.killed) - CALL_SIZE,
		opened: code.offsetOf(opened),
		stops: stopOffsets(code, places),
	};
};
