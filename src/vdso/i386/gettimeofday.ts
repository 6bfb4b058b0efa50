/**
 * gettimeofday(timeval, timezone), whose seconds have 32 bits and lose the rest: as ../gettimeofday.ts.
 */
import { anchored, memory } from "../../asm/operands.ts";
import { eax, ebx, ecx, edx, esi, esp } from "../../asm/registers.ts";
import { CALL_I386 } from "../../observation/calls.ts";
import { CLOCK_REALTIME, SYSCALLS_I386 } from "../host.ts";
import {
	argument,
	argumentAtEntry,
	type Emission,
	emitAnchor,
	emitEnter,
	emitInFrame,
	emitOutsideFrame,
	emitReturn,
	FRAME_TO_CFA,
	labelsOf,
	WORD,
} from "./emission.ts";
import { emitForward } from "./forward.ts";
import { emitCalled } from "./observer/hooks.ts";
import { emitReadWall, emitTrap } from "./wall.ts";

/** n / 1000 = n * 274877907 >> 38, exact for n < 2^31: 274877907 = ceil(2^38 / 1000). */
const RECIPROCAL_OF_1000 = 274_877_907;
/** Of the upper word of the product. */
const RECIPROCAL_SHIFT = 38 - 32;

export const emitGettimeofday = (emission: Emission): void => {
	const { assembler, links } = emission;
	const [onlyTimezone, withTimezone, trap, failed] = labelsOf(
		assembler,
		"only time zone",
		"with time zone",
		"trap",
		"failed",
	);
	assembler.endbr();
	const countOutOfLine = emitCalled(emission, { call: CALL_I386.gettimeofday });
	assembler.cmp(argumentAtEntry(0), 0, 32);
	assembler.jcc("z", onlyTimezone);
	emitEnter(assembler);
	const outOfLine = emitReadWall(emission, { clock: CLOCK_REALTIME, trap, failed });
	assembler.mov(ecx, RECIPROCAL_OF_1000);
	assembler.unary("mul", ecx);
	assembler.shr(edx, RECIPROCAL_SHIFT);
	assembler.mov(ecx, argument(0));
	assembler.mov(memory(ecx), esi);
	assembler.mov(memory(ecx, WORD), edx);
	assembler.mov(ecx, argument(1));
	assembler.test(ecx, ecx);
	assembler.jcc("nz", withTimezone);
	assembler.xor(eax, eax);
	emitReturn(assembler);

	assembler.bind(withTimezone);
	const anchor = emitAnchor(assembler, ebx);
	assembler.push(ecx);
	assembler.cfaOffset(FRAME_TO_CFA + WORD);
	assembler.push(0);
	assembler.cfaOffset(FRAME_TO_CFA + 2 * WORD);
	assembler.call(anchored(anchor, links.own("gettimeofday")));
	assembler.add(esp, 2 * WORD);
	emitInFrame(assembler);
	emitReturn(assembler);
	outOfLine();
	assembler.bind(trap);
	emitTrap(emission, SYSCALLS_I386.gettimeofday);
	assembler.bind(failed);
	emitReturn(assembler);
	emitOutsideFrame(assembler);
	assembler.bind(onlyTimezone);
	emitForward(emission, links.own("gettimeofday"));
	countOutOfLine();
};
