/**
 * time(time_t rdi): the coarse second of the wall.
 *
 * With an offset of whole seconds it is one load of the host's seconds, as in the kernel; an offset with nanoseconds needs the
 * host's coarse nanoseconds too, so that time() turns exactly when CLOCK_REALTIME_COARSE does. Each way is a straight line for
 * time(NULL).
 */
import { indexed, memory, ripRelative } from "../asm/operands.ts";
import { eax, ecx, r9, r10, rax, rcx, rdi, rdx } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import { CLOCK_REALTIME_COARSE } from "./host.ts";
import { emitReadHostClock } from "./host-clock.ts";
import {
	type Emission,
	emitLoadWall,
	emitReadHostCoarse,
	emitReadSlot,
	emitUnpackWall,
	NANOSECONDS_PER_SECOND,
} from "./wall.ts";

export const emitTime = (emission: Emission): void => {
	const { assembler, links, host } = emission;
	const again = assembler.label("again");
	const inSlot = assembler.label("in slot");
	const withOffset = assembler.label("with offset");
	const chain = assembler.label("chain");
	const store = assembler.label("store");
	const finish = assembler.label("finish");
	const done = assembler.label("done");

	assembler.endbr();
	assembler.bind(again);
	emitLoadWall(emission);
	const { coarse } = host;
	if (coarse !== undefined) {
		const notWhole = assembler.label("not whole seconds");
		assembler.test(eax, layout.WALL_NANOSECONDS_MASK);
		assembler.jcc("nz", notWhole);
		assembler.sar(rax, layout.WALL_SECONDS_SHIFT);
		assembler.xor(ecx, ecx);
		assembler.mov(rdx, ripRelative(links.hostImage.label));
		assembler.test(memory(rdx, coarse.sequence), 1, 32);
		assembler.jcc("nz", chain);
		assembler.add(rax, memory(rdx, coarse.realtimeSeconds));
		assembler.test(rdi, rdi);
		assembler.jcc("nz", store);
		assembler.ret();

		assembler.bind(notWhole);
		emitUnpackWall(emission, inSlot);
		assembler.bind(withOffset);
		emitReadHostCoarse(emission, { sequence: coarse.sequence, clock: coarse.realtime, call: chain });
		// 1 more when the nanoseconds carry: the borrow of their sum minus 10^9 is its sign.
		assembler.lea(rcx, indexed({ base: rcx, index: r10, displacement: -NANOSECONDS_PER_SECOND }));
		assembler.sar(rcx, 63);
		assembler.lea(rax, indexed({ base: rax, index: r9, displacement: 1 }));
		assembler.add(rax, rcx);
		assembler.test(rdi, rdi);
		assembler.jcc("nz", store);
		assembler.ret();
	} else {
		emitUnpackWall(emission, inSlot);
		assembler.bind(withOffset);
	}

	assembler.bind(chain);
	emitReadHostClock(emission, { clock: CLOCK_REALTIME_COARSE });
	assembler.mov(rax, rdx);
	assembler.bind(finish);
	assembler.test(rdi, rdi);
	assembler.jcc("z", done);
	assembler.bind(store);
	assembler.mov(memory(rdi), rax);
	assembler.bind(done);
	assembler.ret();

	assembler.bind(inSlot);
	emitReadSlot(emission, { again, offset: withOffset });
	assembler.mov(rax, r9);
	assembler.jmp(finish);
};
