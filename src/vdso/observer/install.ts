/**
 * The part of stage 2 (installer.ts) that maps the key page and the observation file.
 *
 * The path may lead to another file elsewhere, so the file is known by a word in its header before anything is written to it. A
 * process that cannot open it gets memory that nobody reads, so that its code can count there; the registry does not have it then,
 * and the supervisor says so.
 */
import { type Label, memory } from "../../asm/operands.ts";
import { eax, edx } from "../../asm/registers.ts";
import { HEADER, REGISTRY } from "../../observation/layout.ts";
import { PAGE_SIZE } from "../../vvar/layout.ts";
import { emitJumpIfFailed } from "../bootstrap.ts";
import type { InstallCode } from "../install-code.ts";
import { frameField } from "../install-frame.ts";
import * as kernel from "../kernel-calls.ts";
import { argumentRegister, wordRegisters } from "../system-call.ts";
import type { Observed } from "./places.ts";

const WORD = 8;
const NO_DESCRIPTOR = -1;
const READ_WRITE = kernel.PROT_READ | kernel.PROT_WRITE;
const ANONYMOUS = kernel.MAP_FIXED | kernel.MAP_ANONYMOUS;

/** Half of a word of the frame, of the key and of the nonce. */
const HALF = 4 as const;

/** The key page, which a forked child finds empty, and the home page. */
const emitOwnPages = (code: InstallCode, { labels }: Observed, failed: Label): void => {
	const { assembler } = code;
	const [keyPage, homePage] = [{ addressOf: labels.keyPage }, { addressOf: labels.homePage }];
	code.call("mmap", keyPage, 2 * PAGE_SIZE, READ_WRITE, kernel.MAP_PRIVATE | ANONYMOUS);
	emitJumpIfFailed(assembler, failed);
	code.call("madvise", keyPage, PAGE_SIZE, kernel.MADV_WIPEONFORK);
	const { ax: key, dx: home } = wordRegisters(assembler);
	// The lower half is 0 in every key.
	code.address(key, labels.keyPage);
	assembler.mov(edx, frameField(assembler, "observationKey", HALF));
	assembler.mov(memory(key, HALF), edx);
	code.address(home, labels.file);
	assembler.add(home, frameField(assembler, "observationHome"));
	code.address(key, labels.homePage);
	assembler.mov(memory(key), home);
	code.call("mprotect", homePage, PAGE_SIZE, kernel.PROT_READ);
	emitJumpIfFailed(assembler, failed);
};

/** The descriptor of the observation file to its field of the frame, NO_DESCRIPTOR where the path leads to nothing or to another. */
const emitOpenFile = (code: InstallCode): void => {
	const { assembler } = code;
	const [opened, other] = [assembler.label("opened"), assembler.label("other")];
	const descriptor = frameField(assembler, "observationDescriptor");
	code.call(
		"openat",
		kernel.AT_FDCWD,
		{ pointer: frameField(assembler, "observationPath") },
		kernel.O_RDWR | kernel.O_CLOEXEC | kernel.O_NONBLOCK,
	);
	assembler.mov(descriptor, eax);
	assembler.test(eax, eax);
	assembler.jcc("s", opened);
	// i386 takes the offset in two words.
	code.call("pread64", eax, { pointer: frameField(assembler, "observationSeen") }, WORD, HEADER.nonce, 0);
	for (const half of [0, HALF] as const) {
		assembler.mov(eax, frameField(assembler, "observationSeen", half));
		assembler.cmp(eax, frameField(assembler, "observationNonce", half));
		assembler.jcc("nz", other);
	}
	assembler.jmp(opened);
	assembler.bind(other);
	code.call("close", { int: descriptor });
	assembler.mov(descriptor, NO_DESCRIPTOR, 32);
	assembler.bind(opened);
};

/** Maps the key page, the home page and the observation file, or memory in its place. */
export const emitMapObservation = (code: InstallCode, observed: Observed, failed: Label): void => {
	const { assembler } = code;
	const { labels, layout } = observed;
	const [map, done] = [assembler.label("map"), assembler.label("done")];
	const descriptor = frameField(assembler, "observationDescriptor");
	const file = { addressOf: labels.file };
	const { half: flags } = argumentRegister(assembler, 3);
	emitOwnPages(code, observed, failed);
	emitOpenFile(code);
	assembler.mov(eax, descriptor);
	assembler.test(eax, eax);
	assembler.mov(flags, kernel.MAP_SHARED | kernel.MAP_FIXED);
	assembler.jcc("ns", map);
	assembler.mov(flags, kernel.MAP_SHARED | ANONYMOUS);
	assembler.bind(map);
	code.call("mmap", file, layout.size, READ_WRITE, "kept", { int: descriptor }, 0);
	emitJumpIfFailed(assembler, failed);
	code.call("madvise", file, layout.size, kernel.MADV_DONTDUMP);
	assembler.mov(eax, descriptor);
	assembler.test(eax, eax);
	assembler.jcc("s", done);
	const { dx: entry } = wordRegisters(assembler);
	code.address(entry, labels.file);
	assembler.add(entry, frameField(assembler, "observationRegistry"));
	assembler.mov(memory(entry, REGISTRY.offset), 1, 32);
	code.call("close", { int: descriptor });
	assembler.bind(done);
};
