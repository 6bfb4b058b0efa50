/**
 * What this host allows a program to do, found by trying it in a child: to be traced, to have a seccomp filter, and to read the clock
 * without a system call.
 */
import { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { ownPid } from "./own-pid.ts";
import { eax, edi, edx, esi, r10d, r8d, rax, rbx, rdx, rsi } from "../asm/registers.ts";
import { setU16, setU64 } from "../bytes.ts";
import { readElf } from "../elf/reader.ts";
import { lookUp } from "../elf/symbol-lookup.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import { CLOCK_REALTIME } from "../vdso/host.ts";
import * as linux from "./constants.ts";
import { addressOf, viewMemory } from "./ffi.ts";
import { hostVdsoRange } from "./maps.ts";
import { emitProbeCall, emitProbeExit, emitProbeStart, runProbe } from "./probe-child.ts";
import { buildRefusal, FILTER_INSTRUCTION_SIZE } from "./seccomp.ts";

const SYS_prctl = 157;
const PR_SET_NO_NEW_PRIVS = 38;
const ENOSYS = 38;

/** Ends the child with the error number in eax, 0 for none. */
const emitExitWithErrno = (assembler: Assembler): void => {
	assembler.xor(edi, edi);
	assembler.sub(edi, eax);
	emitProbeExit(assembler);
};

/**
 * The errno with which ptrace(2) refuses that a child is traced by us; 0 when it does not.
 *
 * @throws {SyscallError} when no process can be made.
 */
export const probeTracing = (): number => {
	const assembler = new Assembler(64);
	emitProbeStart(assembler);
	assembler.mov(edi, linux.PTRACE_TRACEME);
	assembler.xor(esi, esi);
	assembler.xor(edx, edx);
	assembler.xor(r10d, r10d);
	assembler.mov(r8d, SYSCALL_KEY);
	emitProbeCall(assembler, linux.SYS_ptrace);
	emitExitWithErrno(assembler);
	const end = runProbe(assembler.assemble().bytes, 0, () => {});
	return end.kind === "exited" ? end.exitCode : ENOSYS;
};

/** struct sock_fprog, the function that reads the clock (0 for none), and where it stores the time. */
const BLOCK = { filterLength: 0, filter: 8, clockGettime: 16, time: 24, size: 40 } as const;
/** Exit codes. */
const READS = 0;
const TRAPS = 1;
const NO_FILTER = 2;
const FILTER_ONLY = 3;

export interface FilterProbe {
	/** A program may have a filter. */
	readonly isAllowed: boolean;
	/** The host's clock_gettime made a system call; undefined when that could not be tried. */
	readonly trapsForTime: boolean | undefined;
}

/** The kernel's image as it is mapped in our own memory; undefined where there is none. */
export const ownHostImage = (): { readonly address: bigint; readonly bytes: Uint8Array } | undefined => {
	const range = hostVdsoRange(ownPid());
	if (range === undefined) return undefined;
	return { address: range.start, bytes: viewMemory(range.start, Number(range.end - range.start)).slice() };
};

/** clock_gettime of the host's image, in our own memory; 0 where there is none. */
export const hostClockGettime = (): bigint => {
	const image = ownHostImage();
	if (image === undefined) return 0n;
	const symbol = lookUp(readElf(image.bytes), "__vdso_clock_gettime", "LINUX_2.6");
	return symbol === undefined ? 0n : image.address + symbol.value;
};

/**
 * Gives a child a filter by which the system call clock_gettime fails, and lets it read the clock by the host's vDSO: whether that
 * fails too is whether reading the clock is a system call.
 *
 * @param clockGettime address of a function that reads the clock; 0 for none
 * @throws {SyscallError} when no process can be made.
 */
export const probeFilter = (clockGettime: bigint = hostClockGettime()): FilterProbe => {
	const assembler = new Assembler(64);
	const [refused, without, traps] = [assembler.label("refused"), assembler.label("without"), assembler.label("traps")];
	const exit = (code: number): void => {
		assembler.mov(edi, code);
		emitProbeExit(assembler);
	};
	emitProbeStart(assembler);
	assembler.mov(edi, PR_SET_NO_NEW_PRIVS);
	assembler.mov(esi, 1);
	assembler.xor(edx, edx);
	assembler.xor(r10d, r10d);
	assembler.xor(r8d, r8d);
	emitProbeCall(assembler, SYS_prctl);
	assembler.mov(edi, linux.SECCOMP_SET_MODE_FILTER);
	assembler.xor(esi, esi);
	assembler.mov(rdx, rbx);
	emitProbeCall(assembler, linux.SYS_seccomp);
	assembler.test(eax, eax);
	assembler.jcc("nz", refused);
	assembler.mov(rax, memory(rbx, BLOCK.clockGettime));
	assembler.test(rax, rax);
	assembler.jcc("z", without);
	assembler.mov(edi, CLOCK_REALTIME);
	assembler.lea(rsi, memory(rbx, BLOCK.time));
	assembler.call(rax);
	assembler.test(eax, eax);
	assembler.jcc("nz", traps);
	exit(READS);
	assembler.bind(traps);
	exit(TRAPS);
	assembler.bind(refused);
	exit(NO_FILTER);
	assembler.bind(without);
	exit(FILTER_ONLY);
	const filter = buildRefusal(linux.SYS_clock_gettime, ENOSYS);
	const end = runProbe(assembler.assemble().bytes, BLOCK.size, (block) => {
		setU16(block, BLOCK.filterLength, filter.length / FILTER_INSTRUCTION_SIZE);
		setU64(block, BLOCK.filter, addressOf(filter));
		setU64(block, BLOCK.clockGettime, clockGettime);
	});
	const code = end.kind === "exited" ? end.exitCode : NO_FILTER;
	return {
		isAllowed: code !== NO_FILTER,
		trapsForTime: code === READS || code === TRAPS ? code === TRAPS : undefined,
	};
};
