/**
 * The seam between our functions and the host's clock: how "the host's time plus the wall offset" is computed.
 *
 * Here it is by chain: the host's clock_gettime is called with a timespec on our stack, then the offset is added. It stays true to
 * NTP, a change of the clock source, migration and time namespaces without anybody's help.
 */
import { type Label, memory, ripRelative } from "../asm/operands.ts";
import { eax, edi, rax, rcx, rdi, rdx, rsi, rsp } from "../asm/registers.ts";
import { type Emission, emitCarry } from "./wall.ts";

/** Our frame: a timespec, both arguments and the offset. With the return address it keeps the stack aligned to 16 at the call. */
const FRAME = { rdi: 16, rsi: 24, seconds: 32, nanoseconds: 40, size: 56 } as const;
const WORD = 8;

export interface HostClockRead {
	/** The clock, or "edi" when its id is there already. */
	readonly clock: number | "edi";
	/** Where to go with the host's result in rax when its function fails; left out: the calling function returns it. */
	readonly failed?: Label;
	/** Bytes from the stack pointer to the return address of the calling function. @default 0 */
	readonly depth?: number;
}

/**
 * rdx := seconds, rcx := nanoseconds of the host's clock plus the offset in rax (seconds) and rcx (nanoseconds below 10^9).
 *
 * rdi and rsi are kept; rax is the host's result, and every other caller-saved register is lost. When the host's function fails
 * (its own system call was refused, for example by a seccomp filter) the calling function returns that result, having stored nothing.
 */
export const emitReadHostClock = (emission: Emission, { clock, failed, depth = 0 }: HostClockRead): void => {
	const { assembler, links } = emission;
	const succeeded = assembler.label("succeeded");
	assembler.sub(rsp, FRAME.size);
	assembler.cfaOffset(depth + FRAME.size + WORD);
	assembler.mov(memory(rsp, FRAME.rdi), rdi);
	assembler.mov(memory(rsp, FRAME.rsi), rsi);
	assembler.mov(memory(rsp, FRAME.seconds), rax);
	assembler.mov(memory(rsp, FRAME.nanoseconds), rcx);
	if (clock !== "edi") assembler.mov(edi, clock);
	assembler.mov(rsi, rsp);
	assembler.call(ripRelative(links.own("clock_gettime")));
	assembler.mov(rdx, memory(rsp));
	assembler.mov(rcx, memory(rsp, WORD));
	assembler.add(rdx, memory(rsp, FRAME.seconds));
	assembler.add(rcx, memory(rsp, FRAME.nanoseconds));
	assembler.mov(rdi, memory(rsp, FRAME.rdi));
	assembler.mov(rsi, memory(rsp, FRAME.rsi));
	assembler.add(rsp, FRAME.size);
	assembler.cfaOffset(depth + WORD);
	assembler.test(eax, eax);
	assembler.jcc("z", succeeded);
	// An int, but time() returns 64 bits: the sign is spread.
	assembler.shl(rax, 32);
	assembler.sar(rax, 32);
	if (failed === undefined) assembler.ret();
	else assembler.jmp(failed);
	assembler.bind(succeeded);
	emitCarry(emission);
};
