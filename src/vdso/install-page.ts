/** What stage 2 of the install maps for the vsyscall page, in 64-bit processes: the entry page, and a copy of the vsyscall page. */
import type { Label } from "../asm/operands.ts";
import { ebx, edi, rax, rbx, rdi, rdx } from "../asm/registers.ts";
import { memory } from "../asm/operands.ts";
import { ENTRY_PAGE_PLACES, ENTRY_PAGE_STEP, entryPagePlace } from "../vsyscall/entry-page.ts";
import { PAGE_SIZE } from "../vvar/layout.ts";
import type { InstallCode } from "./install-code.ts";
import { frameField } from "./install-frame.ts";
import * as kernel from "./kernel-calls.ts";

/** The entries to which the entry page leads, and where the file has that page. */
export interface EntryPageLabels {
	readonly starts: readonly Label[];
	readonly page: Label;
}

/** Where the copy of the vsyscall page goes, and where the file has it. */
export interface PageCopyLabels {
	readonly page: Label;
	readonly file: Label;
	readonly isExecutable: boolean;
}

/**
 * Maps the entry page at the first free place from the one that the frame names, and writes the addresses of the entries behind it. The
 * frame gets the place, or 0 when every place is taken: then call sites are not patched.
 */
export const emitEntryPage = (code: InstallCode, { starts, page }: EntryPageLabels): void => {
	const { assembler } = code;
	const [again, next, mapped, done] = ["again", "next", "mapped", "done"].map((name) => assembler.label(name)) as [
		Label,
		Label,
		Label,
		Label,
	];
	const place = frameField(assembler, "entryPage");
	const lastPlace = Number(entryPagePlace(ENTRY_PAGE_PLACES - 1));
	assembler.mov(ebx, ENTRY_PAGE_PLACES);
	assembler.mov(rdi, place);
	assembler.mov(place, 0, 64);
	assembler.bind(again);
	code.call(
		"mmap",
		"kept",
		2 * PAGE_SIZE,
		kernel.PROT_READ | kernel.PROT_EXEC,
		kernel.MAP_PRIVATE | kernel.MAP_FIXED_NOREPLACE,
		{ int: frameField(assembler, "descriptor") },
		{ distanceOf: page },
	);
	assembler.cmp(rax, rdi);
	assembler.jcc("z", mapped);
	assembler.sub(ebx, 1);
	assembler.jcc("z", done);
	assembler.cmp(edi, lastPlace);
	assembler.jcc("b", next);
	assembler.mov(edi, Number(entryPagePlace(0)) - ENTRY_PAGE_STEP);
	assembler.bind(next);
	assembler.add(edi, ENTRY_PAGE_STEP);
	assembler.jmp(again);

	assembler.bind(mapped);
	assembler.mov(rbx, rax);
	assembler.add(rdi, PAGE_SIZE);
	// An anonymous mapping ignores descriptor and offset.
	code.call(
		"mmap",
		"kept",
		PAGE_SIZE,
		kernel.PROT_READ | kernel.PROT_WRITE,
		kernel.MAP_PRIVATE | kernel.MAP_FIXED | kernel.MAP_ANONYMOUS,
	);
	assembler.test(rax, rax);
	assembler.jcc("s", done);
	starts.forEach((start, number) => {
		code.address(rdx, start);
		assembler.mov(memory(rdi, number * 8), rdx);
	});
	code.call("mprotect", "kept", "kept", kernel.PROT_READ);
	assembler.mov(place, rbx);
	assembler.bind(done);
};

/** rax := the result. */
export const emitPageCopy = (code: InstallCode, { page, file, isExecutable }: PageCopyLabels): void =>
	code.call(
		"mmap",
		{ addressOf: page },
		PAGE_SIZE,
		kernel.PROT_READ | (isExecutable ? kernel.PROT_EXEC : 0),
		kernel.MAP_PRIVATE | kernel.MAP_FIXED,
		{ int: frameField(code.assembler, "descriptor") },
		{ distanceOf: file },
	);
