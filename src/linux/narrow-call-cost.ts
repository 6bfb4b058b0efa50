/**
 * What a call of a 32-bit program costs on this machine: measured in such a program, of some hundred bytes, with the host's vDSO and the
 * kernel. As in call-cost.ts, the fastest of some rounds counts; the clock is the host's own.
 */
import { Assembler } from "../asm/assembler.ts";
import { type BasedMemory, type Label, memory } from "../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi, esp } from "../asm/registers.ts";
import { ByteReader } from "../bytes.ts";
import { AT_SYSINFO_EHDR } from "../auxv/types.ts";
import { emitCallInstruction } from "../vdso/system-call.ts";
import { CALLS, type CostArgument, ROUNDS } from "./call-cost.ts";
import { outerPage } from "./outer-page.ts";
import { emitExit, emitFindAuxv, emitWrite, runProgram32 } from "./program32.ts";

export interface NarrowCall {
	/** A function of the host's 32-bit vDSO by its offset there, or a system call by its number. */
	readonly target: { readonly offset: number } | { readonly number: number };
	readonly arguments: readonly [CostArgument, CostArgument];
}

/** Offsets in the host's 32-bit vDSO. */
export interface NarrowHost {
	/** clock_gettime64. */
	readonly clock: number;
	/** How programs make system calls; undefined for int 0x80. */
	readonly kernelVsyscall: number | undefined;
}

const CLOCK_MONOTONIC = 1;
const NANOSECONDS_PER_SECOND = 1_000_000_000;
const WORD = 4;
/** From esp: two times, what a call writes, the best round, and how many are left. */
const FRAME = { before: 0, after: 16, memory: [32, 48], best: 64, rounds: 68, size: 80 } as const;
/** In a time of 64 bits. */
const NANOSECONDS = 8;
const STACK_ALIGNMENT = 16;

/** ebp := where the host's vDSO is. Jumps to `none` when the auxiliary vector does not say. */
const emitFindVdso = (assembler: Assembler, none: Label): void => {
	const [next, found] = [assembler.label("next"), assembler.label("found")];
	emitFindAuxv(assembler);
	assembler.bind(next);
	assembler.mov(eax, memory(esi));
	assembler.mov(ebp, memory(esi, WORD));
	assembler.add(esi, 2 * WORD);
	assembler.cmp(eax, Number(AT_SYSINFO_EHDR));
	assembler.jcc("z", found);
	assembler.test(eax, eax);
	assembler.jcc("nz", next);
	assembler.jmp(none);
	assembler.bind(found);
};

/** A call of a function with two arguments. eax, ecx and edx are lost. */
const emitFunctionCall = (assembler: Assembler, offset: number, args: readonly (number | BasedMemory)[]): void => {
	args.toReversed().forEach((argument, index) => {
		if (typeof argument === "number") return assembler.push(argument);
		assembler.lea(eax, { ...argument, displacement: argument.displacement + index * WORD });
		assembler.push(eax);
	});
	assembler.lea(eax, memory(ebp, offset));
	assembler.call(eax);
	assembler.add(esp, args.length * WORD);
};

const emitCall = (assembler: Assembler, { target, arguments: args }: NarrowCall, host: NarrowHost): void => {
	const places = args.map((argument, index) =>
		argument === "memory" ? memory(esp, FRAME.memory[index] ?? 0) : argument,
	);
	if ("offset" in target) return emitFunctionCall(assembler, target.offset, places);
	[ebx, ecx].forEach((register, index) => {
		const place = places[index] ?? 0;
		if (typeof place === "number") assembler.mov(register, place);
		else assembler.lea(register, place);
	});
	assembler.xor(edx, edx);
	if (host.kernelVsyscall === undefined) {
		assembler.mov(eax, target.number);
		return emitCallInstruction(assembler);
	}
	assembler.lea(edi, memory(ebp, host.kernelVsyscall));
	assembler.mov(eax, target.number);
	assembler.call(edi);
};

const field = (place: number): BasedMemory => memory(esp, place);

/** Writes the nanoseconds of the best round, 4 bytes; nothing when it has no vDSO. */
const assembleProgram = (call: NarrowCall, host: NarrowHost): Uint8Array => {
	const assembler = new Assembler(32);
	const [round, again, slower] = [assembler.label("round"), assembler.label("again"), assembler.label("slower")];
	const exit = assembler.label("exit");
	const readClock = (place: number): void =>
		emitFunctionCall(assembler, host.clock, [CLOCK_MONOTONIC, memory(esp, place)]);
	emitFindVdso(assembler, exit);
	assembler.sub(esp, FRAME.size);
	assembler.and(esp, -STACK_ALIGNMENT);
	assembler.mov(field(FRAME.best), -1, 32);
	assembler.mov(field(FRAME.rounds), ROUNDS, 32);
	assembler.bind(round);
	readClock(FRAME.before);
	assembler.mov(esi, CALLS);
	assembler.bind(again);
	emitCall(assembler, call, host);
	assembler.sub(esi, 1);
	assembler.jcc("nz", again);
	readClock(FRAME.after);
	// Less than four seconds: the lower halves tell.
	assembler.mov(eax, field(FRAME.after));
	assembler.sub(eax, field(FRAME.before));
	assembler.imul(eax, eax, NANOSECONDS_PER_SECOND);
	assembler.add(eax, field(FRAME.after + NANOSECONDS));
	assembler.sub(eax, field(FRAME.before + NANOSECONDS));
	assembler.cmp(eax, field(FRAME.best));
	assembler.jcc("ae", slower);
	assembler.mov(field(FRAME.best), eax);
	assembler.bind(slower);
	assembler.sub(field(FRAME.rounds), 1, 32);
	assembler.jcc("nz", round);
	assembler.lea(ecx, field(FRAME.best));
	assembler.mov(edx, WORD);
	emitWrite(assembler);
	assembler.bind(exit);
	assembler.xor(ebx, ebx);
	emitExit(assembler);
	return assembler.assemble().bytes;
};

/**
 * Nanoseconds of one call.
 *
 * @returns undefined where no 32-bit program can be executed, or has no vDSO; also inside of a run, where it has that run's
 * @throws {SyscallError} when there is no descriptor or no memory left.
 */
export const measureNarrowCall = (call: NarrowCall, host: NarrowHost): number | undefined => {
	if (outerPage() !== undefined) return undefined;
	const { status, stdout } = runProgram32(assembleProgram(call, host));
	return status === 0 && stdout.length === WORD ? new ByteReader(stdout).u32(0) / CALLS : undefined;
};
