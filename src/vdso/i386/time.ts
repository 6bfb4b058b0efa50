/** time(time_t): the coarse second of the wall, of which 32 bits are stored and returned. As ../time.ts. */
import { anchored, memory } from "../../asm/operands.ts";
import { eax, ebx, ecx, edi, esi } from "../../asm/registers.ts";
import * as layout from "../../vvar/layout.ts";
import { CALL_I386 } from "../../observation/calls.ts";
import { CLOCK_REALTIME_COARSE, SYSCALLS_I386 } from "../host.ts";
import { argument, type Emission, emitEnter, emitReturn, labelsOf } from "./emission.ts";
import { hostField } from "./host-page.ts";
import { emitCalled } from "./observer/hooks.ts";
import { emitLoadWall, emitReadWall, emitTrap } from "./wall.ts";

export const emitTime = (emission: Emission): void => {
	const { assembler, links, host } = emission;
	const [begin, notWhole, store, done] = labelsOf(assembler, "begin", "not whole", "store", "done");
	const [trap, failed] = labelsOf(assembler, "trap", "failed");

	assembler.endbr();
	const countOutOfLine = emitCalled(emission, { call: CALL_I386.time });
	emitEnter(assembler);
	const { coarse } = host;
	if (coarse !== undefined) {
		assembler.bind(begin);
		const anchor = emitLoadWall(emission, begin);
		assembler.test(esi, layout.WALL_NANOSECONDS_MASK);
		assembler.jcc("nz", notWhole);
		assembler.mov(ebx, anchored(anchor, links.hostClocks.label));
		assembler.test(hostField(emission, coarse.sequence), 1, 32);
		assembler.jcc("nz", notWhole);
		assembler.shrd(esi, edi, layout.WALL_SECONDS_SHIFT);
		assembler.add(esi, hostField(emission, coarse.realtimeSeconds));
		assembler.jmp(store);
	}
	assembler.bind(notWhole);
	const outOfLine = emitReadWall(emission, { clock: CLOCK_REALTIME_COARSE, trap, failed });
	assembler.bind(store);
	assembler.mov(eax, esi);
	assembler.mov(ecx, argument(0));
	assembler.test(ecx, ecx);
	assembler.jcc("z", done);
	assembler.mov(memory(ecx), eax);
	assembler.bind(done);
	emitReturn(assembler);
	outOfLine();
	assembler.bind(trap);
	emitTrap(emission, SYSCALLS_I386.time);
	assembler.bind(failed);
	emitReturn(assembler);
	countOutOfLine();
};
