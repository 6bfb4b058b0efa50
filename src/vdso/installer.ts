/**
 * Stage 2 of the install: code inside the image that puts the rest of it in place, the same for both classes (bootstrap.ts has stage 1).
 *
 * It maps the link page, fills it and makes it read-only, maps the vvar page (shared, from a read-only descriptor: of the image's
 * file or of a file of its own), points the auxiliary vector to the image, on the stack and in the kernel's own copy, closes the file,
 * and enters the program with the registers that execve leaves: all zero but the stack pointer. It runs once, before the first
 * instruction of the program.
 *
 * What it has to know and to keep is in the frame at the stack pointer (install-frame.ts): a 32-bit system call takes every register.
 */
import { Label, memory } from "../asm/operands.ts";
import { eax, esp, REGISTERS_32 } from "../asm/registers.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import { emitJumpIfFailed, emitStop, type StopPlaces } from "./bootstrap.ts";
import { InstallCode } from "./install-code.ts";
import { emitEnterProgram, frameField, PAGE_BY_PATH } from "./install-frame.ts";
import { emitEntryPage, emitPageCopy, type EntryPageLabels, type PageCopyLabels } from "./install-page.ts";
import * as kernel from "./kernel-calls.ts";
import type { LinkTarget } from "./link-page.ts";
import { emitMapObservation } from "./observer/install.ts";
import { wordRegisters } from "./system-call.ts";
import type { Emission } from "./wall.ts";

/** Bit 1 of RFLAGS is always set (SDM vol. 1, 3.4.3); everything else starts clear. */
const INITIAL_FLAGS = 2;
const REGISTERS_OF_I386 = 8;

export interface InstallerLabels {
	/** The first byte of the image. */
	readonly image: Label;
	/** The first byte of the link page. */
	readonly linkPage: Label;
	/** Stubs that make the system calls which the host's vDSO lacks, by number. */
	readonly syscallStubs: ReadonlyMap<number, Label>;
	/** Where the installer stops, when it failed or was asked to. */
	readonly stops: StopPlaces;
	/** What AT_SYSINFO is to lead to; undefined in 64-bit images. */
	readonly kernelVsyscall: Label | undefined;
	/** Undefined without an entry page. */
	readonly entries: EntryPageLabels | undefined;
	readonly copy: PageCopyLabels | undefined;
}

/** Maps the link page, fills it and makes it read-only. */
const emitLinkPage = (code: InstallCode, emission: Emission, labels: InstallerLabels, failed: Label): void => {
	const { assembler, links } = emission;
	const { ax: image, cx: host, dx: value } = wordRegisters(assembler);
	const load = (target: LinkTarget): void => {
		switch (target.kind) {
			case "host":
				return assembler.lea(value, memory(host, target.offset));
			case "syscall": {
				const stub = labels.syscallStubs.get(target.number);
				if (stub !== undefined) assembler.lea(value, code.place(image, stub));
				return;
			}
			case "entry-page":
				return assembler.mov(value, frameField(assembler, "entryPage"));
			case "address":
				return assembler.mov(value, Number(BigInt.asIntN(32, target.address)));
		}
	};
	// An anonymous mapping ignores descriptor and offset.
	code.call(
		"mmap",
		{ addressOf: labels.linkPage },
		PAGE_SIZE,
		kernel.PROT_READ | kernel.PROT_WRITE,
		kernel.MAP_PRIVATE | kernel.MAP_FIXED | kernel.MAP_ANONYMOUS,
	);
	emitJumpIfFailed(assembler, failed);
	assembler.mov(image, frameField(assembler, "image"));
	assembler.mov(host, frameField(assembler, "hostImage"));
	for (const { label, target } of links.words) {
		load(target);
		assembler.mov(code.place(image, label), value);
	}
	code.call("mprotect", { addressOf: labels.linkPage }, PAGE_SIZE, kernel.PROT_READ);
	emitJumpIfFailed(assembler, failed);
};

/**
 * Maps the vvar page. A file of its own is opened by the same route as the image's was before, so it cannot be another one.
 */
const emitVvarPage = (code: InstallCode, { assembler, page }: Emission, failed: Label): void => {
	const [open, map, mapped] = ["open", "map", "mapped"].map((name) => assembler.label(name)) as [Label, Label, Label];
	const [descriptor, own] = [frameField(assembler, "pageDescriptor"), frameField(assembler, "descriptor")];
	const opened = assembler.label("opened");
	assembler.mov(eax, descriptor);
	assembler.cmp(eax, PAGE_BY_PATH);
	assembler.jcc("z", open);
	assembler.jcc("g", map);
	assembler.mov(eax, own);
	assembler.jmp(opened);
	assembler.bind(open);
	code.call(
		"openat",
		kernel.AT_FDCWD,
		{ pointer: frameField(assembler, "pagePath") },
		kernel.O_RDONLY | kernel.O_CLOEXEC | kernel.O_NONBLOCK,
	);
	emitJumpIfFailed(assembler, failed);
	assembler.bind(opened);
	assembler.mov(descriptor, eax);
	assembler.bind(map);
	code.call(
		"mmap",
		{ addressOf: page },
		PAGE_SIZE,
		kernel.PROT_READ,
		kernel.MAP_SHARED | kernel.MAP_FIXED,
		{ int: descriptor },
		{ word: frameField(assembler, "pageOffset") },
	);
	emitJumpIfFailed(assembler, failed);
	assembler.mov(eax, descriptor);
	assembler.cmp(eax, own);
	assembler.jcc("z", mapped);
	code.call("close", { int: descriptor });
	assembler.bind(mapped);
};

/** Points the auxiliary vector to the image: on the stack, and in the kernel's copy. */
const emitAuxv = (code: InstallCode, { kernelVsyscall }: InstallerLabels): void => {
	const { assembler } = code;
	const { ax: value, dx: slot } = wordRegisters(assembler);
	assembler.mov(slot, frameField(assembler, "ehdrSlot"));
	assembler.mov(value, frameField(assembler, "image"));
	assembler.mov(memory(slot), value);
	if (kernelVsyscall !== undefined) {
		assembler.mov(slot, frameField(assembler, "sysinfoSlot"));
		assembler.lea(value, code.place(value, kernelVsyscall));
		assembler.mov(memory(slot), value);
	}
	const noMap = assembler.label("no map");
	assembler.mov(value, frameField(assembler, "memoryMapAddress"));
	assembler.test(value, value);
	assembler.jcc("z", noMap);
	code.call("prctl", kernel.PR_SET_MM, kernel.PR_SET_MM_MAP, value, kernel.PRCTL_MM_MAP_SIZE, 0);
	assembler.bind(noMap);
};

export const emitInstaller = (emission: Emission, labels: InstallerLabels): void => {
	const { assembler } = emission;
	const code = new InstallCode(assembler, labels.image);
	const failed = new Label("install failed");
	assembler.noCaller();
	if (labels.entries !== undefined) emitEntryPage(code, labels.entries);
	if (labels.copy !== undefined) {
		emitPageCopy(code, labels.copy);
		emitJumpIfFailed(assembler, failed);
	}
	emitLinkPage(code, emission, labels, failed);
	emitVvarPage(code, emission, failed);
	if (emission.observed !== undefined) emitMapObservation(code, emission.observed, failed);
	emitAuxv(code, labels);
	code.call("close", { int: frameField(assembler, "descriptor") });

	const enter = assembler.label("enter");
	assembler.mov(eax, frameField(assembler, "stopsWhenDone"));
	assembler.test(eax, eax);
	assembler.jcc("z", enter);
	assembler.xor(eax, eax);
	assembler.bind(failed);
	emitStop(assembler, labels.stops);

	assembler.bind(enter);
	const registers = REGISTERS_32.filter(({ number }) => assembler.bits === 64 || number < REGISTERS_OF_I386);
	for (const register of registers) if (register !== esp) assembler.xor(register, register);
	assembler.push(INITIAL_FLAGS);
	assembler.popf();
	emitEnterProgram(assembler);
};
