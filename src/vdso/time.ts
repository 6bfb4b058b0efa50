/** time(time_t rdi): the second of CLOCK_REALTIME_COARSE, so that both turn at once. */
import { type Label, memory } from "../asm/operands.ts";
import { r9, rax, rdi, rdx } from "../asm/registers.ts";
import { CALL } from "../observation/calls.ts";
import * as layout from "../vvar/layout.ts";
import { CLOCK_REALTIME_COARSE, type HostCoarseClocks, SYSCALLS } from "./host.ts";
import { emitBegin, emitEnd, hostField } from "./host-page.ts";
import { emitCalled } from "./observer/hooks.ts";
import { type Emission, emitReadWall, emitTrap } from "./wall.ts";
import { emitLoadWall, emitLowField, NANOSECONDS_PER_SECOND } from "./wall-word.ts";

/**
 * rax := the second, of an offset that the wall word itself holds. The kernel's time() is a load; so few instructions as here cost as
 * much.
 */
const emitStraight = (
	emission: Emission,
	coarse: HostCoarseClocks,
	{ away, inSlot }: { readonly away: Label; readonly inSlot: Label },
): void => {
	const { assembler, links } = emission;
	emitLoadWall(emission);
	emitLowField(assembler, inSlot);
	emitBegin(emission, coarse.sequence, away);
	assembler.add(r9, hostField(links, coarse.realtime + 8));
	assembler.sar(rax, layout.WALL_SECONDS_SHIFT);
	assembler.add(rax, hostField(links, coarse.realtime));
	emitEnd(emission, coarse.sequence, away);
	// One more when the nanoseconds are a second: the kernel's are less than one.
	assembler.cmp(r9, NANOSECONDS_PER_SECOND);
	assembler.sbb(rax, -1);
};

export const emitTime = (emission: Emission): void => {
	const { assembler, host } = emission;
	const [inSlot, general, store, trap, failed] = ["in slot", "general", "store", "trap", "failed"].map((name) =>
		assembler.label(name),
	) as [Label, Label, Label, Label, Label];
	const finish = (): void => {
		assembler.test(rdi, rdi);
		assembler.jcc("nz", store);
		assembler.ret();
	};

	assembler.endbr();
	const countOutOfLine = emitCalled(emission, { call: CALL.time });
	if (host.coarse !== undefined) {
		emitStraight(emission, host.coarse, { away: general, inSlot });
		finish();
	}
	const finishRead = (): void => {
		assembler.mov(rax, rdx);
		finish();
	};
	assembler.bind(general);
	const outOfLine = emitReadWall(emission, {
		clock: CLOCK_REALTIME_COARSE,
		trap,
		failed,
		finish: finishRead,
		inSlot,
	});
	finishRead();
	assembler.bind(store);
	assembler.mov(memory(rdi), rax);
	assembler.ret();
	outOfLine();
	countOutOfLine();
	assembler.bind(trap);
	emitTrap(emission, SYSCALLS.time);
	assembler.bind(failed);
	assembler.ret();
};
