/**
 * time(time_t rdi): the coarse second of the wall.
 *
 * With an offset of whole seconds it is one load of the host's seconds, as in the kernel; an offset with nanoseconds needs the
 * host's coarse nanoseconds too, so that time() turns exactly when CLOCK_REALTIME_COARSE does.
 */
import { memory, ripRelative } from "../asm/operands.ts";
import { ecx, edi, r8d, r9, r10, rax, rcx, rdi, rdx, rsi, rsp } from "../asm/registers.ts";
import { CLOCK_REALTIME_COARSE } from "./host.ts";
import { type Emission, emitCarry, emitLoadWall, emitReadHostCoarse, emitReadSlot } from "./wall.ts";

/** Bytes of our frame: a timespec, the argument, the offset, and the alignment of the stack at the call. */
const FRAME = 56;
const TIME = 16;
const SECONDS = 24;
const NANOSECONDS = 32;

export const emitTime = (emission: Emission): void => {
	const { assembler, links, host } = emission;
	const again = assembler.label("again");
	const inSlot = assembler.label("in slot");
	const withNanoseconds = assembler.label("with nanoseconds");
	const chain = assembler.label("chain");
	const store = assembler.label("store");
	const done = assembler.label("done");

	assembler.endbr();
	assembler.bind(again);
	emitLoadWall(emission, inSlot);
	if (host.coarse !== undefined) {
		const coarse = host.coarse;
		assembler.test(ecx, ecx);
		assembler.jcc("nz", withNanoseconds);
		assembler.mov(rdx, ripRelative(links.hostImage.label));
		assembler.mov(r8d, memory(rdx, coarse.sequence));
		assembler.test(r8d, 1);
		assembler.jcc("nz", chain);
		assembler.add(rax, memory(rdx, coarse.realtimeSeconds));
		assembler.bind(store);
		assembler.test(rdi, rdi);
		assembler.jcc("z", done);
		assembler.mov(memory(rdi), rax);
		assembler.bind(done);
		assembler.ret();

		assembler.bind(withNanoseconds);
		emitReadHostCoarse(emission, { sequence: coarse.sequence, clock: coarse.realtime, call: chain });
		assembler.lea(rdx, { kind: "memory", base: r9, index: rax, scale: 1, displacement: 0 });
		assembler.add(rcx, r10);
		emitCarry(emission);
		assembler.mov(rax, rdx);
		assembler.jmp(store);
	}

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
	if (host.coarse === undefined) {
		assembler.bind(store);
		assembler.test(rdi, rdi);
		assembler.jcc("z", done);
		assembler.mov(memory(rdi), rax);
		assembler.bind(done);
		assembler.ret();
	} else assembler.jmp(store);

	assembler.bind(inSlot);
	emitReadSlot(emission, { again, offset: chain });
	assembler.mov(rax, r9);
	assembler.jmp(store);
};
