/**
 * Programs of some hundred bytes that look at what only 32-bit processes have. Each is made, executed and has ended when `runProgram32`
 * returns. What one has to say it writes to stdout.
 */
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { closeSync } from "node:fs";
import type { Assembler } from "../asm/assembler.ts";
import { indexed, memory } from "../asm/operands.ts";
import { eax, ebx, esi, esp } from "../asm/registers.ts";
import { EM_386 } from "../elf/constants.ts";
import { executableOf } from "../elf/executable.ts";
import { emitCallInstruction } from "../vdso/system-call.ts";
import { createProgramFile } from "./memfd.ts";

/** syscall_32.tbl */
const SYS_exit = 1;
const SYS_write = 4;
const STDOUT = 1;
const WORD = 4;
const TIMEOUT_MS = 10_000;

/** esi := the auxiliary vector, where the program is entered: behind argc, the arguments and the environment. eax is lost. */
export const emitFindAuxv = (assembler: Assembler): void => {
	const environment = assembler.label("environment");
	assembler.mov(eax, memory(esp));
	assembler.lea(esi, indexed({ base: esp, index: eax, scale: WORD, displacement: 2 * WORD }));
	assembler.bind(environment);
	assembler.add(esi, WORD);
	assembler.cmp(memory(esi, -WORD), 0, 32);
	assembler.jcc("nz", environment);
};

/** Writes edx bytes at ecx; eax := how many it were. ebx is lost. */
export const emitWrite = (assembler: Assembler): void => {
	assembler.mov(ebx, STDOUT);
	assembler.mov(eax, SYS_write);
	emitCallInstruction(assembler);
};

/** Ends the program with the status in ebx. */
export const emitExit = (assembler: Assembler): void => {
	assembler.mov(eax, SYS_exit);
	emitCallInstruction(assembler);
};

/** @throws {SyscallError} when there is no descriptor or no memory left. */
export const runProgram32 = (code: Uint8Array): SpawnSyncReturns<Buffer> => {
	const fd = createProgramFile(executableOf({ bits: 32, machine: EM_386, code }));
	try {
		// The child is a copy of us until it executes the file.
		return spawnSync(`/proc/self/fd/${fd}`, [], {
			env: {},
			stdio: ["ignore", "pipe", "ignore"],
			timeout: TIMEOUT_MS,
		});
	} finally {
		closeSync(fd);
	}
};
