/**
 * gettimeofday(timeval rdi, timezone rsi).
 *
 * The microseconds are those of the transformed nanoseconds: adding an offset to truncated microseconds could step back behind a
 * clock_gettime read before. The time zone is the host's; it is stored behind the time, as the kernel does.
 */
import { memory, ripRelative } from "../asm/operands.ts";
import { eax, edi, rax, rdi, rdx, rsi } from "../asm/registers.ts";
import { CALL } from "../observation/calls.ts";
import { CLOCK_REALTIME, SYSCALLS } from "./host.ts";
import { emitCalled } from "./observer/hooks.ts";
import { type Emission, emitReadWall, emitTrap } from "./wall.ts";

/** n / 1000 = n * 274877907 >> 38, exact for n < 2^31: 274877907 = ceil(2^38 / 1000). */
const RECIPROCAL_OF_1000 = 274_877_907;
const RECIPROCAL_SHIFT = 38;

/** rax := rax / 1000, for nanoseconds below 10^9. */
export const emitMicroseconds = ({ assembler }: Emission): void => {
	assembler.imul(rax, rax, RECIPROCAL_OF_1000);
	assembler.shr(rax, RECIPROCAL_SHIFT);
};

export const emitGettimeofday = (emission: Emission): void => {
	const { assembler, links } = emission;
	const onlyTimezone = assembler.label("only time zone");
	const [trap, failed] = [assembler.label("trap"), assembler.label("failed")];
	const withTimezone = assembler.label("with time zone");

	assembler.endbr();
	const countOutOfLine = emitCalled(emission, { call: CALL.gettimeofday });
	assembler.test(rdi, rdi);
	assembler.jcc("z", onlyTimezone);
	const outOfLine = emitReadWall(emission, { clock: CLOCK_REALTIME, trap, failed });
	emitMicroseconds(emission);
	assembler.mov(memory(rdi), rdx);
	assembler.mov(memory(rdi, 8), rax);
	assembler.test(rsi, rsi);
	assembler.jcc("nz", withTimezone);
	assembler.xor(eax, eax);
	assembler.ret();

	assembler.bind(withTimezone);
	assembler.xor(edi, edi);
	assembler.bind(onlyTimezone);
	assembler.jmp(ripRelative(links.own("gettimeofday")));
	outOfLine();
	countOutOfLine();
	assembler.bind(trap);
	emitTrap(emission, SYSCALLS.gettimeofday);
	assembler.bind(failed);
	assembler.ret();
};
