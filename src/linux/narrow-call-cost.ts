/**
 * What a call of a 32-bit program costs on this machine: measured in such a program, of some hundred bytes, with the host's vDSO and the
 * kernel. As in call-cost.ts, the fastest of some rounds counts; the clock is the host's own.
 */
import { spawnSync } from "node:child_process";
import { closeSync } from "node:fs";
import { Assembler } from "../asm/assembler.ts";
import { type BasedMemory, indexed, type Label, memory } from "../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi, esp } from "../asm/registers.ts";
import { ByteReader } from "../bytes.ts";
import { AT_NULL, AT_SYSINFO_EHDR } from "../auxv/types.ts";
import { EM_386 } from "../elf/constants.ts";
import { executableOf } from "../elf/executable.ts";
import { emitCallInstruction } from "../vdso/system-call.ts";
import { CALLS, type CostArgument, ROUNDS } from "./call-cost.ts";
import { createProgramFile } from "./memfd.ts";

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

// syscall_32.tbl
const SYS_exit = 1;
const SYS_write = 4;
const STDOUT = 1;
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
	const [environment, next, found] = [
		assembler.label("environment"),
		assembler.label("next"),
		assembler.label("found"),
	];
	assembler.mov(ecx, memory(esp));
	assembler.lea(esi, indexed({ base: esp, index: ecx, scale: WORD, displacement: 2 * WORD }));
	assembler.bind(environment);
	assembler.mov(eax, memory(esi));
	assembler.add(esi, WORD);
	assembler.test(eax, eax);
	assembler.jcc("nz", environment);
	assembler.bind(next);
	assembler.mov(eax, memory(esi));
	assembler.mov(ebp, memory(esi, WORD));
	assembler.add(esi, 2 * WORD);
	assembler.cmp(eax, AT_SYSINFO_EHDR);
	assembler.jcc("z", found);
	assembler.cmp(eax, AT_NULL);
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
	assembler.mov(ebx, STDOUT);
	assembler.lea(ecx, field(FRAME.best));
	assembler.mov(edx, WORD);
	assembler.mov(eax, SYS_write);
	emitCallInstruction(assembler);
	assembler.bind(exit);
	assembler.xor(ebx, ebx);
	assembler.mov(eax, SYS_exit);
	emitCallInstruction(assembler);
	return assembler.assemble().bytes;
};

/** Nanoseconds of one call; undefined where no 32-bit program can be executed, or has no vDSO. */
export const measureNarrowCall = (call: NarrowCall, host: NarrowHost): number | undefined => {
	const fd = createProgramFile(executableOf({ bits: 32, machine: EM_386, code: assembleProgram(call, host) }));
	try {
		// The child is a copy of us until it executes the file.
		const { stdout } = spawnSync(`/proc/self/fd/${fd}`, [], { stdio: ["ignore", "pipe", "ignore"], env: {} });
		// Null when nothing could be started, whatever the type says.
		const bytes = stdout as Uint8Array | null;
		return bytes?.length === WORD ? new ByteReader(bytes).u32(0) / CALLS : undefined;
	} finally {
		closeSync(fd);
	}
};
