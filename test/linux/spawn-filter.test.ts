/** The filter in a real program: what the kernel stops, what it costs the program in rights, and what a failure leaves. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, describe, test, type TestContext } from "node:test";
import { Assembler } from "../../src/asm/assembler.ts";
import { eax, ebx, ecx, edi, edx, esi, r10d, rax, rdi, rsi } from "../../src/asm/registers.ts";
import { setU16, setU32, setU64 } from "../../src/bytes.ts";
import { EM_X86_64, ET_EXEC, PT_LOAD } from "../../src/elf/constants.ts";
import * as linux from "../../src/linux/constants.ts";
import { probeHostVsyscall } from "../../src/linux/host-vsyscall.ts";
import { readStatusField } from "../../src/linux/proc-file.ts";
import { eventMessage, readRegisters, resume, seize, writeRegisters } from "../../src/linux/ptrace.ts";
import { Registers } from "../../src/linux/registers.ts";
import { buildFilter, PAGE_CALL, SEGV_ACTION } from "../../src/linux/seccomp.ts";
import { type PendingProgram, spawn } from "../../src/linux/spawn.ts";
import { VSYSCALL_ADDR, VSYSCALLS } from "../../src/vsyscall/page.ts";
import { isRoot, lacks } from "../helpers/requirements.ts";
import { alive, endAll, wait } from "../helpers/tracees.ts";

const BASE = 0x40_0000;
const CODE = 0x80;
const SIZE = 0x3000;
/** Zeros behind the code. */
const DATA = BASE + 0x2000;
const SYS_exit = 60;
const PTRACE_O_EXITKILL = 0x10_0000;
const OPTIONS = PTRACE_O_EXITKILL | linux.PTRACE_O_TRACESECCOMP | linux.PTRACE_O_TRACEEXEC;
const CAP_SYS_ADMIN = 21n;
const NOBODY = 65534;
const { SIGSEGV, SIGUSR1 } = constants.signals;
const { EACCES, EINVAL, ENOENT } = constants.errno;

const directory = mkdtempSync(join(tmpdir(), "vsyscall-filter-"));
chmodSync(directory, 0o755);
after(() => rmSync(directory, { recursive: true }));
const pathBytes = (path: string): Uint8Array => new TextEncoder().encode(path);

type Emit = (assembler: Assembler, call: (number: number) => void) => void;

/** A static program of one segment that does what `emit` says and exits with 0. */
const program = (name: string, emit: Emit): Uint8Array => {
	const assembler = new Assembler(64);
	const call = (number: number): void => {
		assembler.mov(eax, number);
		assembler.syscall();
	};
	emit(assembler, call);
	assembler.xor(edi, edi);
	call(SYS_exit);
	const code = assembler.assemble().bytes;
	const file = new Uint8Array(CODE + code.length);
	file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
	for (const [offset, half] of [
		[16, ET_EXEC],
		[18, EM_X86_64],
		[52, 64],
		[54, 56],
		[56, 1],
	] as const)
		setU16(file, offset, half);
	for (const [offset, word] of [
		[20, 1],
		[64, PT_LOAD],
		[68, 7],
	] as const)
		setU32(file, offset, word);
	for (const [offset, wide] of [
		[24, BASE + CODE],
		[32, 64],
		[80, BASE],
		[88, BASE],
		[96, file.length],
		[104, SIZE],
		[112, 0x1000],
	] as const)
		setU64(file, offset, BigInt(wide));
	file.set(code, CODE);
	const path = join(directory, name);
	writeFileSync(path, file);
	chmodSync(path, 0o755);
	return pathBytes(path);
};

const start = (file: Uint8Array, filter: Uint8Array | undefined, isFilterOptional = false): PendingProgram => {
	const pending = spawn({
		file,
		args: [file],
		environment: [],
		descriptors: [0, 1, 2],
		openFilesLimit: undefined,
		filter,
		isFilterOptional,
	});
	alive.add(pending.pid);
	return pending;
};

afterEach(endAll);

type Seen =
	| { readonly why: number; readonly nr: number; readonly at: bigint }
	| "exec"
	| { readonly signal: number }
	| { readonly exit: number };

interface Watch {
	readonly onSeccomp?: (pid: number, registers: Registers) => void;
	readonly onExec?: (pid: number) => void;
}

/** Runs a program to its end, or to its first signal. */
const watch = (pending: PendingProgram, { onSeccomp, onExec }: Watch = {}): readonly Seen[] => {
	const { pid } = pending;
	assert.equal(seize(pid, OPTIONS), 0);
	pending.release();
	const seen: Seen[] = [];
	const registers = new Registers();
	for (;;) {
		const stop = wait(pid);
		if (stop.kind === "exited") return [...seen, { exit: stop.exitCode }];
		if (stop.kind === "killed" || stop.kind === "signal-delivery-stop") return [...seen, { signal: stop.signal }];
		assert.ok(stop.kind === "event-stop", stop.kind);
		if (stop.event === linux.PTRACE_EVENT_EXEC) {
			seen.push("exec");
			onExec?.(pid);
		} else {
			assert.equal(stop.event, linux.PTRACE_EVENT_SECCOMP);
			assert.ok(readRegisters(pid, registers));
			const nr = Number(registers.get("orig_rax"));
			seen.push({ why: eventMessage(pid), nr, at: registers.get("rip") });
			onSeccomp?.(pid, registers);
		}
		assert.ok(resume(pid, 0));
	}
};

const PAGE_ONLY = buildFilter({ tracesPageCalls: true, tracesSegvActions: false, tracesTimeCalls: false });
const ACTIONS_ONLY = buildFilter({ tracesPageCalls: false, tracesSegvActions: true, tracesTimeCalls: false });
const BOTH = buildFilter({ tracesPageCalls: true, tracesSegvActions: true, tracesTimeCalls: false });

const servesPage = (t: TestContext): boolean =>
	probeHostVsyscall() !== "none" || lacks(t, "this host does not serve the vsyscall page");

const emitPageCalls: Emit = (assembler) => {
	for (const number of [0, 1, 2] as const) {
		assembler.xor(edi, edi);
		assembler.xor(esi, esi);
		assembler.xor(edx, edx);
		assembler.mov(rax, BigInt.asIntN(64, VSYSCALL_ADDR(number)));
		assembler.call(rax);
	}
};

const emitRawCalls: Emit = (assembler, call) => {
	for (const { syscall } of VSYSCALLS) {
		assembler.xor(edi, edi);
		assembler.xor(esi, esi);
		assembler.xor(edx, edx);
		call(syscall);
	}
};

/** rt_sigaction(signal, action, old, 8), whatever it returns. */
const emitAction =
	(signal: bigint, action: bigint, old: bigint): Emit =>
	(assembler, call) => {
		assembler.mov(rdi, signal);
		assembler.mov(rsi, action);
		assembler.mov(edx, Number(old));
		assembler.mov(r10d, 8);
		call(linux.SYS_rt_sigaction);
	};

const PAGE_STOPS: readonly Seen[] = VSYSCALLS.map(({ syscall }, index) => ({
	why: PAGE_CALL,
	nr: syscall,
	at: VSYSCALL_ADDR(index as 0 | 1 | 2),
}));

describe("calls of the page", () => {
	test("stop at their entries, with the number and the reason; the same calls elsewhere do not", (t) => {
		if (!servesPage(t)) return;
		const file = program("calls", (assembler, call) => {
			emitRawCalls(assembler, call);
			emitPageCalls(assembler, call);
			emitRawCalls(assembler, call);
		});
		assert.deepEqual(watch(start(file, PAGE_ONLY)), ["exec", ...PAGE_STOPS, { exit: 0 }]);
		assert.deepEqual(watch(start(file, BOTH)), ["exec", ...PAGE_STOPS, { exit: 0 }]);
	});

	test("do not stop without a filter, nor with one for actions alone", (t) => {
		if (!servesPage(t)) return;
		const file = program("unwatched", emitPageCalls);
		assert.deepEqual(watch(start(file, undefined)), ["exec", { exit: 0 }]);
		assert.deepEqual(watch(start(file, ACTIONS_ONLY)), ["exec", { exit: 0 }]);
	});

	test("return what a tracer answers", (t) => {
		if (!servesPage(t)) return;
		const file = program("answered", (assembler, call) => {
			assembler.xor(edi, edi);
			assembler.mov(rax, BigInt.asIntN(64, VSYSCALL_ADDR(1)));
			assembler.call(rax);
			assembler.mov(rdi, rax);
			call(SYS_exit);
		});
		const seen = watch(start(file, PAGE_ONLY), {
			onSeccomp: (pid, registers) => {
				registers.set("orig_rax", -1n);
				registers.set("rax", 77n);
				assert.ok(writeRegisters(pid, registers));
			},
		});
		assert.deepEqual(seen, ["exec", PAGE_STOPS[1], { exit: 77 }]);
	});
});

describe("actions", () => {
	const segv = BigInt(SIGSEGV);
	const upper = 1n << 32n;
	for (const [name, emit, stops] of [
		["for SIGSEGV stop", emitAction(segv, BigInt(DATA), 0n), 1],
		["stop whatever the upper half of the signal", emitAction(segv | (5n * upper), BigInt(DATA), 0n), 1],
		["stop where only the upper half of the address is set", emitAction(segv, upper, 0n), 1],
		["that are only asked for do not stop", emitAction(segv, 0n, BigInt(DATA)), 0],
		["for another signal do not stop", emitAction(BigInt(SIGUSR1), BigInt(DATA), 0n), 0],
	] as const)
		test(name, () => {
			const file = program("action", emit);
			const expected = Array.from({ length: stops }, () => [SEGV_ACTION, linux.SYS_rt_sigaction]);
			for (const filter of [ACTIONS_ONLY, BOTH]) {
				const seen = watch(start(file, filter));
				const reasons = seen.flatMap((one) => (typeof one === "object" && "why" in one ? [[one.why, one.nr]] : []));
				assert.deepEqual(reasons, expected);
				assert.deepEqual([seen[0], seen.at(-1)], ["exec", { exit: 0 }], "nothing stops before the program runs");
			}
			assert.deepEqual(watch(start(file, PAGE_ONLY)), ["exec", { exit: 0 }]);
		});
});

describe("numbers of another ABI do not stop", () => {
	test("x32", () => {
		const file = program("x32", (assembler, call) => {
			assembler.mov(edi, SIGSEGV);
			assembler.mov(esi, DATA);
			assembler.xor(edx, edx);
			assembler.mov(r10d, 8);
			call(0x4000_0000 | linux.SYS_rt_sigaction);
		});
		assert.deepEqual(watch(start(file, BOTH)), ["exec", { exit: 0 }]);
	});

	test("i386", (t) => {
		const file = program("i386", (assembler) => {
			assembler.mov(eax, linux.SYS_rt_sigaction);
			assembler.mov(edi, SIGSEGV);
			assembler.mov(esi, DATA);
			assembler.mov(ebx, SIGSEGV);
			assembler.mov(ecx, DATA);
			assembler.raw(0xcd, 0x80);
		});
		const seen = watch(start(file, BOTH));
		const [, fault] = seen;
		const isMissing = typeof fault === "object" && "signal" in fault;
		if (isMissing) lacks(t, "the kernel has no int 0x80");
		else assert.deepEqual(seen, ["exec", { exit: 0 }]);
	});
});

const idle = (): Uint8Array => program("idle", () => undefined);

const rights = (pid: number): readonly (string | undefined)[] =>
	["NoNewPrivs", "Seccomp"].map((field) => readStatusField(pid, field)?.trim());

const rightsOf = (pending: PendingProgram): readonly (string | undefined)[] => {
	let found: readonly (string | undefined)[] = [];
	watch(pending, {
		onExec: (pid) => {
			found = rights(pid);
		},
	});
	return found;
};

const isAdmin = (t: TestContext): boolean => {
	const capabilities = BigInt(`0x${readStatusField(process.pid, "CapEff")?.trim() ?? "0"}`);
	return ((capabilities >> CAP_SYS_ADMIN) & 1n) === 1n || lacks(t, "needs CAP_SYS_ADMIN");
};

describe("a program under the filter", () => {
	const MODE_FILTER = "2";

	test("can still gain privileges where we may grant that", (t) => {
		if (!isAdmin(t)) return;
		assert.deepEqual(rightsOf(start(idle(), BOTH)), [rights(process.pid)[0], MODE_FILTER]);
	});

	test("cannot gain privileges where we may not grant that", (t) => {
		if (!isRoot(t)) return;
		const file = idle();
		process.seteuid?.(NOBODY);
		let pending: PendingProgram;
		try {
			pending = start(file, BOTH);
		} finally {
			process.seteuid?.(0);
		}
		assert.deepEqual(rightsOf(pending), ["1", MODE_FILTER]);
		assert.equal(pending.filterError, 0);
	});

	test("is as it was without one", () => {
		assert.deepEqual(rightsOf(start(idle(), undefined)), rights(process.pid));
	});
});

describe("what fails in front of the program is told apart", () => {
	const loadsNowhere = Uint8Array.of(0x20, 0, 0, 0, 0xff, 0, 0, 0, 0x06, 0, 0, 0, 0, 0, 0xff, 0x7f);
	for (const [name, filter] of [
		["a filter that the kernel refuses", loadsNowhere],
		["a filter of no instructions", new Uint8Array(0)],
	] as const)
		test(name, () => {
			const pending = start(idle(), filter);
			assert.deepEqual(watch(pending), [{ exit: 127 }]);
			assert.deepEqual([pending.filterError, pending.execError], [EINVAL, 0]);
		});

	test("a filter that is optional does not keep the program from starting", () => {
		const pending = start(idle(), loadsNowhere, true);
		assert.deepEqual(watch(pending), ["exec", { exit: 0 }]);
		assert.deepEqual([pending.filterError, pending.execError], [EINVAL, 0]);
	});

	test("a program that is not there", () => {
		const pending = start(pathBytes(join(directory, "missing")), BOTH);
		assert.deepEqual(watch(pending), [{ exit: 127 }]);
		assert.deepEqual([pending.filterError, pending.execError], [0, ENOENT]);
	});

	test("a program that may not be executed", () => {
		const file = join(directory, "text");
		writeFileSync(file, "", { mode: 0o644 });
		const pending = start(pathBytes(file), BOTH);
		assert.deepEqual(watch(pending), [{ exit: 127 }]);
		assert.deepEqual([pending.filterError, pending.execError], [0, EACCES]);
	});

	test("nothing", () => {
		const pending = start(idle(), BOTH);
		assert.deepEqual(watch(pending), ["exec", { exit: 0 }]);
		assert.deepEqual([pending.filterError, pending.execError], [0, 0]);
	});
});
