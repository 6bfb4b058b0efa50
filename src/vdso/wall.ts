/**
 * Instruction sequences that several functions share: reading the wall word and its slots, and adding an offset to a time.
 *
 * Register use: rax and rcx carry a wall offset (seconds, nanoseconds); rdx, r8 to r11 are scratch; rdi and rsi stay the
 * caller's arguments. Only caller-saved registers are touched.
 */
import type { Assembler } from "../asm/assembler.ts";
import { type Label, memory, type RipRelativeMemory, ripRelative } from "../asm/operands.ts";
import { eax, ecx, edx, type Register, r8d, r9, r10, rax, rcx, rdx } from "../asm/registers.ts";
import * as layout from "../vvar/layout.ts";
import type { HostVdso } from "./host.ts";
import type { LinkPage } from "./link-page.ts";

/** What every function of the image is generated from. */
export interface Emission {
	readonly assembler: Assembler;
	/** The first byte of the vvar page. */
	readonly page: Label;
	readonly links: LinkPage;
	readonly host: HostVdso;
}

export const NANOSECONDS_PER_SECOND = 1_000_000_000;

const wallWord = (page: Label): RipRelativeMemory => ripRelative(page, layout.PAGE.wall);

/** rax := the wall word. */
export const emitLoadWall = ({ assembler, page }: Emission): void => assembler.mov(rax, wallWord(page));

/** rax, rcx := seconds and nanoseconds of the wall word in rax; jumps to `inSlot` with rax intact when the word names a slot. */
export const emitUnpackWall = ({ assembler }: Emission, inSlot: Label): void => {
	assembler.mov(ecx, eax);
	assembler.and(ecx, layout.WALL_NANOSECONDS_MASK);
	assembler.cmp(ecx, NANOSECONDS_PER_SECOND);
	assembler.jcc("ae", inSlot);
	assembler.sar(rax, layout.WALL_SECONDS_SHIFT);
};

/** Where a slot leads to, and where to begin again when the word changed while the slot was read. */
export interface SlotExits {
	readonly again: Label;
	/** rax := seconds, rcx := nanoseconds to add to the host's time. */
	readonly offset: Label;
	/** Receives the distance of TAI in seconds, where that is wanted. */
	readonly tai?: Register;
}

/** Reads the slot that rax names; falls through when the wall is frozen, with the instant in r9 (seconds) and r10 (nanoseconds). */
export const emitReadSlot = ({ assembler, page }: Emission, { again, offset, tai }: SlotExits): void => {
	// Bit 0 of the generation, moved to where it is the slot's distance from the first one.
	assembler.mov(edx, eax);
	assembler.shr(edx, layout.WALL_SECONDS_SHIFT - Math.log2(layout.SLOT.size));
	assembler.and(edx, layout.SLOT.size);
	assembler.lea(rcx, ripRelative(page, layout.PAGE.slots));
	assembler.add(rcx, rdx);
	assembler.mov(r8d, memory(rcx, layout.SLOT.kind));
	assembler.mov(r9, memory(rcx, layout.SLOT.seconds));
	assembler.mov(r10, memory(rcx, layout.SLOT.nanoseconds));
	if (tai !== undefined) assembler.mov(tai, memory(rcx, layout.SLOT.taiSeconds));
	assembler.cmp(rax, wallWord(page));
	assembler.jcc("nz", again);
	const frozen = assembler.label("frozen");
	assembler.test(r8d, r8d);
	assembler.jcc("nz", frozen);
	assembler.mov(rax, r9);
	assembler.mov(rcx, r10);
	assembler.jmp(offset);
	assembler.bind(frozen);
};

/** rdx:rcx (seconds, nanoseconds below 2e9) -> nanoseconds below 1e9. */
export const emitCarry = ({ assembler }: Emission): void => {
	const normal = assembler.label("normal");
	assembler.cmp(rcx, NANOSECONDS_PER_SECOND);
	assembler.jcc("b", normal);
	assembler.sub(rcx, NANOSECONDS_PER_SECOND);
	assembler.add(rdx, 1);
	assembler.bind(normal);
};

/**
 * r9:r10 := seconds and nanoseconds of a coarse clock of the host, read from its own page.
 *
 * There is no loop: while the kernel writes, in a time namespace (where the sequence is 1 for ever) and when the two loads of
 * the sequence differ, it jumps to `call`, where the host's function knows what to do. Leaves rax, rcx, rdi and rsi alone.
 */
export const emitReadHostCoarse = (
	{ assembler, links }: Emission,
	{ sequence, clock, call }: { sequence: number; clock: number; call: Label },
): void => {
	assembler.mov(rdx, ripRelative(links.hostImage.label));
	assembler.mov(r8d, memory(rdx, sequence));
	assembler.test(r8d, 1);
	assembler.jcc("nz", call);
	assembler.mov(r9, memory(rdx, clock));
	assembler.mov(r10, memory(rdx, clock + 8));
	assembler.cmp(r8d, memory(rdx, sequence));
	assembler.jcc("nz", call);
};
