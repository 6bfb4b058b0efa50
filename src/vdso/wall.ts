/**
 * Reading a wall clock: the host's clock, transformed as the vvar page says.
 *
 * The straight line is an offset that the wall word itself holds. Everything else stands out of line: offsets in a slot, frozen
 * walls, the call of the host where its page does not help, and the carry of a second.
 *
 *     const outOfLine = emitReadWall(emission, { clock: CLOCK_REALTIME });
 *     ...                      // rdx, rax: the time; store it and return
 *     outOfLine();
 *
 *     r8, r9      the offset (seconds, nanoseconds); with a slot: the wall word, the address of the slot
 *     rdx, rax    a time (seconds, nanoseconds)
 *     rdi, rsi    the caller's arguments, kept
 *     rcx, r10, r11   scratch
 */
import type { Assembler } from "../asm/assembler.ts";
import { type Label, memory, type RipRelativeMemory, ripRelative } from "../asm/operands.ts";
import { eax, ecx, r8, r9, r9d, r11, rax, rdx } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import { CLOCK_TAI, type HostVdso, type Reads } from "./host.ts";
import { emitCallHost, emitReadInline, type HostCall, hostClockFor, isInline } from "./host-clock.ts";
import type { LinkPage } from "./link-page.ts";

/** What every function of the image is generated from. */
export interface Emission {
	readonly assembler: Assembler;
	/** The first byte of the vvar page. */
	readonly page: Label;
	readonly links: LinkPage;
	readonly host: HostVdso;
	readonly reads: Reads;
	/** The third argument of clock_gettime system calls that are ours and not the program's. */
	readonly syscallKey: number;
}

export const NANOSECONDS_PER_SECOND = 1_000_000_000;

const wallWord = (page: Label): RipRelativeMemory => ripRelative(page, layout.PAGE.wall);

/** rax := the wall word. */
export const emitLoadWall = ({ assembler, page }: Emission): void => assembler.mov(rax, wallWord(page));

/** r8, r9 := seconds and nanoseconds of the wall word in rax; jumps to `inSlot` with rax intact when the word names a slot. */
const emitUnpackWall = ({ assembler }: Emission, inSlot: Label): void => {
	assembler.mov(r9d, eax);
	assembler.and(r9d, layout.WALL_NANOSECONDS_MASK);
	assembler.cmp(r9d, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", inSlot);
	assembler.mov(r8, rax);
	assembler.sar(r8, layout.WALL_SECONDS_SHIFT);
};

/**
 * Brings the nanoseconds in rax below 10^9. Falls through when they are, as they are mostly.
 *
 * @returns what emits the rest, out of line
 */
export const emitCarry = ({ assembler }: Emission): (() => void) => {
	const [carry, done] = [assembler.label("carry"), assembler.label("carried")];
	assembler.cmp(rax, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", carry);
	assembler.bind(done);
	return () => {
		// More than once only on a host that has not brought its page up to date for seconds: an idle one without ticks.
		assembler.bind(carry);
		assembler.sub(rax, NANOSECONDS_PER_SECOND);
		assembler.add(rdx, 1);
		assembler.cmp(rax, NANOSECONDS_PER_SECOND);
		assembler.jcc("ae", carry);
		assembler.jmp(done);
	};
};

/** rdx, rax := a clock of the host's, inline or by chain. @returns what emits the chain, out of line */
const emitReadHost = (emission: Emission, call: HostCall): (() => void) => {
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

/** r8 := the wall word in rax, r9 := the address of the slot that it names. */
const emitFindSlot = ({ assembler, page }: Emission): void => {
	assembler.mov(r8, rax);
	// Bit 0 of the generation, moved to where it is the slot's distance from the first one.
	assembler.shr(eax, layout.WALL_SECONDS_SHIFT - Math.log2(layout.SLOT.size));
	assembler.and(eax, layout.SLOT.size);
	assembler.lea(r9, ripRelative(page, layout.PAGE.slots));
	assembler.add(r9, rax);
};

/**
 * rdx, rax := the time of a wall clock, below 10^9 nanoseconds. It reads a slot anew when the wall word has changed meanwhile.
 *
 * @returns what emits everything that is out of line; it has to be called once, behind an instruction that does not fall through
 */
export const emitReadWall = (emission: Emission, call: HostCall): (() => void) => {
	const { assembler, page } = emission;
	const [again, inSlot, withOffset, done] = ["again", "in slot", "with offset", "done"].map((name) =>
		assembler.label(name),
	) as [Label, Label, Label, Label];
	const hostCall = { ...call, clock: hostClockFor(emission, call.clock) };
	assembler.bind(again);
	emitLoadWall(emission);
	emitUnpackWall(emission, inSlot);
	assembler.bind(withOffset);
	const emitHostOutOfLine = emitReadHost(emission, hostCall);
	assembler.add(rdx, r8);
	assembler.add(rax, r9);
	const emitCarryOutOfLine = emitCarry(emission);
	assembler.bind(done);

	return () => {
		emitCarryOutOfLine();
		assembler.bind(inSlot);
		emitFindSlot(emission);
		assembler.mov(ecx, memory(r9, layout.SLOT.kind));
		assembler.mov(rdx, memory(r9, layout.SLOT.seconds));
		assembler.mov(rax, memory(r9, layout.SLOT.nanoseconds));
		if (call.clock === CLOCK_TAI) assembler.mov(r11, memory(r9, layout.SLOT.taiSeconds));
		assembler.cmp(r8, wallWord(page));
		assembler.jcc("nz", again);
		const frozen = assembler.label("frozen");
		assembler.test(ecx, ecx);
		assembler.jcc("nz", frozen);
		assembler.mov(r8, rdx);
		assembler.mov(r9, rax);
		assembler.jmp(withOffset);
		assembler.bind(frozen);
		if (call.clock === CLOCK_TAI) assembler.add(rdx, r11);
		assembler.jmp(done);
		emitHostOutOfLine();
	};
};
