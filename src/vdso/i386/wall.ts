/**
 * Reading a wall clock in 32-bit code: ../wall.ts in halves.
 *
 *     edi:esi, ebp    the offset (seconds, nanoseconds); with a slot: the wall word, the address of the slot in ebp
 *     edi:esi, eax    a time (seconds, nanoseconds)
 *     ebx             an anchor, then the host's page
 */
import { type Anchor, anchored, type Label } from "../../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi } from "../../asm/registers.ts";
import * as layout from "../../vvar/layout.ts";
import { CLOCK_TAI, type WallClockId } from "../host.ts";
import { hostClockFor } from "../host-clock.ts";
import { argument, type Emission, emitAnchor, emitReturn, labelsOf, pageField, slotField, WORD } from "./emission.ts";
import { emitReadHost } from "./host-clock.ts";
import { NANOSECONDS_PER_SECOND } from "../wall-word.ts";

/** ebx := an anchor, edi:esi := the wall word, ecx := the pushes before it, which are the same behind it. */
export const emitLoadWall = (emission: Emission, again: Label): Anchor => {
	const { assembler } = emission;
	const anchor = emitAnchor(assembler, ebx);
	const [low, high] = [0, WORD].map((half) => pageField(emission, anchor, layout.PAGE.wall + half));
	if (low === undefined || high === undefined) throw new RangeError("The wall word has two halves");
	assembler.mov(ecx, pageField(emission, anchor, layout.PAGE.pushes));
	assembler.mov(edi, high);
	assembler.mov(esi, low);
	assembler.cmp(edi, high);
	assembler.jcc("nz", again);
	assembler.cmp(ecx, pageField(emission, anchor, layout.PAGE.pushes));
	assembler.jcc("nz", again);
	return anchor;
};

/** Brings the nanoseconds in eax below 10^9. @returns what emits the rest, out of line */
export const emitCarry = ({ assembler }: Pick<Emission, "assembler">, done: Label): (() => void) => {
	const carry = assembler.label("carry");
	assembler.cmp(eax, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", carry);
	assembler.bind(done);
	return () => {
		assembler.bind(carry);
		assembler.add(esi, 1);
		assembler.adc(edi, 0);
		assembler.sub(eax, NANOSECONDS_PER_SECOND);
		assembler.cmp(eax, NANOSECONDS_PER_SECOND);
		assembler.jcc("ae", carry);
		assembler.jmp(done);
	};
};

export interface WallRead {
	readonly clock: WallClockId;
	/** Where to go with the host's result in eax when its function fails. */
	readonly failed: Label;
	/** Where the calling function makes its system call, when the supervisor is to answer. */
	readonly trap: Label;
	/** Emits what the calling function does with the time, to its return: a frozen wall is read without a jump back then. */
	readonly finish?: () => void;
}

/** The labels of one read of a wall clock. */
interface Ways {
	readonly again: Label;
	readonly withOffset: Label;
	readonly done: Label;
}

/** The wall is in the slot that the wall word in edi:esi names; ecx are the pushes. Leads to one of `ways`, or to the trap. */
const emitReadSlot = (
	emission: Emission,
	anchor: Anchor,
	{ clock, trap, failed, finish }: WallRead,
	ways: Ways,
): void => {
	const { assembler, page, internal } = emission;
	const [running, moving, trapped] = labelsOf(assembler, "running", "moving", "trapped");
	const pushes = pageField(emission, anchor, layout.PAGE.pushes);
	// Bit 0 of the generation, moved to where it is the slot's distance from the first one.
	assembler.shr(esi, layout.WALL_SECONDS_SHIFT - Math.log2(layout.SLOT.size));
	assembler.and(esi, layout.SLOT.size);
	assembler.lea(ebp, anchored(anchor, page, layout.PAGE.slots));
	assembler.add(ebp, esi);
	assembler.mov(edx, slotField("kind"));
	assembler.mov(esi, slotField("seconds"));
	assembler.mov(edi, slotField("seconds", "high"));
	assembler.cmp(edx, layout.SLOT_KIND_FROZEN);
	assembler.jcc("nz", running);
	assembler.mov(eax, slotField("nanoseconds"));
	if (clock === CLOCK_TAI) {
		assembler.add(esi, slotField("taiSeconds"));
		assembler.adc(edi, slotField("taiSeconds", "high"));
	}
	assembler.cmp(ecx, pushes);
	assembler.jcc("nz", ways.again);
	if (finish === undefined) assembler.jmp(ways.done);
	else finish();

	assembler.bind(running);
	assembler.jcc("a", moving);
	assembler.mov(ebp, slotField("nanoseconds"));
	assembler.cmp(ecx, pushes);
	assembler.jcc("nz", ways.again);
	assembler.jmp(ways.withOffset);

	assembler.bind(moving);
	assembler.cmp(edx, layout.SLOT_KIND_DRIFT);
	assembler.jcc("nz", trapped);
	assembler.call(internal.drifting[clock]);
	assembler.test(ecx, ecx);
	assembler.jcc("s", ways.again);
	assembler.jcc("nz", failed);
	assembler.jmp(ways.done);

	assembler.bind(trapped);
	assembler.cmp(ecx, pushes);
	assembler.jcc("nz", ways.again);
	assembler.jmp(trap);
};

/**
 * edi:esi, eax := the time of a wall clock, below 10^9 nanoseconds, inside of the frame. Every register is lost.
 *
 * @returns what emits everything that is out of line; it has to be called once, behind an instruction that does not fall through
 */
export const emitReadWall = (emission: Emission, call: WallRead): (() => void) => {
	const { assembler } = emission;
	const [again, inSlot, withOffset, done] = labelsOf(assembler, "again", "in slot", "with offset", "done");
	assembler.bind(again);
	const anchor = emitLoadWall(emission, again);
	assembler.mov(ebp, esi);
	assembler.and(ebp, layout.WALL_NANOSECONDS_MASK);
	assembler.cmp(ebp, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", inSlot);
	assembler.shrd(esi, edi, layout.WALL_SECONDS_SHIFT);
	assembler.sar(edi, layout.WALL_SECONDS_SHIFT);
	assembler.bind(withOffset);
	const { failed } = call;
	const hostCall = { clock: hostClockFor(emission, call.clock), hasOffset: true, failed, again };
	const hostOutOfLine = emitReadHost(emission, anchor, hostCall);
	const carryOutOfLine = emitCarry(emission, done);
	return () => {
		carryOutOfLine();
		assembler.bind(inSlot);
		emitReadSlot(emission, anchor, call, { again, withOffset, done });
		hostOutOfLine();
	};
};

const INTERRUPT = 0x80;

/** The system call of the calling function itself, on the supervisor's behalf: without the key that would let it pass. */
export const emitTrap = ({ assembler }: Emission, number: number): void => {
	assembler.mov(ebx, argument(0));
	assembler.mov(ecx, argument(1));
	assembler.xor(edx, edx);
	assembler.mov(eax, number);
	assembler.int(INTERRUPT);
	emitReturn(assembler);
};
