/**
 * The seam between our functions and the host's clocks. There are two ways, one behind the other:
 *
 * - inline: the host's own page is read (host-page.ts), where its layout is known;
 * - chain: the host's clock_gettime is called with a timespec on our stack. It stays true to whatever inline does not know: other
 *   clock modes (kvm-clock, Hyper-V), time namespaces, layouts to come.
 *
 * A host whose clock source cannot be read in user space (clock mode 0: hpet, acpi_pm) would answer the chain by a system call. A
 * supervisor that traps the program's own system calls could not tell it from them and would transform the time that we transform.
 * There we make the system call ourselves, with a key in its third argument, which the kernel ignores and the supervisor knows.
 */
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { type Label, memory, ripRelative } from "../asm/operands.ts";
import { eax, ecx, edi, edx, r8, r9, r10, r10d, rax, rdi, rdx, rsi, rsp } from "../asm/registers.ts";
import {
	CLOCK_MODE_NONE,
	CLOCK_MODE_OFFSET,
	CLOCK_MONOTONIC,
	CLOCK_MONOTONIC_COARSE,
	CLOCK_REALTIME,
	CLOCK_REALTIME_COARSE,
	CLOCK_TAI,
	SYSCALLS,
	type WallClockId,
} from "./host.ts";
import { emitReadCoarse, emitReadFine, hostField } from "./host-page.ts";
import type { Emission } from "./wall.ts";

/** A timespec and what is kept. */
const FRAME = { rdi: 16, rsi: 24, r8: 32, r9: 40, size: 48 } as const;
const WORD = 8;

/** The clock of the host that stands for `clock`: with `reads` "coarse" that of the tick. */
export const hostClockFor = ({ reads }: Pick<Emission, "reads">, clock: number): number => {
	if (reads !== "coarse") return clock;
	if (clock === CLOCK_REALTIME) return CLOCK_REALTIME_COARSE;
	return clock === CLOCK_MONOTONIC ? CLOCK_MONOTONIC_COARSE : clock;
};

/** Clocks of the tick, whose nanoseconds are always below 10^9. */
export const isCoarse = (clock: number): boolean => clock === CLOCK_REALTIME_COARSE || clock === CLOCK_MONOTONIC_COARSE;

/** The clock of the host that a drifting wall goes with: that of TAI is a whole number of seconds ahead of CLOCK_REALTIME's. */
export const driftingHostClock = (emission: Pick<Emission, "reads">, clock: WallClockId): number =>
	hostClockFor(emission, clock === CLOCK_TAI ? CLOCK_REALTIME : clock);

/** Whether `emitReadInline` can read the clock. */
export const isInline = ({ host }: Pick<Emission, "host">, clock: number): boolean =>
	(isCoarse(clock) ? host.coarse : host.fine) !== undefined;

/**
 * rdx := seconds, rax := nanoseconds (not yet below 10^9) of a clock of the host, read inline; jumps `away` when it has to be asked
 * for. rcx, r10 and r11 are lost.
 */
export const emitReadInline = (emission: Emission, clock: number, away: Label): void => {
	const { fine, coarse } = emission.host;
	if (coarse !== undefined && isCoarse(clock)) {
		const { sequence, realtime, monotonic } = coarse;
		emitReadCoarse(emission, { sequence, clock: clock === CLOCK_REALTIME_COARSE ? realtime : monotonic, away });
	} else if (fine !== undefined && !isCoarse(clock)) emitReadFine(emission, { fine, clock, away });
};

export interface HostCall {
	readonly clock: number;
	/** Where to go with the host's result in rax when its function fails. */
	readonly failed: Label;
}

/**
 * rdx := seconds, rax := nanoseconds of a clock of the host, by chain.
 *
 * rdi, rsi, r8 and r9 are kept; every other caller-saved register is lost. When the host's function fails (its own system call was
 * refused, for example by a seccomp filter) the calling function returns that result, having stored nothing.
 */
export const emitCallHost = ({ assembler, internal }: Emission, { clock, failed }: HostCall): void => {
	assembler.mov(r10d, clock);
	assembler.call(internal.askHost);
	assembler.test(ecx, ecx);
	assembler.jcc("nz", failed);
};

/**
 * The internal function behind `emitCallHost`: r10d is the clock; ecx := 0 when rdx and rax are its time, 1 when rax is an error.
 *
 * It is called by functions whose callers have aligned the stack, so its own frame is a multiple of 16.
 */
export const emitAskHost = (emission: Emission): void => {
	const { assembler, links, host, reads } = emission;
	const [ownCall, answered, refused] = ["own call", "answered", "refused"].map((name) => assembler.label(name)) as [
		Label,
		Label,
		Label,
	];
	const sequence = (host.fine ?? host.coarse)?.sequence;
	assembler.sub(rsp, FRAME.size);
	assembler.cfaOffset(FRAME.size + WORD);
	assembler.mov(memory(rsp, FRAME.rdi), rdi);
	assembler.mov(memory(rsp, FRAME.rsi), rsi);
	assembler.mov(memory(rsp, FRAME.r8), r8);
	assembler.mov(memory(rsp, FRAME.r9), r9);
	assembler.mov(edi, r10d);
	assembler.mov(rsi, rsp);
	if (sequence !== undefined) {
		assembler.mov(r10, ripRelative(links.hostClocks.label));
		assembler.cmp(hostField(links, sequence + CLOCK_MODE_OFFSET), CLOCK_MODE_NONE, 32);
		assembler.jcc("z", ownCall);
	}
	assembler.call(ripRelative(links.own("clock_gettime")));
	assembler.bind(answered);
	// The host has read the counter in order; a later read of ours, which is not ordered, must not overtake it.
	if (reads === "relaxed") assembler.lfence();
	assembler.xor(ecx, ecx);
	assembler.test(eax, eax);
	assembler.jcc("nz", refused);
	assembler.mov(rdx, memory(rsp));
	assembler.mov(rax, memory(rsp, WORD));
	const leave = assembler.label("leave");
	assembler.bind(leave);
	assembler.mov(rdi, memory(rsp, FRAME.rdi));
	assembler.mov(rsi, memory(rsp, FRAME.rsi));
	assembler.mov(r8, memory(rsp, FRAME.r8));
	assembler.mov(r9, memory(rsp, FRAME.r9));
	assembler.add(rsp, FRAME.size);
	assembler.cfaOffset(WORD);
	assembler.ret();

	assembler.cfaOffset(FRAME.size + WORD);
	assembler.bind(refused);
	assembler.mov(ecx, 1);
	// An int, but time() returns 64 bits: the sign is spread.
	assembler.shl(rax, 32);
	assembler.sar(rax, 32);
	assembler.jmp(leave);
	if (sequence === undefined) return;
	assembler.bind(ownCall);
	assembler.mov(edx, SYSCALL_KEY);
	assembler.mov(eax, SYSCALLS.clock_gettime);
	assembler.syscall();
	assembler.jmp(answered);
};
