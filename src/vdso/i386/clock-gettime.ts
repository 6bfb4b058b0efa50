/**
 * clock_gettime(id, timespec) with seconds of 32 bits, and clock_gettime64(id, timespec) with 64.
 *
 * The ids are served as in ../clock-gettime.ts. Seconds beyond 32 bits lose their upper half in the first, as in the kernel's own
 * functions (put_old_timespec32 of kernel/time/time.c, __cvdso_clock_gettime32 of lib/vdso/gettimeofday.c).
 */
import { type Label, memory } from "../../asm/operands.ts";
import { eax, ebx, ecx, edi, esi } from "../../asm/registers.ts";
import { CALL_I386 } from "../../observation/calls.ts";
import * as ids from "../host.ts";
import { hostClockFor, isInline } from "../host-clock.ts";
import {
	argument,
	argumentAtEntry,
	type Emission,
	emitAnchor,
	emitEnter,
	emitOutsideFrame,
	emitReturn,
	labelsOf,
	WORD,
} from "./emission.ts";
import { emitForward } from "./forward.ts";
import { emitReadHost } from "./host-clock.ts";
import { emitCalled } from "./observer/hooks.ts";
import { emitCarry, emitReadWall, emitTrap } from "./wall.ts";

export type ClockGettimeName = "clock_gettime" | "clock_gettime64";

/** Stores edi:esi and eax as the structure of the function has them, and returns. */
const emitStore = ({ assembler }: Emission, name: ClockGettimeName): void => {
	assembler.mov(ecx, argument(1));
	assembler.mov(memory(ecx), esi);
	if (name === "clock_gettime64") {
		assembler.mov(memory(ecx, WORD), edi);
		assembler.mov(memory(ecx, 2 * WORD), eax);
		assembler.mov(memory(ecx, 3 * WORD), 0, 32);
	} else assembler.mov(memory(ecx, WORD), eax);
	assembler.xor(eax, eax);
	emitReturn(assembler);
};

/** A clock that the wall does not move. */
const emitPlainClock = (
	emission: Emission,
	clock: number,
	{ name, failed }: { readonly name: ClockGettimeName; readonly failed: Label },
): (() => void) => {
	const { assembler } = emission;
	const [again, done] = labelsOf(assembler, "again", "done");
	assembler.bind(again);
	const anchor = emitAnchor(assembler, ebx);
	const hostOutOfLine = emitReadHost(emission, anchor, { clock, hasOffset: false, failed, again });
	const carryOutOfLine = emitCarry(emission, done);
	emitStore(emission, name);
	return () => {
		hostOutOfLine();
		carryOutOfLine();
	};
};

export const emitClockGettime = (emission: Emission, name: ClockGettimeName): void => {
	const { assembler, links } = emission;
	const [trap, failed] = labelsOf(assembler, "trap", "failed");
	const outOfLine: (() => void)[] = [];
	const counting: (() => void)[] = [];
	const served: (readonly [Label, () => void])[] = [];

	assembler.endbr();
	assembler.mov(eax, argumentAtEntry(0));
	for (const id of ids.SERVED_CLOCKS) {
		const clock = hostClockFor(emission, id);
		if (!ids.isWallClock(id) && clock === id && !isInline(emission, clock)) continue;
		const here = assembler.label("this id");
		if (id === ids.CLOCK_REALTIME) assembler.test(eax, eax);
		else assembler.cmp(eax, id);
		assembler.jcc("z", here);
		served.push([
			here,
			() => {
				counting.push(emitCalled(emission, { call: CALL_I386[name] + id }));
				emitEnter(assembler);
				if (ids.isWallClock(id)) {
					outOfLine.push(emitReadWall(emission, { clock: id, trap, failed, finish: () => emitStore(emission, name) }));
					emitStore(emission, name);
				} else outOfLine.push(emitPlainClock(emission, clock, { name, failed }));
			},
		]);
	}
	counting.push(emitForward(emission, links.own(name), { counter: { base: CALL_I386[name] } }));
	for (const [here, emit] of served) {
		emitOutsideFrame(assembler);
		assembler.bind(here);
		emit();
	}
	for (const emit of outOfLine) emit();
	assembler.bind(trap);
	emitTrap(emission, ids.SYSCALLS_I386[name]);
	assembler.bind(failed);
	emitReturn(assembler);
	for (const emit of counting) emit();
};
