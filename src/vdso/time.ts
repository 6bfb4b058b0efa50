/**
 * time(time_t rdi): the coarse second of the wall.
 *
 * With an offset of whole seconds it is one load of the host's seconds, as in the kernel; an offset with nanoseconds needs the
 * host's coarse nanoseconds too, so that time() turns exactly when CLOCK_REALTIME_COARSE does. Each way is a straight line for
 * time(NULL).
 */
import { indexed, memory, ripRelative } from "../asm/operands.ts";
import { eax, ecx, edi, r9, r10, rax, rcx, rdi, rdx, rsi, rsp } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import { CLOCK_REALTIME_COARSE } from "./host.ts";
import {
	type Emission,
	emitCarry,
	emitLoadWall,
	emitReadHostCoarse,
	emitReadSlot,
	NANOSECONDS_PER_SECOND,
} from "./wall.ts";

/** Bytes of our frame: a timespec, the argument, the offset, and the alignment of the stack at the call. */
const FRAME = 56;
const TIME = 16;
const SECONDS = 24;
const NANOSECONDS = 32;

export const emitTime = (emission: Emission): void => {
	const { assembler, links, host, page } = emission;
	const again = assembler.label("again");
	const inSlot = assembler.label("in slot");
	const chain = assembler.label("chain");
	const store = assembler.label("store");
	const finish = assembler.label("finish");
	const done = assembler.label("done");

	assembler.endbr();
	assembler.bind(again);
	const { coarse } = host;
	if (coarse !== undefined) {
		const notWhole = assembler.label("not whole seconds");
		assembler.mov(rax, ripRelative(page, layout.PAGE.wall));
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
		emitLoadWall(emission, inSlot);
		emitReadHostCoarse(emission, { sequence: coarse.sequence, clock: coarse.realtime, call: chain });
		// 1 more when the nanoseconds carry: the borrow of their sum minus 10^9 is its sign.
		assembler.lea(rcx, indexed({ base: rcx, index: r10, displacement: -NANOSECONDS_PER_SECOND }));
		assembler.sar(rcx, 63);
		assembler.lea(rax, indexed({ base: rax, index: r9, displacement: 1 }));
		assembler.add(rax, rcx);
		assembler.test(rdi, rdi);
		assembler.jcc("nz", store);
		assembler.ret();
	} else emitLoadWall(emission, inSlot);

	assembler.bind(chain);
	assembler.sub(rsp, FRAME);
	assembler.cfaOffset(FRAME + 8);
	assembler.mov(memory(rsp, TIME), rdi);
	assembler.mov(memory(rsp, SECONDS), rax);
	assembler.mov(memory(rsp, NANOSECONDS), rcx);
	assembler.mov(edi, CLOCK_REALTIME_COARSE);
	assembler.mov(rsi, rsp);
	assembler.call(ripRelative(links.own("clock_gettime")));
	assembler.mov(rdx, memory(rsp));
	assembler.mov(rcx, memory(rsp, 8));
	assembler.add(rdx, memory(rsp, SECONDS));
	assembler.add(rcx, memory(rsp, NANOSECONDS));
	assembler.mov(rdi, memory(rsp, TIME));
	assembler.add(rsp, FRAME);
	assembler.cfaOffset(8);
	emitCarry(emission);
	assembler.mov(rax, rdx);
	assembler.bind(finish);
	assembler.test(rdi, rdi);
	assembler.jcc("z", done);
	assembler.bind(store);
	assembler.mov(memory(rdi), rax);
	assembler.bind(done);
	assembler.ret();

	assembler.bind(inSlot);
	emitReadSlot(emission, { again, offset: chain });
	assembler.mov(rax, r9);
	assembler.jmp(finish);
};
