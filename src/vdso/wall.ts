/**
 * Reading a wall clock: the host's clock, transformed as the vvar page says.
 *
 * The straight line is an offset that the wall word itself holds. Everything else stands out of line: what is in a slot, the call of
 * the host where its page does not help, and the carry of a second.
 *
 *     const outOfLine = emitReadWall(emission, { clock: CLOCK_REALTIME, trap });
 *     ...                      // rdx, rax: the time; store it and return
 *     outOfLine();
 *
 *     r8, r9      the offset (seconds, nanoseconds); with a slot: the wall word, the address of the slot
 *     rdx, rax    a time (seconds, nanoseconds)
 *     rdi, rsi    the caller's arguments, kept
 *     rcx, r10, r11   scratch
 */
import type { Assembler } from "../asm/assembler.ts";
import { type Label, memory } from "../asm/operands.ts";
import { eax, ecx, edx, r8, r9, r9d, rax, rdx } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import { CLOCK_TAI, type HostVdso, type WallClockId } from "./host.ts";
import type { Reads } from "./reads.ts";
import { emitReadLine, fineOfLine } from "./drift-line.ts";
import { emitCallHost, emitReadInline, type HostCall, hostClockFor, isInline } from "./host-clock.ts";
import type { InternalFunctions } from "./internal.ts";
import type { LinkPage } from "./link-page.ts";
import type { Observed } from "./observer/places.ts";
import { emitFindSlot, emitLoadWall, emitLowField, NANOSECONDS_PER_SECOND, wallWord } from "./wall-word.ts";

/** What every function of the image is generated from. */
export interface Emission {
	readonly assembler: Assembler;
	/** The first byte of the vvar page. */
	readonly page: Label;
	readonly links: LinkPage;
	readonly host: HostVdso;
	readonly internal: InternalFunctions;
	readonly reads: Reads;
	/** In a run that counts or traces calls. */
	readonly observed: Observed | undefined;
}

/** r8, r9 := seconds and nanoseconds of the wall word in rax; jumps to `inSlot` with rax intact when the word names a slot. */
const emitUnpackWall = ({ assembler }: Emission, inSlot: Label): void => {
	emitLowField(assembler, inSlot);
	assembler.mov(r8, rax);
	assembler.sar(r8, layout.WALL_SECONDS_SHIFT);
};

/**
 * Brings the nanoseconds in rax into the range from 0 to 10^9. Falls through when they are, as they are mostly.
 *
 * @returns what emits the rest, out of line
 */
export const emitCarry = (
	{ assembler }: Emission,
	done: Label,
): { readonly carry: Label; readonly outOfLine: () => void } => {
	const carry = assembler.label("carry");
	assembler.cmp(rax, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", carry);
	assembler.bind(done);
	const outOfLine = (): void => {
		// Some rounds at most for a drifting wall; more only on a host that has not updated its page for seconds, idle without ticks.
		const borrow = assembler.label("borrow");
		assembler.bind(carry);
		assembler.test(rax, rax);
		assembler.jcc("s", borrow);
		assembler.sub(rax, NANOSECONDS_PER_SECOND);
		assembler.add(rdx, 1);
		assembler.cmp(rax, NANOSECONDS_PER_SECOND);
		assembler.jcc("ae", carry);
		assembler.jmp(done);
		assembler.bind(borrow);
		assembler.sub(rdx, 1);
		assembler.add(rax, NANOSECONDS_PER_SECOND);
		assembler.jcc("ae", borrow);
		assembler.jmp(done);
	};
	return { carry, outOfLine };
};

/** rdx, rax := a clock of the host's, inline or by chain. @returns what emits the chain, out of line */
export const emitReadHost = (emission: Emission, call: HostCall): (() => void) => {
	const { assembler } = emission;
	if (!isInline(emission, call.clock)) {
		emitCallHost(emission, call);
		return () => {};
	}
	const [away, read] = [assembler.label("away"), assembler.label("read")];
	emitReadInline(emission, call.clock, away);
	assembler.bind(read);
	return () => {
		assembler.bind(away);
		emitCallHost(emission, call);
		assembler.jmp(read);
	};
};

export interface WallRead extends HostCall {
	readonly clock: WallClockId;
	/** Where the calling function makes its system call, when the supervisor is to answer. rdi and rsi are the caller's there. */
	readonly trap: Label;
	/** Emits what the calling function does with the time, to its return: a frozen wall is read without a jump back then. */
	readonly finish?: () => void;
	/** Where a straight line in front goes when the wall is in a slot, with the wall word in rax, its lower field in r9d. */
	readonly inSlot?: Label;
}

/** The labels of one read of a wall clock. */
interface Ways {
	readonly again: Label;
	readonly withOffset: Label;
	readonly carry: Label;
	readonly done: Label;
}

/** The wall is in the slot that the wall word in rax names. Leads to one of `ways`, or to the trap. */
const emitReadSlot = (emission: Emission, { clock, trap, failed, finish }: WallRead, ways: Ways): void => {
	const { assembler, page, internal } = emission;
	const isTai = clock === CLOCK_TAI;
	const [running, moving, onLine, drifts, trapped] = ["running", "moving", "on line", "drifts", "trapped"].map((name) =>
		assembler.label(name),
	) as [Label, Label, Label, Label, Label];
	const leave = finish ?? ((): void => assembler.jmp(ways.done));
	const fine = fineOfLine(emission, clock);
	if (fine !== undefined) {
		assembler.cmp(r9d, layout.WALL_ON_LINE);
		assembler.jcc("z", onLine);
	}
	assembler.mov(r8, rax);
	emitFindSlot(emission);
	assembler.mov(ecx, memory(r9, layout.SLOT.kind));
	assembler.cmp(ecx, layout.SLOT_KIND_FROZEN);
	assembler.jcc("nz", running);
	assembler.mov(rdx, memory(r9, layout.SLOT.seconds));
	assembler.mov(rax, memory(r9, layout.SLOT.nanoseconds));
	if (isTai) assembler.add(rdx, memory(r9, layout.SLOT.taiSeconds));
	assembler.cmp(r8, wallWord(page));
	assembler.jcc("nz", ways.again);
	leave();

	assembler.bind(running);
	assembler.jcc("a", moving);
	assembler.mov(rdx, memory(r9, layout.SLOT.seconds));
	assembler.mov(r9, memory(r9, layout.SLOT.nanoseconds));
	assembler.cmp(r8, wallWord(page));
	assembler.jcc("nz", ways.again);
	assembler.mov(r8, rdx);
	assembler.jmp(ways.withOffset);

	assembler.bind(moving);
	assembler.cmp(ecx, layout.SLOT_KIND_DRIFT);
	assembler.jcc("nz", trapped);
	assembler.bind(drifts);
	assembler.call(internal.drifting[clock]);
	assembler.test(ecx, ecx);
	assembler.jcc("s", ways.again);
	assembler.jcc("nz", failed);
	assembler.cmp(rax, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", ways.carry);
	assembler.jmp(ways.done);

	assembler.bind(trapped);
	assembler.cmp(r8, wallWord(page));
	assembler.jcc("nz", ways.again);
	assembler.jmp(trap);

	if (fine === undefined) return;
	assembler.bind(onLine);
	const outOfLine = emitReadLine(emission, { fine, clock, again: ways.again });
	assembler.cmp(rax, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", ways.carry);
	leave();
	outOfLine();
	assembler.jmp(drifts);
};

/**
 * rdx, rax := the time of a wall clock, below 10^9 nanoseconds. It reads a slot anew when the wall word has changed meanwhile.
 *
 * @returns what emits everything that is out of line; it has to be called once, behind an instruction that does not fall through
 */
export const emitReadWall = (emission: Emission, call: WallRead): (() => void) => {
	const { assembler } = emission;
	const [again, withOffset, done] = ["again", "with offset", "done"].map((name) => assembler.label(name)) as [
		Label,
		Label,
		Label,
	];
	const { inSlot = assembler.label("in slot") } = call;
	assembler.bind(again);
	emitLoadWall(emission);
	emitUnpackWall(emission, inSlot);
	assembler.bind(withOffset);
	const hostOutOfLine = emitReadHost(emission, { ...call, clock: hostClockFor(emission, call.clock) });
	assembler.add(rdx, r8);
	assembler.add(rax, r9);
	const { carry, outOfLine: carryOutOfLine } = emitCarry(emission, done);
	return () => {
		carryOutOfLine();
		assembler.bind(inSlot);
		emitReadSlot(emission, call, { again, withOffset, carry, done });
		hostOutOfLine();
	};
};

/** The system call of the calling function itself, on the supervisor's behalf: without the key that would let it pass. */
export const emitTrap = ({ assembler }: Emission, number: number): void => {
	assembler.xor(edx, edx);
	assembler.mov(eax, number);
	assembler.syscall();
};
