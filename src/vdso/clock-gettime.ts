/**
 * clock_gettime(id rdi, timespec rsi).
 *
 * REALTIME, TAI and REALTIME_COARSE: the host's time, transformed as the vvar page says. MONOTONIC, BOOTTIME and MONOTONIC_COARSE are
 * read from the host's page, where its layout is known. Every other id (CPU, dynamic, unknown, negative) is the host's business: a
 * jump. A bad pointer faults here or in the host's code, as it does natively.
 *
 * The ids stand in the order of how often programs ask for them.
 */
import { type Label, memory, ripRelative } from "../asm/operands.ts";
import { eax, edi, rax, rdx, rsi } from "../asm/registers.ts";
import * as ids from "./host.ts";
import { emitCallHost, emitReadInline, hostClockFor, isCoarse, isInline } from "./host-clock.ts";
import { emitCarry, type Emission, emitReadWall } from "./wall.ts";

const WALL_IDS: readonly number[] = [ids.CLOCK_REALTIME, ids.CLOCK_REALTIME_COARSE, ids.CLOCK_TAI];
const IDS = [
	ids.CLOCK_REALTIME,
	ids.CLOCK_MONOTONIC,
	ids.CLOCK_MONOTONIC_COARSE,
	ids.CLOCK_REALTIME_COARSE,
	ids.CLOCK_BOOTTIME,
	ids.CLOCK_TAI,
] as const;

/** Stores rdx and rax, and returns. */
const emitStore = ({ assembler }: Emission): void => {
	assembler.mov(memory(rsi), rdx);
	assembler.mov(memory(rsi, 8), rax);
	assembler.xor(eax, eax);
	assembler.ret();
};

/** A clock that the wall does not move. */
const emitPlainClock = (emission: Emission, id: number, forward: Label): (() => void) => {
	const { assembler, reads } = emission;
	const clock = hostClockFor(emission, id);
	const isForwarded = clock === id && reads !== "relaxed";
	const [away, read] = [isForwarded ? forward : assembler.label("away"), assembler.label("read")];
	emitReadInline(emission, clock, away);
	const emitCarryOutOfLine = isCoarse(clock) ? () => {} : emitCarry(emission);
	assembler.bind(read);
	emitStore(emission);
	return () => {
		emitCarryOutOfLine();
		if (isForwarded) return;
		assembler.bind(away);
		emitCallHost(emission, { clock });
		assembler.jmp(read);
	};
};

export const emitClockGettime = (emission: Emission): void => {
	const { assembler, links } = emission;
	const forward = assembler.label("forward");
	const outOfLine: (() => void)[] = [];

	assembler.endbr();
	for (const id of IDS) {
		const isWall = WALL_IDS.includes(id);
		if (!isWall && !isInline(emission, hostClockFor(emission, id))) continue;
		const next = assembler.label("next id");
		if (id === ids.CLOCK_REALTIME) assembler.test(edi, edi);
		else assembler.cmp(edi, id);
		assembler.jcc("nz", next);
		if (isWall) {
			outOfLine.push(emitReadWall(emission, { clock: id }));
			emitStore(emission);
		} else outOfLine.push(emitPlainClock(emission, id, forward));
		assembler.bind(next);
	}
	assembler.bind(forward);
	assembler.jmp(ripRelative(links.own("clock_gettime")));
	for (const emit of outOfLine) emit();
};
