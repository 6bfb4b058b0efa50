/**
 * Where a signal handler without a restorer returns to. The kernel leads there into the host's image; ours have the same bytes, by which
 * unwinders and debuggers know them, and are found by name.
 */
import { eax } from "../../asm/registers.ts";
import { type Emission, WORD } from "./emission.ts";

const SYS_SIGRETURN = 119;
const SYS_RT_SIGRETURN = 173;
const INTERRUPT = 0x80;

/** Bytes from the stack pointer to the struct sigcontext when the handler has returned: uapi/asm/sigcontext.h, asm/sigframe.h. */
const CONTEXT = { sigreturn: WORD, rtSigreturn: 160 } as const;

/** An unwinder looks one byte in front of a return address, and must find the same frame there. */
const emitLead = ({ assembler }: Emission, context: number): void => {
	assembler.cfaSignalContext(context);
	assembler.nop();
};

export interface Sigreturn {
	readonly name: string;
	/** Emits what stands in front of the function. */
	readonly lead: (emission: Emission) => void;
	readonly emit: (emission: Emission) => void;
}

export const SIGRETURNS: readonly Sigreturn[] = [
	{
		name: "__kernel_sigreturn",
		lead: (emission) => emitLead(emission, CONTEXT.sigreturn),
		emit: ({ assembler }) => {
			assembler.pop(eax);
			assembler.cfaSignalContext(CONTEXT.sigreturn - WORD);
			assembler.mov(eax, SYS_SIGRETURN);
			assembler.int(INTERRUPT);
		},
	},
	{
		name: "__kernel_rt_sigreturn",
		lead: (emission) => emitLead(emission, CONTEXT.rtSigreturn),
		emit: ({ assembler }) => {
			assembler.mov(eax, SYS_RT_SIGRETURN);
			assembler.int(INTERRUPT);
		},
	},
];
