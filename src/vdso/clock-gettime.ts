/**
 * clock_gettime(id rdi, timespec rsi).
 *
 * REALTIME and TAI: the host's time plus the wall offset. REALTIME_COARSE and MONOTONIC_COARSE are read from the host's page. Every
 * other id (MONOTONIC, CPU, dynamic, unknown, negative) is the host's business: a jump. A bad pointer faults here or in the host's
 * code, as it does natively.
 */
import { indexed, memory, ripRelative } from "../asm/operands.ts";
import { eax, edi, r9, r10, r11, rax, rcx, rdx, rsi } from "../asm/registers.ts";
import * as ids from "./host.ts";
import { emitReadHostClock } from "./host-clock.ts";
import { type Emission, emitCarry, emitLoadWall, emitReadHostCoarse, emitReadSlot, emitUnpackWall } from "./wall.ts";

const WALL_IDS = (1 << ids.CLOCK_REALTIME) | (1 << ids.CLOCK_TAI);

export const emitClockGettime = (emission: Emission): void => {
	const { assembler, links, host } = emission;
	const hostClockGettime = ripRelative(links.own("clock_gettime"));
	const forward = assembler.label("forward");
	const realtimeCoarse = assembler.label("realtime coarse");
	const monotonicCoarse = assembler.label("monotonic coarse");
	const chain = assembler.label("chain");

	assembler.endbr();
	assembler.cmp(edi, ids.CLOCK_TAI);
	assembler.jcc("a", forward);
	assembler.mov(eax, WALL_IDS);
	assembler.bt(eax, edi);
	const again = assembler.label("again");
	const notWall = assembler.label("not a wall clock");
	assembler.jcc("ae", notWall);
	assembler.bind(again);
	const inSlot = assembler.label("in slot");
	emitLoadWall(emission);
	emitUnpackWall(emission, inSlot);

	assembler.bind(chain);
	emitReadHostClock(emission, { clock: "edi" });
	assembler.mov(memory(rsi), rdx);
	assembler.mov(memory(rsi, 8), rcx);
	assembler.ret();

	assembler.bind(inSlot);
	emitReadSlot(emission, { again, offset: chain, tai: r11 });
	const frozenUtc = assembler.label("frozen utc");
	assembler.cmp(edi, ids.CLOCK_TAI);
	assembler.jcc("nz", frozenUtc);
	assembler.add(r9, r11);
	assembler.bind(frozenUtc);
	const store = assembler.label("store");
	assembler.bind(store);
	assembler.mov(memory(rsi), r9);
	assembler.mov(memory(rsi, 8), r10);
	assembler.xor(eax, eax);
	assembler.ret();

	assembler.bind(notWall);
	assembler.cmp(edi, ids.CLOCK_REALTIME_COARSE);
	assembler.jcc("z", realtimeCoarse);
	if (host.coarse !== undefined) {
		assembler.cmp(edi, ids.CLOCK_MONOTONIC_COARSE);
		assembler.jcc("z", monotonicCoarse);
	}
	assembler.bind(forward);
	assembler.jmp(hostClockGettime);

	assembler.bind(realtimeCoarse);
	const coarseInSlot = assembler.label("coarse in slot");
	const coarseOffset = assembler.label("coarse offset");
	emitLoadWall(emission);
	emitUnpackWall(emission, coarseInSlot);
	assembler.bind(coarseOffset);
	if (host.coarse === undefined) assembler.jmp(chain);
	else {
		emitReadHostCoarse(emission, { sequence: host.coarse.sequence, clock: host.coarse.realtime, call: chain });
		assembler.lea(rdx, indexed({ base: r9, index: rax }));
		assembler.add(rcx, r10);
		emitCarry(emission);
		assembler.mov(memory(rsi), rdx);
		assembler.mov(memory(rsi, 8), rcx);
		assembler.xor(eax, eax);
		assembler.ret();

		assembler.bind(monotonicCoarse);
		emitReadHostCoarse(emission, { sequence: host.coarse.sequence, clock: host.coarse.monotonic, call: forward });
		assembler.jmp(store);
	}

	assembler.bind(coarseInSlot);
	emitReadSlot(emission, { again: realtimeCoarse, offset: coarseOffset });
	assembler.jmp(store);
};
