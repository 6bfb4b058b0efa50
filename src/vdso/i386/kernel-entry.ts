/**
 * __kernel_vsyscall: eax is the number, ebx, ecx, edx, esi, edi and ebp are the arguments; eax becomes the result, all else is kept.
 *
 * Neither fast instruction tells the kernel where it stands. The kernel takes the sixth argument, edx and ecx from the stack, and returns
 * to one place in every process: behind the `int 0x80` of the host's own __kernel_vsyscall, where three words are popped. So the pushes
 * are those of the host's (entry/vdso/vdso32/system_call.S, entry_64_compat.S, v4.0 to v7.3). The code behind our instruction
 * runs where the kernel takes it for `int 0x80`, that is never; it stands there since unwinders and debuggers compare bytes.
 */
import type { Label } from "../../asm/operands.ts";
import { ebp, ecx, edx, esp } from "../../asm/registers.ts";
import type { EntryForm } from "../fast-entry.ts";
import { type Emission, WORD } from "./emission.ts";
import { emitForwardAll } from "./forward.ts";

const INTERRUPT = 0x80;
/** In the order in which they are pushed. */
const PUSHED = [ecx, edx, ebp] as const;

/** @param host the link page's word for the host's own */
export const emitKernelVsyscall = (emission: Emission, form: EntryForm, host: Label | undefined): void => {
	const { assembler } = emission;
	if (form === "host" && host !== undefined) return emitForwardAll(emission, host);
	if (form === "host" || form === "int80") {
		assembler.int(INTERRUPT);
		return assembler.ret();
	}
	PUSHED.forEach((register, index) => {
		assembler.push(register);
		assembler.cfaOffset((index + 2) * WORD);
		assembler.cfaSaved(register, (index + 2) * WORD);
	});
	if (form === "syscall") {
		assembler.mov(ebp, ecx);
		assembler.syscall();
	} else {
		assembler.mov(ebp, esp);
		assembler.sysenter();
	}
	assembler.int(INTERRUPT);
	PUSHED.toReversed().forEach((register, index) => {
		assembler.pop(register);
		assembler.cfaOffset((PUSHED.length - index) * WORD);
		assembler.cfaRestored(register);
	});
	assembler.ret();
};
