/**
 * gettimeofday(timeval rdi, timezone rsi).
 *
 * The microseconds are those of the shifted nanoseconds, so the host's clock_gettime is called and not its gettimeofday: adding
 * an offset to truncated microseconds could step back behind a clock_gettime read before. The time zone is the host's; it is
 * stored behind the time, as the kernel does.
 */
import { memory, ripRelative } from "../asm/operands.ts";
import { eax, edi, r9, r10, rcx, rdi, rdx, rsi } from "../asm/registers.ts";
import { CLOCK_REALTIME } from "./host.ts";
import { emitReadHostClock } from "./host-clock.ts";
import { type Emission, emitLoadWall, emitReadSlot, emitUnpackWall } from "./wall.ts";

/** n / 1000 = n * 274877907 >> 38, exact for n < 2^31: 274877907 = ceil(2^38 / 1000). */
const RECIPROCAL_OF_1000 = 274_877_907;
const RECIPROCAL_SHIFT = 38;

/** rcx := rcx / 1000, for nanoseconds below 10^9. */
export const emitMicroseconds = ({ assembler }: Emission): void => {
	assembler.imul(rcx, rcx, RECIPROCAL_OF_1000);
	assembler.shr(rcx, RECIPROCAL_SHIFT);
};

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
	emitLoadWall(emission);
	emitUnpackWall(emission, inSlot);

	assembler.bind(chain);
	emitReadHostClock(emission, { clock: CLOCK_REALTIME });
	assembler.bind(store);
	emitMicroseconds(emission);
	assembler.mov(memory(rdi), rdx);
	assembler.mov(memory(rdi, 8), rcx);
	const withTimezone = assembler.label("with time zone");
	assembler.test(rsi, rsi);
	assembler.jcc("nz", withTimezone);
	assembler.xor(eax, eax);
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
