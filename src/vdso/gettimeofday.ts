/**
 * gettimeofday(timeval rdi, timezone rsi).
 *
 * The microseconds are those of the shifted nanoseconds, so the host's clock_gettime is called and not its gettimeofday: adding
 * an offset to truncated microseconds could step back behind a clock_gettime read before. The time zone is the host's; it is
 * stored behind the time, as the kernel does.
 */
import { memory, ripRelative } from "../asm/operands.ts";
import { eax, edi, r9, r10, rax, rcx, rdi, rdx, rsi, rsp } from "../asm/registers.ts";
import { type Emission, emitCarry, emitLoadWall, emitReadSlot } from "./wall.ts";

/** Bytes of our frame: a timespec, both arguments, the offset, and the alignment of the stack at the call. */
const FRAME = 56;
const TIMEVAL = 16;
const TIMEZONE = 24;
const SECONDS = 32;
const NANOSECONDS = 40;

/** n / 1000 = n * 274877907 >> 38, exact for n < 2^31: 274877907 = ceil(2^38 / 1000). */
const RECIPROCAL_OF_1000 = 274_877_907;
const RECIPROCAL_SHIFT = 38;

export const emitGettimeofday = (emission: Emission): void => {
	const { assembler, links } = emission;
	const hostGettimeofday = ripRelative(links.own("gettimeofday"));
	const onlyTimezone = assembler.label("only time zone");
	const again = assembler.label("again");
	const inSlot = assembler.label("in slot");
	const chain = assembler.label("chain");
	const store = assembler.label("store");

	assembler.endbr();
	assembler.test(rdi, rdi);
	assembler.jcc("z", onlyTimezone);
	assembler.bind(again);
	emitLoadWall(emission, inSlot);

	assembler.bind(chain);
	assembler.sub(rsp, FRAME);
	assembler.cfaOffset(FRAME + 8);
	assembler.mov(memory(rsp, TIMEVAL), rdi);
	assembler.mov(memory(rsp, TIMEZONE), rsi);
	assembler.mov(memory(rsp, SECONDS), rax);
	assembler.mov(memory(rsp, NANOSECONDS), rcx);
	assembler.xor(edi, edi);
	assembler.mov(rsi, rsp);
	assembler.call(ripRelative(links.own("clock_gettime")));
	assembler.mov(rdx, memory(rsp));
	assembler.mov(rcx, memory(rsp, 8));
	assembler.add(rdx, memory(rsp, SECONDS));
	assembler.add(rcx, memory(rsp, NANOSECONDS));
	assembler.mov(rdi, memory(rsp, TIMEVAL));
	assembler.mov(rsi, memory(rsp, TIMEZONE));
	assembler.add(rsp, FRAME);
	assembler.cfaOffset(8);
	const failed = assembler.label("failed");
	assembler.test(eax, eax);
	assembler.jcc("nz", failed);
	emitCarry(emission);

	assembler.bind(store);
	assembler.imul(rcx, rcx, RECIPROCAL_OF_1000);
	assembler.shr(rcx, RECIPROCAL_SHIFT);
	assembler.mov(memory(rdi), rdx);
	assembler.mov(memory(rdi, 8), rcx);
	const withTimezone = assembler.label("with time zone");
	assembler.test(rsi, rsi);
	assembler.jcc("nz", withTimezone);
	assembler.xor(eax, eax);
	assembler.bind(failed);
	assembler.ret();

	assembler.bind(withTimezone);
	assembler.xor(edi, edi);
	assembler.bind(onlyTimezone);
	assembler.jmp(hostGettimeofday);

	assembler.bind(inSlot);
	emitReadSlot(emission, { again, offset: chain });
	assembler.mov(rdx, r9);
	assembler.mov(rcx, r10);
	assembler.jmp(store);
};
