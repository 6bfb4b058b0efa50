/**
 * Reads the host's fine clocks 2,000 times with the instructions that an image will use, each time between two system calls: a
 * layout that is not what it seems shows a time before the first or after the second.
 */
import { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { eax, ebx, edi, edx, r8, r12, r12d, rax, rbx, rdi, rdx, rsi, rsp } from "../asm/registers.ts";
import { SYSCALL_KEY } from "../syscalls/key.ts";
import * as vdso from "../vdso/host.ts";
import { emitReadFine } from "../vdso/host-page.ts";
import { callCode } from "./ffi.ts";
import { mapCode } from "./memfd.ts";

const CLOCKS = [vdso.CLOCK_REALTIME, vdso.CLOCK_MONOTONIC, vdso.CLOCK_BOOTTIME, vdso.CLOCK_TAI] as const;
const READS = 2000;
/** Rounds of all clocks. A read that meets the kernel's write does not count; a clock that can never be read has to end, too. */
const ROUNDS = READS;

const FRAME = { before: 0, after: 16, size: 40 } as const;
const NANOSECONDS_PER_SECOND = 1_000_000_000;
const WORD = 8;

/** A function: eax := the number of reads, or -1 when one was not between its neighbours. */
const assembleCheck = (fine: vdso.HostFineClocks, imageAddress: bigint): Uint8Array => {
	const assembler = new Assembler(64);
	const [again, missed, done] = [assembler.label("again"), assembler.label("missed"), assembler.label("done")];
	const links = { hostClocks: { label: assembler.label("host image") }, hostClocksOffset: 0 };
	const ask = (clock: number, place: number): void => {
		assembler.mov(edi, clock);
		assembler.lea(rsi, memory(rsp, place));
		// Inside of a run, its filter lets this call pass.
		assembler.mov(edx, SYSCALL_KEY);
		assembler.mov(eax, vdso.SYSCALLS.clock_gettime);
		assembler.syscall();
	};
	/** Compares r8 with the nanoseconds of a timespec on the stack. */
	const compare = (place: number): void => {
		assembler.imul(rdi, memory(rsp, place), NANOSECONDS_PER_SECOND);
		assembler.add(rdi, memory(rsp, place + WORD));
		assembler.cmp(r8, rdi);
	};
	assembler.push(rbx);
	assembler.push(r12);
	assembler.sub(rsp, FRAME.size);
	assembler.xor(ebx, ebx);
	assembler.mov(r12d, ROUNDS);
	assembler.bind(again);
	for (const clock of CLOCKS) {
		const next = assembler.label("next clock");
		ask(clock, FRAME.before);
		emitReadFine({ assembler, links, reads: "exact" }, { fine, clock, away: next });
		assembler.imul(r8, rdx, NANOSECONDS_PER_SECOND);
		assembler.add(r8, rax);
		ask(clock, FRAME.after);
		compare(FRAME.before);
		assembler.jcc("l", missed);
		compare(FRAME.after);
		assembler.jcc("g", missed);
		assembler.add(ebx, 1);
		assembler.bind(next);
	}
	assembler.mov(eax, ebx);
	assembler.cmp(ebx, READS);
	assembler.jcc("ae", done);
	assembler.sub(r12d, 1);
	assembler.jcc("nz", again);
	assembler.bind(done);
	assembler.add(rsp, FRAME.size);
	assembler.pop(r12);
	assembler.pop(rbx);
	assembler.ret();
	assembler.bind(missed);
	assembler.mov(eax, -1);
	assembler.jmp(done);
	assembler.align(WORD);
	assembler.bind(links.hostClocks.label);
	for (let byte = 0n; byte < 8n; byte++) assembler.raw(Number((imageAddress >> (byte * 8n)) & 0xffn));
	return assembler.assemble().bytes;
};

/** Whether the fine clocks, read as `fine` says, are those of the system calls. */
export const verifyFineClocks = (fine: vdso.HostFineClocks, imageAddress: bigint): boolean =>
	callCode(mapCode(assembleCheck(fine, imageAddress))) >= READS;
