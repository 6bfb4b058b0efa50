/**
 * Starts a program so that it can be seized before it runs: our own fork and exec, as machine code.
 *
 * child_process will not do (libuv would collect the stops of the tracee), and posix_spawn has no way to wait in between. So the
 * child shares our memory (CLONE_VM) on a stack of its own, waits on a futex until the supervisor has seized it, undoes what Node
 * changed in the state that is inherited, and calls execve. If that fails, errno stands in the shared block.
 *
 * What Node changes, and how it is undone: descriptors are made close-on-exec (cleared for those that were inherited), SIGPIPE
 * and SIGXFSZ are ignored (reset), the soft limit of open files is raised (restored to the parent's). Other signals that were
 * ignored when Node started are lost: Node resets them before any of our code runs (docs/limits.md).
 */
import { Assembler } from "../asm/assembler.ts";
import { type Label, type Memory, memory } from "../asm/operands.ts";
import { ownPid } from "./own-pid.ts";
import { eax, edi, edx, esi, r8d, r10d, r12, rbx, rdi, rdx, rsi } from "../asm/registers.ts";
import { setU16, setU32, setU64 } from "../bytes.ts";
import * as linux from "./constants.ts";
import { addressOf, cloneInto, rawSyscall } from "./ffi.ts";
import { mapCode } from "./memfd.ts";
import { FILTER_INSTRUCTION_SIZE } from "./seccomp.ts";
import { SyscallError } from "./syscall-error.ts";

export interface ProgramStart {
	/** Path of the file to execute: bytes, as the kernel has no encoding. */
	readonly file: Uint8Array;
	readonly args: readonly Uint8Array[];
	readonly environment: readonly Uint8Array[];
	/** Descriptors that the program inherits. */
	readonly descriptors: readonly number[];
	/** Soft and hard limit of open files, or undefined to leave them. */
	readonly openFilesLimit: readonly [bigint, bigint] | undefined;
	/** A seccomp filter for the program and all that it starts (seccomp.ts). */
	readonly filter: Uint8Array | undefined;
	/** The program starts also when the filter cannot be installed. */
	readonly isFilterOptional?: boolean;
}

/** The block that parent and child share; offsets in bytes. */
const BLOCK = {
	go: 0,
	error: 4,
	file: 8,
	args: 16,
	environment: 24,
	/** An empty signal set, and a kernel_sigaction of zeros: SIG_DFL. */
	mask: 32,
	action: 40,
	limit: 72,
	hasLimit: 88,
	parent: 92,
	/** Words that end with a zero. */
	signals: 96,
	/** struct sock_fprog, and whether there is one: 2 once the child has set no_new_privs for it. */
	filter: 112,
	hasFilter: 128,
	filterError: 132,
	isFilterOptional: 136,
	/** Words that end with -1. */
	descriptors: 144,
} as const;

const MAX_DESCRIPTORS = 1024;
const STACK_SIZE = 16 * 1024;

const SYS_rt_sigprocmask = 14;
const SYS_execve = 59;
const SYS_getppid = 110;
const SYS_prctl = 157;
const PR_SET_NO_NEW_PRIVS = 38;
const EACCES = 13;
const SYS_exit_group = 231;
const PR_SET_PDEATHSIG = 1;
const SIGPIPE = 13;
const SIGCHLD = 17;
const SIGXFSZ = 25;
const SIG_SETMASK = 2;
const F_SETFD = 2;
const FUTEX_WAIT_PRIVATE = 128;
const SIGSET_SIZE = 8;
const EXIT_NOT_EXECUTED = 127;

/** A field of the block, whose address the child keeps in rbx. */
const field = (name: keyof typeof BLOCK): Memory => memory(rbx, BLOCK[name]);

/**
 * Installs the filter. Who has CAP_SYS_ADMIN needs no no_new_privs for it, and keeps setuid programs working; everybody else is
 * refused at first (EACCES) and loses nothing by it: a tracer without privileges has set them aside already.
 */
const emitFilter = (assembler: Assembler, call: (number: number) => void, exit: Label): void => {
	const [install, failed, done] = [assembler.label("install"), assembler.label("failed"), assembler.label("installed")];
	assembler.mov(eax, field("hasFilter"));
	assembler.test(eax, eax);
	assembler.jcc("z", done);
	assembler.bind(install);
	assembler.mov(edi, linux.SECCOMP_SET_MODE_FILTER);
	assembler.mov(esi, linux.SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	assembler.lea(rdx, field("filter"));
	call(linux.SYS_seccomp);
	assembler.test(eax, eax);
	assembler.jcc("z", done);
	assembler.cmp(eax, -EACCES);
	assembler.jcc("nz", failed);
	assembler.cmp(field("hasFilter"), 1, 32);
	assembler.jcc("nz", failed);
	assembler.mov(field("hasFilter"), 2, 32);
	assembler.mov(edi, PR_SET_NO_NEW_PRIVS);
	assembler.mov(esi, 1);
	assembler.xor(edx, edx);
	assembler.xor(r10d, r10d);
	assembler.xor(r8d, r8d);
	call(SYS_prctl);
	assembler.jmp(install);
	assembler.bind(failed);
	assembler.mov(field("filterError"), eax);
	assembler.cmp(field("isFilterOptional"), 0, 32);
	assembler.jcc("z", exit);
	assembler.bind(done);
};

const assembleChild = (): Uint8Array => {
	const assembler = new Assembler(64);
	const call = (number: number): void => {
		assembler.mov(eax, number);
		assembler.syscall();
	};
	const [wait, go, exit] = [assembler.label("wait"), assembler.label("go"), assembler.label("exit")];
	assembler.mov(rbx, rdi);
	// If the supervisor dies before it has seized us, nobody would ever wake us.
	assembler.mov(edi, PR_SET_PDEATHSIG);
	assembler.mov(esi, linux.SIGKILL);
	call(SYS_prctl);
	call(SYS_getppid);
	assembler.cmp(eax, field("parent"));
	assembler.jcc("nz", exit);

	assembler.bind(wait);
	assembler.mov(eax, field("go"));
	assembler.test(eax, eax);
	assembler.jcc("nz", go);
	assembler.mov(rdi, rbx);
	assembler.mov(esi, FUTEX_WAIT_PRIVATE);
	assembler.xor(edx, edx);
	assembler.xor(r10d, r10d);
	call(linux.SYS_futex);
	assembler.jmp(wait);

	assembler.bind(go);
	assembler.mov(edi, PR_SET_PDEATHSIG);
	assembler.xor(esi, esi);
	call(SYS_prctl);

	const [nextSignal, signalsDone] = [assembler.label("next signal"), assembler.label("signals done")];
	assembler.lea(r12, field("signals"));
	assembler.bind(nextSignal);
	assembler.mov(edi, memory(r12));
	assembler.test(edi, edi);
	assembler.jcc("z", signalsDone);
	assembler.lea(rsi, field("action"));
	assembler.xor(edx, edx);
	assembler.mov(r10d, SIGSET_SIZE);
	call(linux.SYS_rt_sigaction);
	assembler.add(r12, 4);
	assembler.jmp(nextSignal);
	assembler.bind(signalsDone);

	const noLimit = assembler.label("no limit");
	assembler.mov(eax, field("hasLimit"));
	assembler.test(eax, eax);
	assembler.jcc("z", noLimit);
	assembler.xor(edi, edi);
	assembler.mov(esi, linux.RLIMIT_NOFILE);
	assembler.lea(rdx, field("limit"));
	assembler.xor(r10d, r10d);
	call(linux.SYS_prlimit64);
	assembler.bind(noLimit);

	const [nextDescriptor, descriptorsDone] = [assembler.label("next descriptor"), assembler.label("descriptors done")];
	assembler.lea(r12, field("descriptors"));
	assembler.bind(nextDescriptor);
	assembler.mov(edi, memory(r12));
	assembler.test(edi, edi);
	assembler.jcc("s", descriptorsDone);
	assembler.mov(esi, F_SETFD);
	assembler.xor(edx, edx);
	call(linux.SYS_fcntl);
	assembler.add(r12, 4);
	assembler.jmp(nextDescriptor);
	assembler.bind(descriptorsDone);

	assembler.mov(edi, SIG_SETMASK);
	assembler.lea(rsi, field("mask"));
	assembler.xor(edx, edx);
	assembler.mov(r10d, SIGSET_SIZE);
	call(SYS_rt_sigprocmask);
	// Last, so that execve is the only call of ours that the filter sees.
	emitFilter(assembler, call, exit);
	assembler.mov(rdi, field("file"));
	assembler.mov(rsi, field("args"));
	assembler.mov(rdx, field("environment"));
	call(SYS_execve);
	assembler.mov(field("error"), eax);
	assembler.bind(exit);
	assembler.mov(edi, EXIT_NOT_EXECUTED);
	call(SYS_exit_group);
	return assembler.assemble().bytes;
};

/** NUL-terminated strings and the NULL-terminated array of their addresses, in memory that must be kept alive. */
const stringArray = (
	strings: readonly Uint8Array[],
): { readonly pointers: BigUint64Array; readonly bytes: Uint8Array } => {
	const bytes = new Uint8Array(strings.reduce((length, text) => length + text.length + 1, 1));
	const pointers = new BigUint64Array(strings.length + 1);
	const base = addressOf(bytes);
	let offset = 0;
	strings.forEach((text, index) => {
		bytes.set(text, offset);
		pointers[index] = base + BigInt(offset);
		offset += text.length + 1;
	});
	return { pointers, bytes };
};

/** A child that waits in front of its execve. */
export class PendingProgram {
	readonly pid: number;
	readonly #block: Uint8Array;
	/** What the child's execve reads: kept alive as long as the program is pending. */
	readonly #memory: readonly NodeJS.TypedArray[];

	constructor(pid: number, block: Uint8Array, memoryInUse: readonly NodeJS.TypedArray[]) {
		this.pid = pid;
		this.#block = block;
		this.#memory = memoryInUse;
	}

	/** Lets the child go on to its execve. */
	release(): void {
		const words = new Int32Array(this.#block.buffer, this.#block.byteOffset, 2);
		Atomics.store(words, BLOCK.go / 4, 1);
		rawSyscall(linux.SYS_futex, this.#block, linux.FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
	}

	/** errno of the execve, 0 when it has not failed. */
	get execError(): number {
		void this.#memory;
		// execve left -errno there.
		return this.#errno(BLOCK.error);
	}

	/** errno of the installation of the filter, 0 when it has not failed. */
	get filterError(): number {
		return this.#errno(BLOCK.filterError);
	}

	#errno(offset: number): number {
		return Math.abs(new Int32Array(this.#block.buffer, this.#block.byteOffset + offset, 1)[0] ?? 0);
	}
}

/**
 * Starts a child that waits until `release` is called.
 *
 * @throws {SyscallError} when no process can be made (EAGAIN: too many; ENOMEM).
 */
export const spawn = (start: ProgramStart): PendingProgram => {
	const code = mapCode(assembleChild());
	const args = stringArray(start.args);
	const environment = stringArray(start.environment);
	const file = Uint8Array.from([...start.file, 0]);
	const descriptors = start.descriptors.slice(0, MAX_DESCRIPTORS);
	const block = new Uint8Array(new ArrayBuffer(BLOCK.descriptors + 4 * (descriptors.length + 1)));
	setU64(block, BLOCK.file, addressOf(file));
	setU64(block, BLOCK.args, addressOf(args.pointers));
	setU64(block, BLOCK.environment, addressOf(environment.pointers));
	setU32(block, BLOCK.parent, ownPid());
	[SIGPIPE, SIGXFSZ].forEach((signal, index) => setU32(block, BLOCK.signals + 4 * index, signal));
	[...descriptors, -1].forEach((fd, index) => setU32(block, BLOCK.descriptors + 4 * index, fd));
	if (start.openFilesLimit !== undefined) {
		setU32(block, BLOCK.hasLimit, 1);
		start.openFilesLimit.forEach((limit, index) => setU64(block, BLOCK.limit + 8 * index, limit));
	}
	const { filter } = start;
	if (filter !== undefined) {
		setU16(block, BLOCK.filter, filter.length / FILTER_INSTRUCTION_SIZE);
		setU64(block, BLOCK.filter + 8, addressOf(filter));
		setU32(block, BLOCK.hasFilter, 1);
		setU32(block, BLOCK.isFilterOptional, start.isFilterOptional === true ? 1 : 0);
	}
	const stack = new Uint8Array(new ArrayBuffer(STACK_SIZE));
	const top = (addressOf(stack) + BigInt(STACK_SIZE)) & ~15n;
	const pid = cloneInto(code, top, linux.CLONE_VM | SIGCHLD, addressOf(block));
	if (pid < 0) throw new SyscallError("clone", -pid);
	return new PendingProgram(pid, block, [
		file,
		args.pointers,
		args.bytes,
		environment.pointers,
		environment.bytes,
		stack,
		...(filter === undefined ? [] : [filter]),
	]);
};
