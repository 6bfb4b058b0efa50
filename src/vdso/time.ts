/**
 * time(time_t rdi): the coarse second of the wall.
 *
 * With an offset of whole seconds it is one load of the host's seconds, as in the kernel; everything else needs the host's coarse
 * nanoseconds too, so that time() turns exactly when CLOCK_REALTIME_COARSE does.
 */
import { memory, ripRelative } from "../asm/operands.ts";
import { eax, r10, rax, rdi, rdx } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import { CALL } from "../observation/calls.ts";
import { CLOCK_REALTIME_COARSE, SYSCALLS } from "./host.ts";
import { hostField } from "./host-page.ts";
import { emitCalled } from "./observer/hooks.ts";
import { type Emission, emitReadWall, emitTrap } from "./wall.ts";
import { emitLoadWall } from "./wall-word.ts";

export const emitTime = (emission: Emission): void => {
	const { assembler, links, host } = emission;
	const [notWhole, store, done] = [assembler.label("not whole"), assembler.label("store"), assembler.label("done")];
	const [trap, failed] = [assembler.label("trap"), assembler.label("failed")];

	assembler.endbr();
	const countOutOfLine = emitCalled(emission, { call: CALL.time });
	const { coarse } = host;
	if (coarse !== undefined) {
		emitLoadWall(emission);
		assembler.test(eax, layout.WALL_NANOSECONDS_MASK);
		assembler.jcc("nz", notWhole);
		assembler.mov(r10, ripRelative(links.hostClocks.label));
		assembler.test(hostField(links, coarse.sequence), 1, 32);
		assembler.jcc("nz", notWhole);
		assembler.sar(rax, layout.WALL_SECONDS_SHIFT);
		assembler.add(rax, hostField(links, coarse.realtimeSeconds));
		assembler.test(rdi, rdi);
		assembler.jcc("nz", store);
		assembler.ret();
	}

	assembler.bind(notWhole);
	const outOfLine = emitReadWall(emission, { clock: CLOCK_REALTIME_COARSE, trap, failed });
	assembler.mov(rax, rdx);
	assembler.test(rdi, rdi);
	assembler.jcc("z", done);
	assembler.bind(store);
	assembler.mov(memory(rdi), rax);
	assembler.bind(done);
	assembler.ret();
	outOfLine();
	countOutOfLine();
	assembler.bind(trap);
	emitTrap(emission, SYSCALLS.time);
	assembler.bind(failed);
	assembler.ret();
};
