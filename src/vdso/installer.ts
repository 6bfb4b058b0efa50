/**
 * Stage 2 of the install: code inside the image that puts the rest of it in place. bootstrap.ts has the table of registers.
 *
 * It maps the link page, fills it and makes it read-only, maps the vvar page (shared, from a read-only descriptor: of the image's
 * file or of a file of its own), points the auxiliary vector to the image, on the stack and in the kernel's own copy, closes the file, and enters the program with the
 * registers that execve leaves: all zero but the stack pointer. It runs once, before the first instruction of the program.
 */
import type { Label } from "../asm/operands.ts";
import { Label as CodeLabel, memory, ripRelative } from "../asm/operands.ts";
import {
	eax,
	ebx,
	edi,
	edx,
	esi,
	r8,
	r8d,
	r9d,
	r10d,
	r12,
	r12d,
	r13,
	r14,
	r15,
	rax,
	rbp,
	rbx,
	rdi,
	rdx,
	REGISTERS_32,
	rsi,
	rsp,
} from "../asm/registers.ts";
import { ENTRY_PAGE_PLACES, ENTRY_PAGE_STEP, entryPagePlace } from "../vsyscall/entry-page.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import { emitStop, PAGE_BY_PATH, PARCEL, type StopPlaces } from "./bootstrap.ts";
import * as kernel from "./kernel-calls.ts";
import type { LinkTarget } from "./link-page.ts";
import { emitMapObservation } from "./observer/install.ts";
import type { Emission } from "./wall.ts";

const RSP = 4;
const WORD = 8;
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
	/** The first `syscall` instruction. */
	readonly syscall: Label;
	/** The entries to which the entry page leads, and where the file has that page; undefined without an entry page. */
	readonly entries: { readonly starts: readonly Label[]; readonly page: Label } | undefined;
	/** Where the copy of the vsyscall page goes, and where the file has it. */
	readonly copy: { readonly page: Label; readonly file: Label; readonly isExecutable: boolean } | undefined;
}

/** eax := distance of a place in the file from the start of the image. */
const emitFileOffset = ({ assembler }: Emission, place: Label): void => {
	assembler.lea(rax, ripRelative(place));
	assembler.sub(rax, r13);
	assembler.mov(r9d, eax);
};

/**
 * Maps the entry page at the first free place from the one that r12 names, and writes the addresses of the entries behind it. r12
 * keeps the flag in bit 0 and gets the place, or 0 when every place is taken: then call sites are not patched.
 */
const emitEntryPage = (emission: Emission, { starts, page }: NonNullable<InstallerLabels["entries"]>): void => {
	const { assembler } = emission;
	const [again, next, mapped, none, done] = ["again", "next", "mapped", "none", "done"].map((name) =>
		assembler.label(name),
	) as [Label, Label, Label, Label, Label];
	const lastPlace = Number(entryPagePlace(ENTRY_PAGE_PLACES - 1));
	assembler.push(rbx);
	assembler.mov(ebx, ENTRY_PAGE_PLACES);
	assembler.mov(edi, r12d);
	assembler.and(edi, ~1);
	emitFileOffset(emission, page);
	assembler.mov(esi, 2 * PAGE_SIZE);
	assembler.mov(edx, kernel.PROT_READ | kernel.PROT_EXEC);
	assembler.mov(r10d, kernel.MAP_PRIVATE | kernel.MAP_FIXED_NOREPLACE);
	assembler.bind(again);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.syscall();
	assembler.cmp(rax, rdi);
	assembler.jcc("z", mapped);
	assembler.sub(ebx, 1);
	assembler.jcc("z", none);
	assembler.cmp(edi, lastPlace);
	assembler.jcc("b", next);
	assembler.mov(edi, Number(entryPagePlace(0)) - ENTRY_PAGE_STEP);
	assembler.bind(next);
	assembler.add(edi, ENTRY_PAGE_STEP);
	assembler.jmp(again);

	assembler.bind(mapped);
	assembler.mov(ebx, eax);
	assembler.add(edi, PAGE_SIZE);
	assembler.mov(esi, PAGE_SIZE);
	assembler.mov(edx, kernel.PROT_READ | kernel.PROT_WRITE);
	assembler.mov(r10d, kernel.MAP_PRIVATE | kernel.MAP_FIXED | kernel.MAP_ANONYMOUS);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.syscall();
	assembler.test(rax, rax);
	assembler.jcc("s", none);
	starts.forEach((start, number) => {
		assembler.lea(rdx, ripRelative(start));
		assembler.mov(memory(rdi, number * 8), rdx);
	});
	assembler.mov(edx, kernel.PROT_READ);
	assembler.mov(eax, kernel.SYS_mprotect);
	assembler.syscall();
	assembler.and(r12, 1);
	assembler.or(r12, rbx);
	assembler.jmp(done);
	assembler.bind(none);
	assembler.and(r12, 1);
	assembler.bind(done);
	assembler.pop(rbx);
};

const emitPageCopy = (emission: Emission, { page, file, isExecutable }: NonNullable<InstallerLabels["copy"]>): void => {
	const { assembler } = emission;
	assembler.lea(rdi, ripRelative(page));
	assembler.mov(esi, PAGE_SIZE);
	assembler.mov(edx, kernel.PROT_READ | (isExecutable ? kernel.PROT_EXEC : 0));
	assembler.mov(r10d, kernel.MAP_PRIVATE | kernel.MAP_FIXED);
	emitFileOffset(emission, file);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.syscall();
};

/**
 * Maps the vvar page. A file of its own is opened by the same route as the image's was before, so it cannot be another one; rax is the
 * result, or -errno.
 */
const emitVvarPage = (emission: Emission, { pageFileOffset }: InstallerLabels): void => {
	const { assembler, page } = emission;
	const [open, opened, map, done] = ["open", "opened", "map", "done"].map((name) => assembler.label(name)) as [
		Label,
		Label,
		Label,
		Label,
	];
	assembler.push(r8);
	emitFileOffset(emission, pageFileOffset);
	assembler.mov(eax, memory(rsp, WORD + PARCEL.pageDescriptor));
	assembler.cmp(eax, PAGE_BY_PATH);
	assembler.jcc("z", open);
	assembler.jcc("g", opened);
	assembler.bind(map);
	assembler.lea(rdi, ripRelative(page));
	assembler.mov(esi, PAGE_SIZE);
	assembler.mov(edx, kernel.PROT_READ);
	assembler.mov(r10d, kernel.MAP_SHARED | kernel.MAP_FIXED);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.syscall();
	assembler.cmp(r8, memory(rsp));
	assembler.jcc("z", done);
	assembler.push(rax);
	assembler.mov(edi, r8d);
	assembler.mov(eax, kernel.SYS_close);
	assembler.syscall();
	assembler.pop(rax);
	assembler.jmp(done);

	assembler.bind(open);
	assembler.mov(edi, kernel.AT_FDCWD);
	assembler.lea(rsi, memory(rsp, WORD + PARCEL.pagePath));
	assembler.mov(edx, kernel.O_RDONLY | kernel.O_CLOEXEC | kernel.O_NONBLOCK);
	assembler.mov(eax, kernel.SYS_openat);
	assembler.syscall();
	assembler.test(rax, rax);
	assembler.jcc("s", done);
	assembler.bind(opened);
	assembler.mov(r8d, eax);
	assembler.xor(r9d, r9d);
	assembler.jmp(map);
	assembler.bind(done);
	assembler.pop(r8);
};

/** rdx := what a word of the link page is to hold. */
const emitLinkTarget = ({ assembler }: Emission, target: LinkTarget, { syscallStubs }: InstallerLabels): void => {
	switch (target.kind) {
		case "host":
			return assembler.lea(rdx, memory(rbp, target.offset));
		case "syscall": {
			const stub = syscallStubs.get(target.number);
			if (stub !== undefined) assembler.lea(rdx, ripRelative(stub));
			return;
		}
		case "entry-page":
			assembler.mov(rdx, r12);
			return assembler.and(rdx, -2);
		case "address":
			return assembler.mov(rdx, Number(BigInt.asIntN(32, target.address)));
	}
};

export const emitInstaller = (emission: Emission, labels: InstallerLabels): void => {
	const { assembler, links } = emission;
	const failed = new CodeLabel("install failed");
	const check = (): void => {
		assembler.test(rax, rax);
		assembler.jcc("s", failed);
	};
	assembler.noCaller();
	assembler.mov(r13, rax);
	if (labels.entries !== undefined) emitEntryPage(emission, labels.entries);
	if (labels.copy !== undefined) {
		emitPageCopy(emission, labels.copy);
		check();
	}

	// The anonymous mappings ignore descriptor and offset.
	assembler.lea(rdi, ripRelative(labels.linkPage));
	assembler.mov(esi, PAGE_SIZE);
	assembler.mov(edx, kernel.PROT_READ | kernel.PROT_WRITE);
	assembler.mov(r10d, kernel.MAP_PRIVATE | kernel.MAP_FIXED | kernel.MAP_ANONYMOUS);
	assembler.mov(eax, kernel.SYS_mmap);
	assembler.bind(labels.syscall);
	assembler.syscall();
	check();
	for (const { label, target } of links.words) {
		emitLinkTarget(emission, target, labels);
		assembler.mov(ripRelative(label), rdx);
	}
	assembler.lea(rdi, ripRelative(labels.linkPage));
	assembler.mov(edx, kernel.PROT_READ);
	assembler.mov(eax, kernel.SYS_mprotect);
	assembler.syscall();
	check();

	emitVvarPage(emission, labels);
	check();
	if (emission.observed !== undefined) {
		emitMapObservation(emission.observed);
		check();
	}
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
	if (labels.entries !== undefined) assembler.and(r12, 1);
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
