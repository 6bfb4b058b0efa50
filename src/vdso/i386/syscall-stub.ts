/** A function that the host's vDSO lacks: the system call, with up to two arguments. */
import { memory } from "../../asm/operands.ts";
import { eax, ebx, ecx, edx, esp } from "../../asm/registers.ts";
import { SYSCALL_KEY } from "../../syscalls/key.ts";
import { SYSCALLS_I386 } from "../host.ts";
import { type Emission, WORD } from "./emission.ts";

/** What reads a clock: the image transforms what these return. */
const KEYED: ReadonlySet<number> = new Set([
	SYSCALLS_I386.clock_gettime,
	SYSCALLS_I386.clock_gettime64,
	SYSCALLS_I386.gettimeofday,
]);

export const emitSyscallStub = ({ assembler, internal }: Emission, number: number): void => {
	assembler.push(ebx);
	assembler.cfaOffset(2 * WORD);
	assembler.cfaSaved(ebx, 2 * WORD);
	assembler.mov(ebx, memory(esp, 2 * WORD));
	assembler.mov(ecx, memory(esp, 3 * WORD));
	assembler.mov(edx, KEYED.has(number) ? SYSCALL_KEY : 0);
	assembler.mov(eax, number);
	assembler.call(internal.kernelVsyscall);
	assembler.pop(ebx);
	assembler.cfaOffset(WORD);
	assembler.cfaRestored(ebx);
	assembler.ret();
};
