/**
 * What a call costs on this machine: measured in our own process, in machine code, with the host's vDSO and the kernel.
 *
 * The cost of a function is that of the fastest of some rounds of many calls: neither an interrupt nor a busy machine is in it.
 */
import { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { eax, ebx, edi, edx, esi, rax, rbx, rdi, rsi, rsp } from "../asm/registers.ts";
import { callCode } from "./ffi.ts";
import { mapCode } from "./memfd.ts";

/** How a function is called: a number, or memory of ours that it may write. */
export type CostArgument = number | "memory";

export interface CostedCall {
	/** A function of the host's vDSO by its address, or a system call by its number. */
	readonly target: { readonly address: bigint } | { readonly number: number };
	readonly arguments: readonly [CostArgument, CostArgument];
}

/** Calls of a round. */
export const CALLS = 5000;
export const ROUNDS = 9;
const FRAME = 48;

const assembleLoop = ({ target, arguments: [first, second] }: CostedCall): Uint8Array => {
	const assembler = new Assembler(64);
	const again = assembler.label("again");
	assembler.push(rbx);
	assembler.sub(rsp, FRAME);
	assembler.mov(ebx, CALLS);
	assembler.bind(again);
	if (first === "memory") assembler.lea(rdi, memory(rsp));
	else assembler.mov(edi, first);
	if (second === "memory") assembler.lea(rsi, memory(rsp, 16));
	else assembler.mov(esi, second);
	assembler.xor(edx, edx);
	if ("address" in target) {
		assembler.mov(rax, target.address);
		assembler.call(rax);
	} else {
		assembler.mov(eax, target.number);
		assembler.syscall();
	}
	assembler.sub(ebx, 1);
	assembler.jcc("nz", again);
	assembler.xor(eax, eax);
	assembler.add(rsp, FRAME);
	assembler.pop(rbx);
	assembler.ret();
	return assembler.assemble().bytes;
};

/** Nanoseconds of one call. */
export const measureCall = (call: CostedCall): number => {
	const code = mapCode(assembleLoop(call));
	const rounds = Array.from({ length: ROUNDS }, () => {
		const start = process.hrtime.bigint();
		callCode(code);
		return Number(process.hrtime.bigint() - start) / CALLS;
	});
	return Math.min(...rounds);
};
