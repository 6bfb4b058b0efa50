/**
 * The kernel's image for 32-bit processes, and where its `__kernel_vsyscall` is: only a 32-bit process has them, so one is made. It is
 * a program of some fifty bytes that writes its auxiliary vector and its image to stdout.
 */
import type { SpawnSyncReturns } from "node:child_process";
import { Assembler } from "../asm/assembler.ts";
import { memory } from "../asm/operands.ts";
import { eax, ebp, ebx, ecx, edi, edx, esi } from "../asm/registers.ts";
import { loadedSize, openElf, readProgramHeaders } from "../elf/headers.ts";
import { AT_SYSINFO, AT_SYSINFO_EHDR, auxvValue, parseAuxv } from "../inspect/auxv.ts";
import { outerPage } from "./outer-page.ts";
import { emitExit, emitFindAuxv, emitWrite, runProgram32 } from "./program32.ts";

const WORD = 4;
const PAGE_SIZE = 4096;

const assembleProgram = (): Uint8Array => {
	const assembler = new Assembler(32);
	const [entry, next] = [assembler.label("entry"), assembler.label("next")];
	const [page, end] = [assembler.label("page"), assembler.label("end")];
	emitFindAuxv(assembler);
	// edi := its end, ebp := the image.
	assembler.mov(edi, esi);
	assembler.xor(ebp, ebp);
	assembler.bind(entry);
	assembler.mov(eax, memory(edi));
	assembler.add(edi, 2 * WORD);
	assembler.cmp(eax, AT_SYSINFO_EHDR);
	assembler.jcc("nz", next);
	assembler.mov(ebp, memory(edi, -WORD));
	assembler.bind(next);
	assembler.test(eax, eax);
	assembler.jcc("nz", entry);
	assembler.mov(ecx, esi);
	assembler.mov(edx, edi);
	assembler.sub(edx, esi);
	emitWrite(assembler);
	assembler.mov(ecx, ebp);
	assembler.test(ecx, ecx);
	assembler.jcc("z", end);
	// Page by page to where memory ends: a socket takes all of a write or nothing.
	assembler.bind(page);
	assembler.mov(edx, PAGE_SIZE);
	emitWrite(assembler);
	assembler.add(ecx, PAGE_SIZE);
	assembler.cmp(eax, PAGE_SIZE);
	assembler.jcc("z", page);
	assembler.bind(end);
	assembler.xor(ebx, ebx);
	emitExit(assembler);
	return assembler.assemble().bytes;
};

export interface KernelImage32 {
	/** AT_SYSINFO: the address of `__kernel_vsyscall`. */
	readonly entry: bigint | undefined;
	/** Where the image was; undefined where there is none (vdso32=0). */
	readonly address: bigint | undefined;
	/** Whole pages; empty where there is none. */
	readonly bytes: Uint8Array;
}

/** @returns undefined when 32-bit programs cannot be executed here, or not be tried: inside of a run, what it starts has that run's */
export const readKernelImage32 = (): KernelImage32 | undefined => {
	if (outerPage() !== undefined) return undefined;
	let ended: SpawnSyncReturns<Buffer>;
	try {
		ended = runProgram32(assembleProgram());
	} catch {
		return undefined;
	}
	const { status, stdout } = ended;
	if (status !== 0) return undefined;
	const auxv = parseAuxv(stdout, 32);
	const rest = new Uint8Array(stdout.subarray(2 * WORD * (auxv.entries.length + 1)));
	const pages = rest.length === 0 ? 0 : Math.ceil(loadedSize(readProgramHeaders(openElf(rest))) / PAGE_SIZE);
	return {
		entry: auxvValue(auxv, AT_SYSINFO),
		address: auxvValue(auxv, AT_SYSINFO_EHDR),
		bytes: rest.slice(0, pages * PAGE_SIZE),
	};
};
