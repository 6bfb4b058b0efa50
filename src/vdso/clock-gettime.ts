/**
 * clock_gettime(id rdi, timespec rsi).
 *
 * REALTIME, TAI and REALTIME_COARSE: the host's time, transformed as the vvar page says. MONOTONIC, BOOTTIME and MONOTONIC_COARSE are
 * read from the host's page, where its layout is known. Every other id (CPU, dynamic, unknown, negative) is the host's business: a
 * jump. A bad pointer faults here or in the host's code, as it does natively.
 */
import { type Label, memory, ripRelative } from "../asm/operands.ts";
import { eax, edi, rax, rdx, rsi } from "../asm/registers.ts";
import { CALL } from "../observation/calls.ts";
import * as ids from "./host.ts";
import { emitCallHost, emitReadInline, hostClockFor, isCoarse, isInline } from "./host-clock.ts";
import { emitCalled } from "./observer/hooks.ts";
import { emitCarry, type Emission, emitReadWall, emitTrap } from "./wall.ts";

/** Stores rdx and rax, and returns. */
const emitStore = ({ assembler }: Emission): void => {
	assembler.mov(memory(rsi), rdx);
	assembler.mov(memory(rsi, 8), rax);
	assembler.xor(eax, eax);
	assembler.ret();
};

/** A clock that the wall does not move. */
const emitPlainClock = (
	emission: Emission,
	id: number,
	{ forward, failed }: { readonly forward: Label; readonly failed: Label },
): (() => void) => {
	const { assembler, reads } = emission;
	const clock = hostClockFor(emission, id);
	if (!isInline(emission, clock)) {
		emitCallHost(emission, { clock, failed });
		emitStore(emission);
		return () => {};
	}
	const isForwarded = clock === id && reads !== "relaxed";
	const [away, read] = [isForwarded ? forward : assembler.label("away"), assembler.label("read")];
	emitReadInline(emission, clock, away);
	// The nanoseconds of a clock of the tick, and those that the host's function stores, are below 10^9.
	const carry = isCoarse(clock) ? undefined : emitCarry(emission, read);
	if (carry === undefined) assembler.bind(read);
	emitStore(emission);
	return () => {
		carry?.outOfLine();
		if (isForwarded) return;
		assembler.bind(away);
		emitCallHost(emission, { clock, failed });
		assembler.jmp(read);
	};
};

export const emitClockGettime = (emission: Emission): void => {
	const { assembler, links } = emission;
	const [forward, trap, failed] = [assembler.label("forward"), assembler.label("trap"), assembler.label("failed")];
	const outOfLine: (() => void)[] = [];

	assembler.endbr();
	for (const id of ids.SERVED_CLOCKS) {
		const clock = hostClockFor(emission, id);
		if (!ids.isWallClock(id) && clock === id && !isInline(emission, clock)) continue;
		const next = assembler.label("next id");
		if (id === ids.CLOCK_REALTIME) assembler.test(edi, edi);
		else assembler.cmp(edi, id);
		assembler.jcc("nz", next);
		outOfLine.push(emitCalled(emission, { call: CALL.clock_gettime + id }));
		if (ids.isWallClock(id)) {
			outOfLine.push(emitReadWall(emission, { clock: id, trap, failed, finish: () => emitStore(emission) }));
			emitStore(emission);
		} else outOfLine.push(emitPlainClock(emission, id, { forward, failed }));
		assembler.bind(next);
	}
	outOfLine.push(emitCalled(emission, { base: CALL.clock_gettime }));
	assembler.bind(forward);
	assembler.jmp(ripRelative(links.own("clock_gettime")));
	for (const emit of outOfLine) emit();
	assembler.bind(trap);
	emitTrap(emission, ids.SYSCALLS.clock_gettime);
	assembler.bind(failed);
	assembler.ret();
};
