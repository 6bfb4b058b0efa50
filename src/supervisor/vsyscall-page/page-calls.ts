/**
 * The vsyscall page of the processes of a run: what happens when one of them calls, executes or reads it.
 *
 *     host serves the page   call -> seccomp stop at the entry: only "skip" and rax may be set there
 *                            anything else -> SIGSEGV
 *     host does not          everything -> SIGSEGV
 *
 * The answers are those of vsyscall/emulate.ts. What the program must see as a fault is delivered as the very signal that the
 * kernel has forced, with the registers and the siginfo of the mode; what it must not see is taken back (page-stop.ts,
 * segv-actions.ts). Refused calls are in refused-calls.ts, loads from the page in page-reads.ts.
 */
import { ByteReader } from "../../bytes.ts";
import * as linux from "../../linux/constants.ts";
import { resume, singleStep } from "../../linux/ptrace.ts";
import { readMemory } from "../../linux/remote-memory.ts";
import { SEGV_ACTION } from "../../linux/seccomp.ts";
import { ENTRY_FRAME } from "../../vdso/page-entries.ts";
import { answerCall, type CallOutcome } from "../../vsyscall/emulate.ts";
import type { PagePolicy } from "../../vsyscall/mode.ts";
import {
	isInVsyscallPage,
	VSYSCALL_ADDR,
	VSYSCALL_START,
	type VsyscallNumber,
	vsyscallAt,
} from "../../vsyscall/page.ts";
import { CallPatcher, type CallPatcherOptions, type PageStatistics } from "./call-patcher.ts";
import { callWorld } from "./call-world.ts";
import { leaveOutCall } from "../foreign-stop.ts";
import { imageAddress } from "../install/image-address.ts";
import { programName } from "../process-facts.ts";
import type { Observer } from "../observation/observer.ts";
import { PageReads } from "./page-reads.ts";
import { PageStop, type PageStopOptions } from "./page-stop.ts";
import { RefusedCalls } from "./refused-calls.ts";
import type { RunClock } from "../run-clock.ts";
import { fetchFault, storeFault } from "./signal-frame.ts";

export interface PageCallOptions extends PageStopOptions, CallPatcherOptions {
	readonly policy: PagePolicy;
	readonly clock: RunClock;
	/** One line for the user. */
	readonly report: (message: string) => void;
	readonly observer?: Pick<Observer, "pageCall"> | undefined;
}

const EFAULT = 14n;
const ENOSYS = 38n;
const SIGTRAP = 5;
/** What a fault in the page, or in an entry of the image, arrives as. */
const FAULTS = new Set([linux.SIGSEGV, linux.SIGBUS]);

const LOG = {
	none: "vsyscall attempted with vsyscall=none",
	misaligned: "misaligned vsyscall (exploit attempt or buggy program)",
	badStack: "vsyscall with bad stack (exploit attempt?)",
	fault: "vsyscall fault (exploit attempt?)",
} as const;

export class PageCalls {
	readonly #options: PageCallOptions;
	readonly #patcher: CallPatcher;
	/** Signals that can have to do with the page. */
	readonly #signals: ReadonlySet<number>;
	/** The one that is being handled. */
	readonly #stop: PageStop;
	readonly #reads: PageReads;
	readonly #refused = new RefusedCalls();
	/** Processes whose memory is closed to us, and that have been named. */
	readonly #closed = new Set<number>();

	constructor(options: PageCallOptions) {
		this.#options = options;
		this.#patcher = new CallPatcher(options);
		this.#stop = new PageStop(options);
		this.#signals = new Set(options.policy.mode === "native" ? [...FAULTS, SIGTRAP] : FAULTS);
		this.#reads = new PageReads(options.policy.copy !== "none");
	}

	get statistics(): PageStatistics {
		return this.#patcher.statistics;
	}

	/** A task has made another: a thread, or a process with a copy of what is set for signals. */
	made(parent: number, child: number): void {
		const { actions } = this.#stop;
		const { processes } = this.#options;
		const process = processes.of(parent);
		if (actions.has(process) && processes.of(child) === child) actions.forked(process, child);
	}

	/** @param former the id that the thread had when it called execve; nothing tells its end */
	exec(tid: number, former: number): void {
		for (const id of [tid, former]) this.#forgetTask(id);
		this.#patcher.forget(tid);
		this.#stop.actions.exec(tid);
	}

	ended(tid: number): void {
		this.#forgetTask(tid);
		this.#closed.delete(tid);
		this.#patcher.forget(tid);
		this.#stop.actions.ended(tid);
	}

	/** Whatever the task was in the middle of is over. */
	#forgetTask(tid: number): void {
		this.#reads.forget(tid);
		this.#refused.forget(tid);
		this.#stop.frames.forget(tid);
	}

	/** A stop by a seccomp filter. Resumes the task. */
	seccompStop(tid: number, reason: number): void {
		const stop = this.#stop;
		if (!stop.enter(tid)) return;
		const { registers } = stop;
		if (reason === SEGV_ACTION) {
			stop.actions.remember(stop.process, tid, registers.get("rsi"));
			resume(tid, 0);
			return;
		}
		const number = vsyscallAt(registers.get("rip"));
		if (number === undefined) return leaveOutCall(tid);
		// The host has read it; where we cannot, the memory is closed to us (prctl(PR_SET_DUMPABLE, 0) without CAP_SYS_PTRACE).
		const returnAddress = stop.word(registers.get("rsp"));
		this.#patcher.countTrap();
		if (this.#options.policy.mode === "none") {
			stop.log(LOG.none);
			return this.#refused.refuse(stop, number, returnAddress);
		}
		const outcome = this.#answer(number, returnAddress !== undefined);
		this.#observe(number, outcome);
		if (outcome !== undefined) {
			registers.set("orig_rax", -1n);
			registers.set("rax", outcome);
			stop.writeRegisters();
		}
		if (returnAddress !== undefined) this.#patch(number, returnAddress, true);
		else if (outcome === undefined && number !== 2) this.#nameClosed();
		resume(tid, 0);
	}

	/** The host answers in its own time, and cannot be corrected: said once for each process. */
	#nameClosed(): void {
		const { tid, process } = this.#stop;
		if (this.#closed.has(process) || !this.#options.clock.isAsked) return;
		this.#closed.add(process);
		this.#options.report(
			`${programName(tid)} (pid ${process}) has closed its memory to us (PR_SET_DUMPABLE): its calls of the vsyscall page that store a time show the host's`,
		);
	}

	/**
	 * A signal-delivery-stop.
	 *
	 * @returns the signal to deliver; undefined when the task has been resumed
	 */
	signalStop(tid: number, signal: number): number | undefined {
		const stop = this.#stop;
		stop.frames.forget(tid);
		const isUnderWay = this.#reads.isUnderWay(tid) || this.#refused.isUnderWay(tid);
		if (!isUnderWay && !this.#signals.has(signal)) return signal;
		if (!stop.enterSignal(tid)) return signal;
		if (this.#signal(tid, signal)) return undefined;
		const { signal: delivered } = stop.info;
		if (delivered === linux.SIGSEGV) stop.actions.delivered(stop.process);
		return delivered;
	}

	/** @returns whether the signal was taken back */
	#signal(tid: number, signal: number): boolean {
		if (this.#reads.isUnderWay(tid)) return this.#reads.signal(this.#stop, signal);
		if (this.#refused.isUnderWay(tid)) {
			this.#refused.signal(this.#stop, signal);
			return false;
		}
		if (signal === SIGTRAP) return this.#trap();
		return this.#stop.info.isFromKernel && this.#fault();
	}

	/** A stop from which the task is about to run on: what was left to do is done. */
	beforeResume(tid: number): void {
		const { frames } = this.#stop;
		if (!frames.isExpected(tid) && !this.#refused.isUnderWay(tid)) return;
		if (!this.#stop.enter(tid)) return;
		frames.correct(tid, this.#stop.registers);
		this.#refused.beforeResume(this.#stop);
	}

	/** Lets a task run on from a stop that is not about the page. */
	resume(tid: number): void {
		this.beforeResume(tid);
		if (this.#reads.isUnderWay(tid)) singleStep(tid, 0);
		else resume(tid, 0);
	}

	/** A fault that the kernel has forced a signal for. @returns whether it was taken back */
	#fault(): boolean {
		const { tid, registers } = this.#stop;
		const rip = registers.get("rip");
		if (isInVsyscallPage(rip)) return this.#executed(rip);
		const { image } = this.#options;
		for (const [offset, number] of image.entryStores) {
			if ((rip & 0xfffn) !== BigInt(offset & 0xfff)) continue;
			if (imageAddress(tid, image) === rip - BigInt(offset)) return this.#entryFault(number);
		}
		return this.#reads.read(this.#stop);
	}

	/** An instruction fetch in the page. */
	#executed(rip: bigint): boolean {
		const stop = this.#stop;
		const { mode, host } = this.#options.policy;
		const number = vsyscallAt(rip);
		if (mode === "none") {
			stop.log(LOG.none);
			return stop.deliver(linux.SEGV_MAPERR, rip, fetchFault(rip));
		}
		if (number === undefined) return this.#misaligned(rip);
		this.#forgetPatch(number);
		const returnAddress = stop.word(stop.registers.get("rsp"));
		if (host !== "none") return this.#refusedByHost(number, returnAddress);
		this.#patcher.countTrap();
		if (returnAddress === undefined) {
			stop.log(LOG.badStack);
			return stop.deliver(linux.SI_KERNEL, 0n);
		}
		this.#patch(number, returnAddress, false);
		const outcome = this.#outcome(number);
		this.#observe(number, outcome.kind === "returned" ? outcome.rax : undefined);
		return this.#finish(outcome, returnAddress);
	}

	/** The host has tried the call: what it says of pointers and stack stands, but in `native`. */
	#refusedByHost(number: VsyscallNumber, returnAddress: bigint | undefined): boolean {
		if (this.#options.policy.mode === "native" && returnAddress !== undefined) {
			return this.#finish({ kind: "fault" }, returnAddress);
		}
		if (this.#stop.info.code === linux.SI_KERNEL) this.#restoreTime(number);
		return false;
	}

	/** A patched call site has its own idea of the entry's address in rax, when its call comes to the page after all. */
	#forgetPatch(number: VsyscallNumber): void {
		const { tid, process, registers } = this.#stop;
		if (!this.#patcher.isEntry(process, tid, registers.get("rax"))) return;
		registers.set("rax", VSYSCALL_ADDR(number));
		this.#stop.writeRegisters();
	}

	/** Returns from a call, or delivers the fault that it is in this mode; the registers are as at the call. */
	#finish(outcome: CallOutcome, returnAddress: bigint): boolean {
		const stop = this.#stop;
		const { registers } = stop;
		const isNative = this.#options.policy.mode === "native";
		if (outcome.kind !== "returned" && !isNative) {
			if (outcome.kind === "not-user-memory") {
				const { pointer } = outcome;
				stop.writeRegisters();
				return stop.deliver(linux.SEGV_MAPERR, pointer, storeFault(pointer));
			}
			stop.log(LOG.fault);
			registers.set("rax", -ENOSYS);
			stop.writeRegisters();
			return stop.deliver(linux.SI_KERNEL, 0n);
		}
		registers.set("rax", outcome.kind === "returned" ? outcome.rax : -EFAULT);
		registers.set("rip", returnAddress);
		registers.set("rsp", registers.get("rsp") + 8n);
		return stop.takeBack();
	}

	/** A store of an entry of the image has faulted: the call becomes one to the page. */
	#entryFault(number: VsyscallNumber): boolean {
		const { tid, registers } = this.#stop;
		const frame = new Uint8Array(ENTRY_FRAME.returnAddress + 8);
		const top = registers.get("rsp");
		if (readMemory(tid, top, frame) !== frame.length) return false;
		const reader = new ByteReader(frame);
		for (const name of ["rcx", "rdx", "r8", "r9", "r10", "r11", "rax"] as const) {
			registers.set(name, reader.u64(ENTRY_FRAME[name]));
		}
		registers.set("eflags", flagsOf(registers.get("eflags"), reader.u64(ENTRY_FRAME.flags)));
		registers.set("rsp", top + BigInt(ENTRY_FRAME.returnAddress));
		registers.set("rip", VSYSCALL_ADDR(number));
		return this.#finish(this.#outcome(number), reader.u64(ENTRY_FRAME.returnAddress));
	}

	#misaligned(rip: bigint): boolean {
		const stop = this.#stop;
		const copy = this.#options.policy.mode === "native" ? stop.copy() : undefined;
		if (copy !== undefined) {
			stop.registers.set("rip", copy + (rip - VSYSCALL_START));
			return stop.takeBack();
		}
		stop.log(LOG.misaligned);
		return stop.deliver(linux.SI_KERNEL, 0n);
	}

	/** int3 in the copy of the page, which `native` executes in the page's stead. */
	#trap(): boolean {
		const { registers } = this.#stop;
		const copy = this.#stop.copy();
		const rip = registers.get("rip");
		if (copy === undefined || rip < copy || rip > copy + 0x1000n) return false;
		registers.set("rip", rip - copy + VSYSCALL_START);
		this.#stop.writeRegisters();
		return false;
	}

	/** What a call returns at a seccomp stop; undefined when the host's own answer is right. */
	#answer(number: VsyscallNumber, isReachable: boolean): bigint | undefined {
		const isNative = this.#options.policy.mode === "native";
		const isHosts = number === 2 || !this.#options.clock.isAsked;
		if (isHosts && !isNative) return undefined;
		const outcome = this.#outcome(number);
		if (outcome.kind === "returned") return outcome.rax;
		// The host meets the same pointer, and raises the fault itself.
		return isNative && isReachable ? -EFAULT : undefined;
	}

	/** The host has stored its own time before it met a bad pointer to the zone. */
	#restoreTime(number: VsyscallNumber): void {
		this.#stop.log(LOG.fault);
		const rdi = this.#stop.registers.get("rdi");
		if (number === 0 && rdi !== 0n) answerCall({ number, rdi, rsi: 0n }, this.#world());
	}

	#patch(number: VsyscallNumber, returnAddress: bigint, hasLostRax: boolean): void {
		const { process, tid, registers } = this.#stop;
		if (!this.#options.policy.patches) return;
		this.#patcher.patch(process, tid, { number, returnAddress, registers, hasLostRax });
	}

	/** @param result of a call that was answered here */
	#observe(number: VsyscallNumber, result: bigint | undefined): void {
		const { tid, process, registers } = this.#stop;
		const [rdi, rsi] = [registers.get("rdi"), registers.get("rsi")];
		this.#options.observer?.pageCall({ tid, pid: process, number, arguments: [rdi, rsi], result });
	}

	/** The call of the stop, made. */
	#outcome(number: VsyscallNumber): CallOutcome {
		const { registers } = this.#stop;
		return answerCall({ number, rdi: registers.get("rdi"), rsi: registers.get("rsi") }, this.#world());
	}

	#world(): ReturnType<typeof callWorld> {
		return callWorld(this.#stop.tid, this.#options.clock);
	}
}

/** The flags that an entry has saved: AH of lahf, and OF in AL. */
const flagsOf = (current: bigint, saved: bigint): bigint => {
	const ARITHMETIC = 0xd5n;
	const OVERFLOW = 0x800n;
	const low = (saved >> 8n) & ARITHMETIC;
	const overflow = (saved & 0xffn) === 1n ? OVERFLOW : 0n;
	return (current & ~(ARITHMETIC | OVERFLOW)) | low | overflow;
};
