/**
 * The 32-bit program that measures (protocol.ts); it is static and makes its own system calls by int 0x80.
 *
 *     ebp  the block          edi  where to store       esi  the function
 *     ebx  the loop           counts are in the block
 */
import { Assembler } from "../asm/assembler.ts";
import { type Label, memory } from "../asm/operands.ts";
import * as reg from "../asm/registers.ts";
import { EM_386 } from "../elf/constants.ts";
import { executableOf } from "../elf/executable.ts";
import * as linux from "../linux/constants.ts";
import { CLOCK_REALTIME } from "../vdso/host.ts";
import { SYS_32_clock_gettime64 } from "./program64.ts";
import * as protocol from "./protocol.ts";
import { emitCall, emitClock, emitReceive, emitSend, type Transfer } from "./transfer.ts";

const { BLOCK } = protocol;
/** syscall_32.tbl */
const SYS_exit = 1;
const SYS_read = 3;
const SYS_write = 4;
const SYS_getpid = 20;
const SYS_setrlimit = 75;
const SYS_mmap2 = 192;
const WORD = 8;
/** As in the 64-bit program. */
const NO_CORE = 1;

const TRANSFER: Transfer = {
	calls: { read: SYS_read, write: SYS_write, clock_gettime: SYS_32_clock_gettime64 },
	block: reg.ebp,
	from: reg.esi,
	fromHalf: reg.esi,
	left: reg.edi,
};

const field = (offset: number) => memory(reg.ebp, offset);

/** The calls that the program can make, all of them for a timespec of 64-bit words. */
const LOOPS: readonly (readonly [kind: protocol.CallKind, emit: (assembler: Assembler) => void])[] = [
	[
		"function",
		(assembler) => {
			assembler.push(reg.edi);
			assembler.push(CLOCK_REALTIME);
			assembler.call(reg.esi);
			assembler.add(reg.esp, 8);
		},
	],
	[
		"entry",
		(assembler) => {
			assembler.mov(reg.ebx, CLOCK_REALTIME);
			assembler.mov(reg.ecx, reg.edi);
			assembler.mov(reg.eax, SYS_32_clock_gettime64);
			assembler.call(reg.esi);
		},
	],
	[
		"int80",
		(assembler) => {
			assembler.mov(reg.ebx, CLOCK_REALTIME);
			assembler.mov(reg.ecx, reg.edi);
			emitCall(assembler, SYS_32_clock_gettime64);
		},
	],
];

const emitSetUp = (assembler: Assembler, failed: Label): void => {
	assembler.push(NO_CORE);
	assembler.push(NO_CORE);
	assembler.mov(reg.ebx, linux.RLIMIT_CORE);
	assembler.mov(reg.ecx, reg.esp);
	emitCall(assembler, SYS_setrlimit);
	assembler.xor(reg.ebx, reg.ebx);
	assembler.mov(reg.ecx, protocol.BLOCK_SIZE);
	assembler.mov(reg.edx, linux.PROT_READ | linux.PROT_WRITE);
	assembler.mov(reg.esi, linux.MAP_PRIVATE | linux.MAP_ANONYMOUS);
	assembler.mov(reg.edi, -1);
	assembler.xor(reg.ebp, reg.ebp);
	emitCall(assembler, SYS_mmap2);
	// Addresses go up to 4 GiB, errors from there down to -4095.
	assembler.cmp(reg.eax, -4095);
	assembler.jcc("ae", failed);
	assembler.mov(reg.ebp, reg.eax);
};

const emitRun = (assembler: Assembler, base: Label): void => {
	const here = assembler.label("here");
	const prepare = (count: number): void => {
		assembler.mov(reg.eax, field(count));
		assembler.mov(field(BLOCK.count), reg.eax);
		assembler.lea(reg.edi, field(BLOCK.readings));
		assembler.mov(reg.esi, field(BLOCK.function));
	};
	assembler.call(here);
	assembler.bind(here);
	assembler.bind(base);
	assembler.pop(reg.ebx);
	assembler.add(reg.ebx, field(BLOCK.loop));
	assembler.push(reg.ebx);
	prepare(BLOCK.warmUp);
	assembler.mov(field(BLOCK.step), 0, 32);
	assembler.call(reg.ebx);
	emitClock(assembler, TRANSFER, field(BLOCK.before));
	assembler.pop(reg.edx);
	prepare(BLOCK.calls);
	assembler.mov(reg.eax, field(BLOCK.stride));
	assembler.mov(field(BLOCK.step), reg.eax);
	assembler.call(reg.edx);
	assembler.mov(field(BLOCK.result), reg.eax);
	emitClock(assembler, TRANSFER, field(BLOCK.after));
};

const emitLoop = (assembler: Assembler, emit: (assembler: Assembler) => void): void => {
	const [again, done] = [assembler.label("again"), assembler.label("done")];
	assembler.cmp(field(BLOCK.count), 0, 32);
	assembler.jcc("z", done);
	assembler.align(32, 0x90);
	assembler.bind(again);
	emit(assembler);
	assembler.add(reg.edi, field(BLOCK.step));
	assembler.sub(field(BLOCK.count), 1, 32);
	assembler.jcc("nz", again);
	assembler.bind(done);
	assembler.ret();
};

export const measuringProgram32 = (): protocol.MeasuringProgram => {
	const assembler = new Assembler(32);
	const [base, serve, over] = [assembler.label("base"), assembler.label("serve"), assembler.label("over")];
	emitSetUp(assembler, over);
	emitCall(assembler, SYS_getpid);
	assembler.mov(field(BLOCK.before), reg.eax);
	assembler.mov(field(BLOCK.before + WORD), reg.ebp);
	assembler.lea(reg.esi, field(BLOCK.before));
	assembler.mov(reg.edi, protocol.helloSize(0));
	emitSend(assembler, TRANSFER, over);
	assembler.bind(serve);
	emitReceive(assembler, TRANSFER, over);
	emitRun(assembler, base);
	assembler.mov(reg.esi, field(BLOCK.replyAddress));
	assembler.mov(reg.edi, field(BLOCK.replyLength));
	emitSend(assembler, TRANSFER, over);
	assembler.jmp(serve);
	assembler.bind(over);
	assembler.xor(reg.ebx, reg.ebx);
	emitCall(assembler, SYS_exit);
	const places = LOOPS.map(([kind, emit]) => {
		const label = assembler.label(kind);
		assembler.align(32);
		assembler.bind(label);
		emitLoop(assembler, emit);
		return { kind, label };
	});
	const code = assembler.assemble();
	return {
		bytes: executableOf({ bits: 32, machine: EM_386, code: code.bytes }),
		loop: (kind, name) => {
			const place = places.find((loop) => loop.kind === kind);
			if (place === undefined || name !== "clock_gettime")
				throw new RangeError(`The program has no loop for ${name} by ${kind}`);
			return code.offsetOf(place.label) - code.offsetOf(base);
		},
		importCount: 0,
	};
};
