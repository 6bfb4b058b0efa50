/**
 * Programs that are executed under another tracer of the run (gdb's `run`, everything under `strace -f`): they get the image by the
 * hands of that tracer, since only it may write their registers.
 *
 *     seccomp stop   of the tracer, which asks about a process that has executed a program and no instruction of it yet:
 *                    PTRACE_GETEVENTMSG (strace) or PTRACE_CONT (gdb)
 *     (its calls)    the call is left out; instead the tracer reads the registers of the process, writes stage 1 and new registers
 *     (the call)     is made again; when the process is resumed, stage 1 runs, then the program
 *
 * Both stages run under the other tracer: strace shows their system calls as the first ones of the program. PTRACE_SYSCALL is not
 * stopped, or strace would be ten times as slow; a tracer that uses that alone is not helped.
 */
import { AT_RANDOM } from "../../auxv/types.ts";
import { PTRACE_GETREGS, PTRACE_POKEDATA, PTRACE_SETREGS } from "../../linux/constants.ts";
import { readStatusField } from "../../linux/proc-file.ts";
import { resume, resumeToSyscall, writeRegisters } from "../../linux/ptrace.ts";
import { type RegisterName, Registers } from "../../linux/registers.ts";
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { savedAuxv } from "./image-address.ts";
import type { ForeignInstall, Installer } from "./install.ts";
import type { CallRemotely, RemoteCall, RemoteScript } from "../remote-call.ts";

export interface ForeignExecsOptions {
	readonly installer: Installer;
	/** Whether a process is to be covered at all. */
	readonly isMeant: (pid: number) => boolean;
	readonly callRemotely: CallRemotely;
	/** A program runs in real time. @param reason the end of a sentence */
	readonly uncovered: (pid: number, reason: string) => void;
}

/** Zero until the first instruction of a program: ELF_PLAT_INIT, arch/x86/include/asm/elf.h. Gdb changes orig_rax. */
const CLEARED: readonly RegisterName[] = [
	"rbx",
	"rdx",
	"rsi",
	"rdi",
	"rbp",
	"r8",
	"r9",
	"r10",
	"r12",
	"r13",
	"r14",
	"r15",
];
const SYSCALL_LENGTH = 2n;
/** Below the red zone of the tracer. */
const SCRATCH_DISTANCE = 1024n;
const SECCOMP_FILTERED = "2";
/** Two seconds for an install under a tracer that looks at every step of it. */
const LOOKS = 20;
const LOOK_MS = 100;

const random = new BigUint64Array(1);

/** The kernel's random word for the program that a process runs: under gdb the addresses of all programs are the same. */
const randomWord = (pid: number): bigint | undefined => {
	const address = savedAuxv(pid)?.get(AT_RANDOM);
	if (address === undefined) return undefined;
	return readMemory(pid, address, new Uint8Array(random.buffer)) === random.byteLength ? random[0] : undefined;
};

export class ForeignExecs {
	readonly #options: ForeignExecsOptions;
	/** Programs that have been looked at. */
	readonly #known = new Map<number, bigint>();
	/** Processes that are not of the run. */
	readonly #strangers = new Set<number>();
	/** Tracers whose call has been left out, with the registers that they had. */
	readonly #held = new Map<number, { readonly registers: Registers; readonly pid: number }>();

	constructor(options: ForeignExecsOptions) {
		this.#options = options;
	}

	/** A task attaches to a process that is not of the run. */
	ignore(pid: number): void {
		this.#strangers.add(pid);
	}

	/** A task asks about a process that it traces. Resumes the task, now or later. @param registers of the task */
	asks(tid: number, pid: number, registers: Registers): void {
		if (!this.#isFresh(pid)) {
			resume(tid, 0);
			return;
		}
		this.#held.set(tid, { registers: registers.copy(), pid });
		registers.set("orig_rax", -1n);
		writeRegisters(tid, registers);
		resumeToSyscall(tid);
	}

	/** A syscall-stop. @returns whether it was the exit of a call that was left out */
	syscallStop(tid: number): boolean {
		const held = this.#held.get(tid);
		if (held === undefined) return false;
		this.#held.delete(tid);
		const { registers, pid } = held;
		const instruction = registers.get("rip") - SYSCALL_LENGTH;
		const scratch = (registers.get("rsp") - SCRATCH_DISTANCE) & ~15n;
		this.#options.callRemotely(
			tid,
			{ address: instruction, architecture: "x86-64" },
			this.#install(tid, pid, scratch),
			() => {
				const again = registers.copy();
				again.set("rip", instruction);
				again.set("rax", registers.get("orig_rax"));
				again.set("orig_rax", -1n);
				writeRegisters(tid, again);
				resume(tid, 0);
			},
		);
		return true;
	}

	ended(tid: number): void {
		this.#held.delete(tid);
		this.#strangers.delete(tid);
	}

	/** Whether a process of the run runs a program that has not been looked at, and is not covered. */
	#isFresh(pid: number): boolean {
		const word = randomWord(pid);
		if (word === undefined || this.#known.get(pid) === word) return false;
		this.#known.set(pid, word);
		if (this.#options.installer.installedIn(pid) !== undefined || this.#strangers.has(pid)) return false;
		return readStatusField(pid, "Seccomp") === SECCOMP_FILTERED && this.#options.isMeant(pid);
	}

	*#install(tid: number, pid: number, scratch: bigint): RemoteScript<void> {
		const ptrace = (request: number, address: bigint, data: bigint): RemoteCall => ({
			name: "ptrace",
			args: [BigInt(request), BigInt(pid), address, data],
		});
		const initial = new Registers();
		const bytes = new Uint8Array(initial.words.buffer);
		if ((yield ptrace(PTRACE_GETREGS, 0n, scratch)) < 0n) return;
		if (readMemory(tid, scratch, bytes) !== bytes.length) return;
		const install = this.#prepare(pid, initial);
		if (install === undefined) return;
		const { bootstrap, code, entered } = install;
		const words = new BigUint64Array(code.buffer, code.byteOffset, code.length >> 3);
		for (const [index, word] of words.entries()) {
			if ((yield ptrace(PTRACE_POKEDATA, bootstrap + BigInt(8 * index), word)) < 0n) return;
		}
		if (writeMemory(tid, scratch, new Uint8Array(entered.words.buffer)) !== bytes.length) return;
		if ((yield ptrace(PTRACE_SETREGS, 0n, scratch)) < 0n) return;
		this.#lookLater(pid, LOOKS);
	}

	#prepare(pid: number, initial: Registers): ForeignInstall | undefined {
		const { installer } = this.#options;
		if (!CLEARED.every((name) => initial.get(name) === 0n)) return this.#failed(pid, "it had begun to run before");
		if (!installer.isReachableFrom(pid)) return this.#failed(pid, "our files cannot be opened there");
		const install = installer.forOtherTracer(pid, initial);
		if (!("kind" in install)) return install;
		return install.kind === "failed" ? this.#failed(pid, install.reason) : undefined;
	}

	#failed(pid: number, reason: string): undefined {
		this.#options.uncovered(pid, `could not be covered under another tracer (${reason}): it runs in real time`);
	}

	/** Whether the install has come to its end. The tracer may be a person who goes on some other day: then it is not said at all. */
	#lookLater(pid: number, looks: number): void {
		const word = this.#known.get(pid);
		setTimeout(() => {
			if (this.#options.installer.installedIn(pid) !== undefined || randomWord(pid) !== word) return;
			if (looks > 0) return this.#lookLater(pid, looks - 1);
			if (readStatusField(pid, "State")?.startsWith("t") !== true) this.#failed(pid, "its install failed");
		}, LOOK_MS).unref();
	}
}
