/**
 * The 64-bit program that measures: it makes the calls that it is asked for in loops of machine code (protocol.ts).
 *
 *     rbp  the block          r12  calls to make        r13  the function
 *     r14  where to store     r15  bytes to the next    rbx  the loop
 */
import { Assembler } from "../asm/assembler.ts";
import { Label, memory, ripRelative } from "../asm/operands.ts";
import * as reg from "../asm/registers.ts";
import { EM_X86_64 } from "../elf/constants.ts";
import { type Imports, writeExecutable } from "../elf/executable.ts";
import * as linux from "../linux/constants.ts";
import { CLOCK_REALTIME, SYSCALLS } from "../vdso/host.ts";
import { SYSCALL_VECTOR } from "../vdso/system-call.ts";
import { VSYSCALL_START } from "../vsyscall/page.ts";
import * as protocol from "./protocol.ts";
import { emitCall, emitClock, emitReceive, emitSend, type Transfer } from "./transfer.ts";

const { BLOCK } = protocol;
const SYS_write = 1;
const SYS_getpid = 39;
const SYS_exit_group = 231;
const MAP_32BIT = 0x40;
/** clock_gettime64 of the 32-bit table: what int 0x80 takes, also from 64-bit code. */
export const SYS_32_clock_gettime64 = 403;
const WORD = 8;
/** Not 0: a core of any size is piped to a handler then. 1 byte is what the kernel takes for none at all (fs/coredump.c). */
const NO_CORE = 1;

const TRANSFER: Transfer = {
	calls: { read: linux.SYS_read, write: SYS_write, clock_gettime: linux.SYS_clock_gettime },
	block: reg.rbp,
	from: reg.r12,
	fromHalf: reg.r12d,
	left: reg.r13,
};

const field = (offset: number) => memory(reg.rbp, offset);

const emitArguments = (assembler: Assembler, name: protocol.TimeFunction): void => {
	if (name === "clock_gettime") {
		assembler.mov(reg.edi, CLOCK_REALTIME);
		assembler.mov(reg.rsi, reg.r14);
	} else {
		assembler.mov(reg.rdi, reg.r14);
		assembler.xor(reg.esi, reg.esi);
	}
};

/** The calls that the program can make. */
const LOOPS: readonly (readonly [
	kind: protocol.CallKind,
	name: protocol.TimeFunction,
	emit: (assembler: Assembler) => void,
])[] = [
	...protocol.TIME_FUNCTIONS.map(
		(name) =>
			[
				"function",
				name,
				(assembler: Assembler) => {
					emitArguments(assembler, name);
					assembler.call(reg.r13);
				},
			] as const,
	),
	...protocol.TIME_FUNCTIONS.map(
		(name) =>
			[
				"syscall",
				name,
				(assembler: Assembler) => {
					emitArguments(assembler, name);
					assembler.mov(reg.eax, SYSCALLS[name]);
					assembler.syscall();
				},
			] as const,
	),
	[
		"int80",
		"clock_gettime",
		(assembler) => {
			assembler.mov(reg.ebx, CLOCK_REALTIME);
			assembler.mov(reg.rcx, reg.r14);
			assembler.mov(reg.eax, SYS_32_clock_gettime64);
			assembler.int(SYSCALL_VECTOR);
		},
	],
	[
		"page",
		"gettimeofday",
		(assembler) => {
			emitArguments(assembler, "gettimeofday");
			// As compilers wrote it: a constant in a register, and the call.
			assembler.mov(reg.rax, VSYSCALL_START);
			assembler.call(reg.rax);
		},
	],
];

const emitSetUp = (assembler: Assembler, failed: Label): void => {
	assembler.mov(reg.eax, NO_CORE);
	assembler.push(reg.rax);
	assembler.push(reg.rax);
	assembler.xor(reg.edi, reg.edi);
	assembler.mov(reg.esi, linux.RLIMIT_CORE);
	assembler.mov(reg.rdx, reg.rsp);
	assembler.xor(reg.r10d, reg.r10d);
	emitCall(assembler, linux.SYS_prlimit64);
	assembler.xor(reg.edi, reg.edi);
	assembler.mov(reg.esi, protocol.BLOCK_SIZE);
	assembler.mov(reg.edx, linux.PROT_READ | linux.PROT_WRITE);
	assembler.mov(reg.r10d, linux.MAP_PRIVATE | linux.MAP_ANONYMOUS | MAP_32BIT);
	assembler.mov(reg.r8, -1);
	assembler.xor(reg.r9d, reg.r9d);
	emitCall(assembler, linux.SYS_mmap);
	assembler.test(reg.rax, reg.rax);
	assembler.jcc("s", failed);
	assembler.mov(reg.rbp, reg.rax);
};

/** Runs the loop that the request names, in front of the timed calls and for them. */
const emitRun = (assembler: Assembler, base: Label): void => {
	assembler.lea(reg.rbx, ripRelative(base));
	assembler.add(reg.rbx, field(BLOCK.loop));
	assembler.push(reg.rbx);
	assembler.mov(reg.r12, field(BLOCK.warmUp));
	assembler.xor(reg.r15d, reg.r15d);
	assembler.lea(reg.r14, field(BLOCK.readings));
	assembler.mov(reg.r13, field(BLOCK.function));
	assembler.call(reg.rbx);
	emitClock(assembler, TRANSFER, field(BLOCK.before));
	assembler.pop(reg.rbx);
	assembler.mov(reg.r12, field(BLOCK.calls));
	assembler.mov(reg.r15, field(BLOCK.stride));
	assembler.lea(reg.r14, field(BLOCK.readings));
	// The same alignment of the stack as above.
	assembler.push(reg.rbx);
	assembler.call(reg.rbx);
	assembler.pop(reg.rbx);
	assembler.mov(field(BLOCK.result), reg.rax);
	emitClock(assembler, TRANSFER, field(BLOCK.after));
};

const emitLoop = (assembler: Assembler, emit: (assembler: Assembler) => void): void => {
	const [again, done] = [assembler.label("again"), assembler.label("done")];
	assembler.test(reg.r12, reg.r12);
	assembler.jcc("z", done);
	assembler.align(32, 0x90);
	assembler.bind(again);
	emit(assembler);
	assembler.add(reg.r14, reg.r15);
	assembler.sub(reg.r12, 1);
	assembler.jcc("nz", again);
	assembler.bind(done);
	assembler.ret();
};

/** @param imports functions whose addresses the program tells, found by the dynamic loader; a static program without */
export const measuringProgram64 = (imports?: Imports): protocol.MeasuringProgram => {
	const assembler = new Assembler(64);
	const [base, serve, over] = [assembler.label("base"), assembler.label("serve"), assembler.label("over")];
	const words = new Label("words of the imports");
	const importCount = imports?.functions.length ?? 0;
	assembler.bind(base);
	emitSetUp(assembler, over);
	emitCall(assembler, SYS_getpid);
	assembler.mov(field(BLOCK.before), reg.rax);
	assembler.mov(field(BLOCK.before + WORD), reg.rbp);
	for (let index = 0; index < importCount; index++) {
		assembler.mov(reg.rax, ripRelative(words, WORD * index));
		assembler.mov(field(BLOCK.before + WORD * (2 + index)), reg.rax);
	}
	assembler.lea(reg.r12, field(BLOCK.before));
	assembler.mov(reg.r13d, protocol.helloSize(importCount));
	emitSend(assembler, TRANSFER, over);
	assembler.bind(serve);
	emitReceive(assembler, TRANSFER, over);
	emitRun(assembler, base);
	assembler.mov(reg.r12, field(BLOCK.replyAddress));
	assembler.mov(reg.r13, field(BLOCK.replyLength));
	emitSend(assembler, TRANSFER, over);
	assembler.jmp(serve);
	assembler.bind(over);
	assembler.xor(reg.edi, reg.edi);
	emitCall(assembler, SYS_exit_group);
	const places = LOOPS.map(([kind, name, emit]) => {
		const label = assembler.label(`${name} by ${kind}`);
		assembler.align(32);
		assembler.bind(label);
		emitLoop(assembler, emit);
		return { kind, name, label };
	});
	const code = assembler.assemble();
	return {
		bytes: writeExecutable({
			bits: 64,
			machine: EM_X86_64,
			textSize: code.bytes.length,
			entry: 0,
			...(imports === undefined ? {} : { imports }),
			text: ({ offset, importsOffset }) => code.link(() => importsOffset - offset),
		}),
		loop: (kind, name) => {
			const place = places.find((loop) => loop.kind === kind && loop.name === name);
			if (place === undefined) throw new RangeError(`The program has no loop for ${name} by ${kind}`);
			return code.offsetOf(place.label);
		},
		importCount,
	};
};
