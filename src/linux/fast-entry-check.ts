/**
 * Whether the processor and the kernel take a fast system call instruction in a 32-bit process: tried by a program of some hundred
 * bytes, which makes one call by it and ends.
 */
import { Assembler } from "../asm/assembler.ts";
import { eax, ebp, ebx, ecx, edx, esp } from "../asm/registers.ts";
import { NUMBERS } from "../syscalls/numbers.ts";
import { emitExit, runProgram32 } from "./program32.ts";

/** The instructions that a processor may refuse. */
export type FastInstruction = "syscall" | "sysenter";

/** Makes a call by the instruction, with the stack that the kernel wants for it, and exits with 0 when it has been made. */
const assembleTrial = (instruction: FastInstruction): Uint8Array => {
	const assembler = new Assembler(32);
	const [entry, exit] = [assembler.label("entry"), assembler.label("exit")];
	assembler.mov(ebx, 1);
	assembler.mov(eax, NUMBERS.i386.getpid);
	assembler.call(entry);
	assembler.test(eax, eax);
	assembler.jcc("le", exit);
	assembler.xor(ebx, ebx);
	assembler.bind(exit);
	emitExit(assembler);
	assembler.bind(entry);
	assembler.push(ecx);
	assembler.push(edx);
	assembler.push(ebp);
	assembler.mov(ebp, instruction === "syscall" ? ecx : esp);
	if (instruction === "syscall") assembler.syscall();
	else assembler.sysenter();
	// The kernel returns behind the host's `int 0x80`, and from there to the caller.
	assembler.int3();
	return assembler.assemble().bytes;
};

/** @returns undefined when it is taken; otherwise the end of a sentence that says who refuses it */
export const fastInstructionFault = (instruction: FastInstruction): string | undefined => {
	const { status, signal, error } = runProgram32(assembleTrial(instruction));
	if (status === 0) return undefined;
	if (signal === "SIGILL") return "this processor refuses it in a 32-bit program (SIGILL)";
	if (signal !== null) return `a 32-bit program that uses it dies of ${signal}: the host gives 32-bit programs no vDSO`;
	if (error === undefined) return "this kernel does not take it";
	const code = "code" in error ? String(error.code) : error.message;
	return `a 32-bit program to try it with cannot be executed (${code})`;
};
