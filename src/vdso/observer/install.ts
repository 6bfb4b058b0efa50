/**
 * The part of stage 2 (installer.ts) that maps the key page and the observation file.
 *
 * The path may lead to another file elsewhere, so the file is known by a word in its header before anything is written to it. A
 * process that cannot open it gets memory that nobody reads, so that its code can count there; the registry does not have it then,
 * and the supervisor says so.
 */
import { memory, ripRelative } from "../../asm/operands.ts";
import { eax, edi, edx, esi, r8, r8d, r9d, r10d, rax, rdi, rdx, rsi, rsp } from "../../asm/registers.ts";
import { HEADER, REGISTRY } from "../../observation/layout.ts";
import { PAGE_SIZE } from "../../vvar/layout.ts";
import * as kernel from "../kernel-calls.ts";
import { inFile, type Observed } from "./places.ts";

const WORD = 8;

/**
 * What the supervisor leaves for it below the stack pointer: offsets from it, behind PARCEL of bootstrap.ts.
 *
 * `key` u64; `registry`, `home` u64: offsets of its entry in the registry and of its first slot in the file; `nonce` u64: what the header of the file holds; `seen` u64:
 * scratch; `path`: at most 32 bytes, with its NUL.
 */
export const OBSERVATION_PARCEL = {
	key: -848,
	registry: -840,
	home: -832,
	nonce: -824,
	seen: -816,
	path: -808,
	size: 72,
} as const;

/**
 * rax := 0, or -errno. Stands behind the mapping of the vvar page; of the registers that stage 2 needs, all are kept.
 */
export const emitMapObservation = (observed: Observed): void => {
	const { assembler, labels, layout } = observed;
	const [other, map, done] = [assembler.label("other file"), assembler.label("map"), assembler.label("done")];
	const parcel = (place: number) => memory(rsp, WORD + place);
	const call = (number: number): void => {
		assembler.mov(eax, number);
		assembler.syscall();
	};
	assembler.push(r8);
	assembler.lea(rdi, ripRelative(labels.keyPage));
	assembler.mov(esi, 2 * PAGE_SIZE);
	assembler.mov(edx, kernel.PROT_READ | kernel.PROT_WRITE);
	assembler.mov(r10d, kernel.MAP_PRIVATE | kernel.MAP_FIXED | kernel.MAP_ANONYMOUS);
	call(kernel.SYS_mmap);
	assembler.test(rax, rax);
	assembler.jcc("s", done);
	assembler.mov(esi, PAGE_SIZE);
	assembler.mov(edx, kernel.MADV_WIPEONFORK);
	call(kernel.SYS_madvise);
	assembler.mov(rax, parcel(OBSERVATION_PARCEL.key));
	assembler.mov(ripRelative(labels.keyPage), rax);
	assembler.lea(rdx, ripRelative(labels.file));
	assembler.add(rdx, parcel(OBSERVATION_PARCEL.home));
	assembler.lea(rdi, ripRelative(labels.homePage));
	assembler.mov(memory(rdi), rdx);
	assembler.mov(edx, kernel.PROT_READ);
	call(kernel.SYS_mprotect);

	assembler.mov(edi, kernel.AT_FDCWD);
	assembler.lea(rsi, parcel(OBSERVATION_PARCEL.path));
	assembler.mov(edx, kernel.O_RDWR | kernel.O_CLOEXEC | kernel.O_NONBLOCK);
	call(kernel.SYS_openat);
	assembler.mov(r8d, eax);
	assembler.test(eax, eax);
	assembler.jcc("s", other);
	assembler.mov(edi, eax);
	assembler.lea(rsi, parcel(OBSERVATION_PARCEL.seen));
	assembler.mov(edx, WORD);
	assembler.mov(r10d, HEADER.nonce);
	call(kernel.SYS_pread64);
	assembler.mov(rax, parcel(OBSERVATION_PARCEL.seen));
	assembler.cmp(rax, parcel(OBSERVATION_PARCEL.nonce));
	assembler.mov(r10d, kernel.MAP_SHARED | kernel.MAP_FIXED);
	assembler.jcc("z", map);
	assembler.mov(edi, r8d);
	call(kernel.SYS_close);
	assembler.mov(r8d, -1);
	assembler.bind(other);
	assembler.mov(r10d, kernel.MAP_SHARED | kernel.MAP_FIXED | kernel.MAP_ANONYMOUS);
	assembler.bind(map);
	assembler.lea(rdi, ripRelative(labels.file));
	assembler.mov(esi, layout.size);
	assembler.mov(edx, kernel.PROT_READ | kernel.PROT_WRITE);
	assembler.xor(r9d, r9d);
	call(kernel.SYS_mmap);
	assembler.test(rax, rax);
	assembler.jcc("s", done);
	assembler.mov(edx, kernel.MADV_DONTDUMP);
	call(kernel.SYS_madvise);
	assembler.test(r8d, r8d);
	assembler.jcc("s", done);
	assembler.mov(rax, parcel(OBSERVATION_PARCEL.registry));
	assembler.lea(rdx, inFile(observed, REGISTRY.offset));
	assembler.add(rdx, rax);
	assembler.mov(memory(rdx), 1, 32);
	assembler.mov(edi, r8d);
	call(kernel.SYS_close);
	assembler.xor(eax, eax);
	assembler.bind(done);
	assembler.pop(r8);
};
