/**
 * Stage 2 of the install: code inside the image that puts the rest of it in place. bootstrap.ts has the table of registers.
 *
 * It maps the link page, fills it and makes it read-only, maps the vvar page (shared, from a read-only descriptor), points the
 * auxiliary vector to the image, on the stack and in the kernel's own copy, closes the file, and enters the program with the
 * registers that execve leaves: all zero but the stack pointer. It runs once, before the first instruction of the program.
 */
import type { Label } from "../asm/operands.ts";
import { Label as CodeLabel, memory, ripRelative } from "../asm/operands.ts";
import {
	eax,
	edi,
	edx,
	esi,
	r8,
	r8d,
	r9d,
	r10d,
	r12,
	r13,
	r14,
	r15,
	rax,
	rbp,
	rbx,
	rdi,
	rdx,
	REGISTERS_32,
	rsp,
} from "../asm/registers.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import { emitStop, type StopPlaces } from "./bootstrap.ts";
import * as kernel from "./kernel-calls.ts";
import type { Emission } from "./wall.ts";

const RSP = 4;
/** Bit 1 of RFLAGS is always set (SDM vol. 1, 3.4.3); everything else starts clear. */
const INITIAL_FLAGS = 2;

export interface InstallerLabels {
	/** The first byte of the link page. */
	readonly linkPage: Label;
	/** Stubs that make the system calls which the host's vDSO lacks, by number. */
	readonly syscallStubs: ReadonlyMap<number, Label>;
	/** Where the installer stops, when it failed or was asked to. */
	readonly stops: StopPlaces;
	/** Offset of the vvar page in the file. */
	readonly pageFileOffset: Label;
}

export const emitInstaller = (emission: Emission, labels: InstallerLabels): void => {
	const { assembler, page, links } = emission;
	const failed = new CodeLabel("install failed");
	const check = (): void => {
		assembler.test(rax, rax);
		assembler.jcc("s", failed);
	};
	assembler.noCaller();
	assembler.mov(r13, rax);

	assembler.lea(rdi, ripRelative(labels.linkPage));
	assembler.mov(esi, PAGE_SIZE);
	assembler.mov(edx, kernel.PROT_READ | kernel.PROT_WRITE);
	assembler.mov(r10d, kernel.MAP_PRIVATE | kernel.MAP_FIXED | kernel.MAP_ANONYMOUS);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.syscall();
	check();
	for (const { label, target } of links.words) {
		if (target.kind === "host") assembler.lea(rdx, memory(rbp, target.offset));
		else {
			const stub = labels.syscallStubs.get(target.number);
			if (stub !== undefined) assembler.lea(rdx, ripRelative(stub));
		}
		assembler.mov(ripRelative(label), rdx);
	}
	assembler.lea(rdi, ripRelative(labels.linkPage));
	assembler.mov(edx, kernel.PROT_READ);
	assembler.mov(eax, kernel.SYS_mprotect);
	assembler.syscall();
	check();

	// r9, the file offset, is the distance from the image to the page that stands behind it in the file.
	assembler.lea(rdi, ripRelative(page));
	assembler.mov(edx, kernel.PROT_READ);
	assembler.mov(r10d, kernel.MAP_SHARED | kernel.MAP_FIXED);
	assembler.lea(rax, ripRelative(labels.pageFileOffset));
	assembler.sub(rax, r13);
	assembler.mov(r9d, eax);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.syscall();
	check();
	assembler.mov(memory(r15), r13);

	const noMap = assembler.label("no map");
	assembler.mov(rdx, rbx);
	assembler.test(rbx, rbx);
	assembler.jcc("z", noMap);
	assembler.mov(edi, kernel.PR_SET_MM);
	assembler.mov(esi, kernel.PR_SET_MM_MAP);
	assembler.mov(r10d, kernel.PRCTL_MM_MAP_SIZE);
	assembler.push(r8);
	assembler.xor(r8d, r8d);
	assembler.mov(eax, kernel.SYS_prctl);
	assembler.syscall();
	assembler.pop(r8);
	assembler.bind(noMap);
	assembler.mov(edi, r8d);
	assembler.mov(eax, kernel.SYS_close);
	assembler.syscall();

	const enter = assembler.label("enter");
	assembler.test(r12, r12);
	assembler.jcc("z", enter);
	assembler.mov(rax, r12);
	assembler.bind(failed);
	emitStop(assembler, labels.stops);

	assembler.bind(enter);
	assembler.mov(memory(rsp, -16), r14);
	for (const register of REGISTERS_32) if (register.number !== RSP) assembler.xor(register, register);
	assembler.push(INITIAL_FLAGS);
	assembler.popf();
	assembler.jmp(memory(rsp, -16));
};
