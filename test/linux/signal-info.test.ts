/** What a stopped tracee's signal says, and the requests that bring a task to a stop, on a child that runs code of ours. */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { afterEach, describe, test } from "node:test";
import { Assembler } from "../../src/asm/assembler.ts";
import { type Label, memory } from "../../src/asm/operands.ts";
import { eax, ecx, edi, edx, r10d, rax, rbx, rdi, rsi } from "../../src/asm/registers.ts";
import { ByteReader, setU64 } from "../../src/bytes.ts";
import * as linux from "../../src/linux/constants.ts";
import { addressOf, cloneInto, syscallResult } from "../../src/linux/ffi.ts";
import { mapCode } from "../../src/linux/memfd.ts";
import {
	detach,
	interrupt,
	readRegisters,
	readSignalInfo,
	resume,
	seize,
	singleStep,
	writeRegisters,
	writeSignalInfo,
} from "../../src/linux/ptrace.ts";
import { Registers } from "../../src/linux/registers.ts";
import { SignalInfo } from "../../src/linux/signal-info.ts";
import { alive, endAll, wait } from "../helpers/tracees.ts";

const { SIGCHLD, SIGSEGV, SIGTRAP, SIGUSR1 } = constants.signals;
const PTRACE_O_EXITKILL = 0x10_0000;
const SYS_exit = 60;
const [SI_USER, SI_TKILL] = [0, -6];
const SA_SIGINFO_RESTORER = 0x0400_0004n;
const NON_CANONICAL = 0x1234_5678_9abc_def0n;

/** What parent and child share: where the child goes, the action of its handler, what the handler was given. */
const BLOCK = { go: 0, action: 16, siginfo: 64, size: 192 } as const;

const block = new Uint8Array(new ArrayBuffer(BLOCK.size));
const stack = new Uint8Array(new ArrayBuffer(32 * 1024));

/**
 * The child turns in a loop until `go` holds an address, which it then jumps to. Places to go to: `load` and `store` at
 * memory whose address is in rax, `call` into a null pointer; `steps` are three instructions of 1, 2 and 3 bytes.
 */
const assembleChild = () => {
	const assembler = new Assembler(64);
	const names = ["loop", "load", "store", "steps", "handler"] as const;
	const labels = Object.fromEntries(names.map((name) => [name, assembler.label(name)])) as Record<
		(typeof names)[number],
		Label
	>;
	assembler.mov(rbx, rdi);
	assembler.mov(edi, SIGSEGV);
	assembler.lea(rsi, memory(rbx, BLOCK.action));
	assembler.xor(edx, edx);
	assembler.mov(r10d, 8);
	assembler.mov(eax, linux.SYS_rt_sigaction);
	assembler.syscall();
	assembler.bind(labels.loop);
	assembler.raw(0xf3, 0x90);
	assembler.jmp(labels.loop);
	assembler.bind(labels.load);
	assembler.mov(ecx, memory(rax));
	assembler.int3();
	assembler.bind(labels.store);
	assembler.mov(memory(rax), ecx);
	assembler.int3();
	assembler.bind(labels.steps);
	assembler.raw(0x90);
	assembler.raw(0x66, 0x90);
	assembler.raw(0x0f, 0x1f, 0x00);
	assembler.jmp(labels.loop);
	// handler(signal, siginfo rsi, context): copies what it was given and ends.
	assembler.bind(labels.handler);
	for (let offset = 0; offset < 128; offset += 8) {
		assembler.mov(rax, memory(rsi, offset));
		assembler.mov(memory(rbx, BLOCK.siginfo + offset), rax);
	}
	assembler.xor(edi, edi);
	assembler.mov(eax, SYS_exit);
	assembler.syscall();
	const code = assembler.assemble();
	const base = mapCode(code.bytes);
	const places = Object.fromEntries(names.map((name) => [name, base + BigInt(code.offsetOf(labels[name]))]));
	return { base, places: places as Record<(typeof names)[number], bigint> };
};

const { base, places } = assembleChild();
setU64(block, BLOCK.action, places.handler);
setU64(block, BLOCK.action + 8, SA_SIGINFO_RESTORER);
setU64(block, BLOCK.action + 16, places.handler);

const registers = new Registers();

/** A child that stands in its loop, stopped by PTRACE_INTERRUPT. */
const stoppedChild = (): number => {
	const top = (addressOf(stack) + BigInt(stack.length)) & ~15n;
	const pid = cloneInto(base, top, linux.CLONE_VM | SIGCHLD, addressOf(block));
	assert.ok(pid > 0);
	alive.add(pid);
	assert.equal(seize(pid, PTRACE_O_EXITKILL), 0);
	for (;;) {
		assert.ok(interrupt(pid));
		assert.deepEqual(wait(pid), { kind: "event-stop", event: linux.PTRACE_EVENT_STOP });
		assert.ok(readRegisters(pid, registers));
		const rip = registers.get("rip");
		if (rip >= places.loop && rip < places.load) return pid;
		resume(pid, 0);
	}
};

const sendTo = (pid: number, rip: bigint, rax_: bigint = 0n): void => {
	assert.ok(readRegisters(pid, registers));
	registers.set("rip", rip);
	registers.set("rax", rax_);
	assert.ok(writeRegisters(pid, registers));
};

afterEach(endAll);

/** Never lets the signal through: what dies of SIGSEGV may dump core, and the memory is ours too. */
const infoAt = (pid: number, signal: number): SignalInfo => {
	assert.deepEqual(wait(pid), { kind: "signal-delivery-stop", signal });
	const info = new SignalInfo();
	assert.ok(readSignalInfo(pid, info.bytes));
	return info;
};

const factsOf = (info: SignalInfo): readonly (number | bigint | boolean)[] => [
	info.signal,
	info.code,
	info.address,
	info.isFromKernel,
];

describe("the signal of a fault has its code and its address", () => {
	for (const [name, place, address, code] of [
		["nothing is mapped there", places.load, 0x1000n, linux.SEGV_MAPERR],
		["nothing is mapped behind the vsyscall page", places.load, 0xffff_ffff_ff60_1000n, linux.SEGV_MAPERR],
		["the mapping is read-only", places.store, places.steps, linux.SEGV_ACCERR],
	] as const)
		test(name, () => {
			const pid = stoppedChild();
			sendTo(pid, place, address);
			assert.ok(resume(pid, 0));
			assert.deepEqual(factsOf(infoAt(pid, SIGSEGV)), [SIGSEGV, code, address, true]);
		});

	test("none of the address where the processor gives none", () => {
		const pid = stoppedChild();
		sendTo(pid, places.load, NON_CANONICAL);
		assert.ok(resume(pid, 0));
		assert.deepEqual(factsOf(infoAt(pid, SIGSEGV)), [SIGSEGV, linux.SI_KERNEL, 0n, true]);
	});
});

describe("a signal that a process has sent is not from the kernel", () => {
	for (const [name, send, code] of [
		["kill", (pid: number) => syscallResult(linux.SYS_kill, pid, SIGUSR1), SI_USER],
		["tgkill, whose code is negative", (pid: number) => syscallResult(linux.SYS_tgkill, pid, pid, SIGUSR1), SI_TKILL],
	] as const)
		test(name, () => {
			const pid = stoppedChild();
			assert.equal(send(pid), 0);
			assert.ok(resume(pid, 0));
			const info = infoAt(pid, SIGUSR1);
			assert.deepEqual([info.signal, info.code, info.isFromKernel], [SIGUSR1, code, false]);
		});
});

test("what is written is what the handler is given", () => {
	const pid = stoppedChild();
	sendTo(pid, places.load, NON_CANONICAL);
	assert.ok(resume(pid, 0));
	const info = infoAt(pid, SIGSEGV);
	info.code = linux.SEGV_MAPERR;
	info.address = 0xffff_ffff_ff60_0400n;
	assert.ok(writeSignalInfo(pid, info.bytes));
	const again = new SignalInfo();
	assert.ok(readSignalInfo(pid, again.bytes));
	assert.deepEqual(again.bytes, info.bytes);
	assert.ok(resume(pid, SIGSEGV));
	assert.deepEqual(wait(pid), { kind: "exited", exitCode: 0 });
	const given = new ByteReader(block.subarray(BLOCK.siginfo));
	assert.deepEqual([given.i32(0), given.i32(8), given.u64(16)], [SIGSEGV, linux.SEGV_MAPERR, 0xffff_ffff_ff60_0400n]);
});

test("fields keep what they are set to, signed and unsigned", () => {
	const info = new SignalInfo();
	assert.equal(info.bytes.length, 128);
	assert.deepEqual(factsOf(info), [0, 0, 0n, false]);
	info.signal = SIGSEGV;
	info.code = -1;
	info.address = 0xffff_ffff_ffff_ffffn;
	assert.deepEqual(factsOf(info), [SIGSEGV, -1, 0xffff_ffff_ffff_ffffn, false]);
});

test("a step is one instruction, and its trap says so", () => {
	const pid = stoppedChild();
	sendTo(pid, places.steps);
	let expected = places.steps;
	for (const length of [1n, 2n, 3n]) {
		assert.ok(singleStep(pid, 0));
		const info = infoAt(pid, SIGTRAP);
		assert.deepEqual([info.signal, info.code], [SIGTRAP, linux.TRAP_TRACE]);
		assert.ok(readRegisters(pid, registers));
		expected += length;
		assert.equal(registers.get("rip"), expected);
	}
});

test("a step with a signal stands at the first instruction of its handler", () => {
	const pid = stoppedChild();
	sendTo(pid, places.load, 0x1000n);
	assert.ok(resume(pid, 0));
	infoAt(pid, SIGSEGV);
	assert.ok(singleStep(pid, SIGSEGV));
	assert.deepEqual(wait(pid), { kind: "signal-delivery-stop", signal: SIGTRAP });
	assert.ok(readRegisters(pid, registers));
	assert.equal(registers.get("rip"), places.handler);
});

test("an interrupt at a stop takes effect before the next instruction", () => {
	const pid = stoppedChild();
	sendTo(pid, places.load, 0x1000n);
	assert.ok(resume(pid, 0));
	infoAt(pid, SIGSEGV);
	assert.ok(interrupt(pid));
	assert.ok(resume(pid, SIGSEGV));
	assert.deepEqual(wait(pid), { kind: "event-stop", event: linux.PTRACE_EVENT_STOP });
	assert.ok(readRegisters(pid, registers));
	assert.equal(registers.get("rip"), places.handler);
});

test("every request to a task that is gone is false", () => {
	const pid = stoppedChild();
	syscallResult(linux.SYS_kill, pid, linux.SIGKILL);
	assert.deepEqual(wait(pid), { kind: "killed", signal: linux.SIGKILL, coreDumped: false });
	const { bytes } = new SignalInfo();
	for (const request of [
		() => interrupt(pid),
		() => singleStep(pid, 0),
		() => readSignalInfo(pid, bytes),
		() => writeSignalInfo(pid, bytes),
		() => detach(pid, 0),
	])
		assert.equal(request(), false);
});
