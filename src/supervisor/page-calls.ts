/**
 * The vsyscall page of the processes of a run: what happens when one of them calls, executes or reads it.
 *
 *     host serves the page   call -> seccomp stop at the entry: only "skip" and rax may be set there
 *                            anything else -> SIGSEGV
 *     host does not          everything -> SIGSEGV
 *
 * The answers are those of vsyscall/emulate.ts. What the program must see as a fault is delivered as the very signal that the
 * kernel has forced, with the registers and the siginfo of the mode; what it must not see is taken back (segv-actions.ts).
 */
import type { WallClock } from "../clock/clock.ts";
import * as linux from "../linux/constants.ts";
import {
	eventMessage,
	interrupt,
	readRegisters,
	readSignalInfo,
	resume,
	singleStep,
	writeRegisters,
	writeSignalInfo,
} from "../linux/ptrace.ts";
import { readProcFile } from "../linux/proc-file.ts";
import { type RegisterName, Registers } from "../linux/registers.ts";
import { readMemory } from "../linux/remote-memory.ts";
import { SEGV_ACTION } from "../linux/seccomp.ts";
import { SignalInfo } from "../linux/signal-info.ts";
import { ByteReader } from "../bytes.ts";
import { ENTRY_FRAME } from "../vdso/page-entries.ts";
import type { Image } from "../vdso/image.ts";
import { answerCall, type CallOutcome } from "../vsyscall/emulate.ts";
import { finishLoad, type Load, planLoad } from "../vsyscall/load.ts";
import type { PagePolicy } from "../vsyscall/mode.ts";
import { isInVsyscallPage, VSYSCALL_ADDR, VSYSCALL_START, type VsyscallNumber, vsyscallAt } from "../vsyscall/page.ts";
import { CallPatcher, type PageStatistics } from "./call-patcher.ts";
import { callWorld } from "./call-world.ts";
import { imageAddress } from "./image-address.ts";
import type { RemoteScript } from "./remote-call.ts";
import { SegvActions, setAction } from "./segv-actions.ts";
import { type FaultFrame, writeFaultFrame } from "./signal-frame.ts";

export interface PageCallOptions {
	readonly policy: PagePolicy;
	readonly image: Image;
	readonly clock: () => WallClock;
	readonly trace: (message: string) => void;
	readonly processOf: (tid: number) => number;
	/** Runs system calls on behalf of a stopped task; then `finished` is called, and must resume it. */
	readonly callRemotely: (tid: number, instruction: bigint, script: RemoteScript<void>, finished: () => void) => void;
}

/** What a task is in the middle of. */
type Pending =
	/** The call was skipped; at its next stop the task is sent to where nothing is mapped. */
	| { readonly kind: "refused"; readonly entry: bigint; readonly rsp: bigint; readonly rax: bigint }
	/** The next SIGSEGV is that of the refused call. */
	| { readonly kind: "faulting"; readonly entry: bigint; readonly rsp: bigint; readonly rax: bigint }
	/** The frame of a handler is to be corrected before its first instruction. */
	| { readonly kind: "handler"; readonly frame: FaultFrame }
	/** A load is executed, its address moved to the copy of the page. */
	| { readonly kind: "load"; readonly load: Load };

const EFAULT = 14n;
const ENOSYS = 38n;
const SIGTRAP = 5;
const TRAP_FLAG = 0x100n;
const PAGE_FAULT = 14;
/** Bits of a page fault's error code: SDM vol. 3A, 4.7. */
const FETCH_ERROR = 0x15;
const WRITE_ERROR = 6;
/** Never mapped, and a fault of the same kind as one in the page. */
const NOWHERE = VSYSCALL_START + 0x1000n;
const MAX_INSTRUCTION = 15;
const CALL_THROUGH_RAX = 0xd0ff;
const SCRATCH_DISTANCE = 1024n;

const LOG = {
	none: "vsyscall attempted with vsyscall=none",
	misaligned: "misaligned vsyscall (exploit attempt or buggy program)",
	badStack: "vsyscall with bad stack (exploit attempt?)",
	fault: "vsyscall fault (exploit attempt?)",
	read: "vsyscall read attempt denied",
} as const;

export class PageCalls {
	readonly #options: PageCallOptions;
	readonly #patcher: CallPatcher;
	readonly #actions = new SegvActions();
	readonly #pending = new Map<number, Pending>();
	readonly #registers = new Registers();
	readonly #info = new SignalInfo();

	constructor(options: PageCallOptions) {
		this.#options = options;
		this.#patcher = new CallPatcher(options.image, options.trace);
	}

	get statistics(): PageStatistics {
		return this.#patcher.statistics;
	}

	forked(parent: number, child: number): void {
		this.#actions.forked(this.#processOf(parent), child);
	}

	exec(tid: number): void {
		this.#pending.delete(tid);
		this.#patcher.forget(tid);
		this.#actions.exec(tid);
	}

	ended(tid: number): void {
		this.#pending.delete(tid);
		this.#patcher.forget(tid);
		this.#actions.ended(tid);
	}

	/** A stop by the seccomp filter. Resumes the task. */
	seccompStop(tid: number): void {
		if (!readRegisters(tid, this.#registers)) return;
		const registers = this.#registers;
		if (this.#options.policy.tracesSegvActions && eventMessage(tid) === SEGV_ACTION) {
			this.#actions.remember(this.#processOf(tid), tid, registers.get("rsi"));
			resume(tid, 0);
			return;
		}
		const number = vsyscallAt(registers.get("rip"));
		const returnAddress = this.#word(tid, registers.get("rsp"));
		if (number === undefined || returnAddress === undefined) {
			resume(tid, 0);
			return;
		}
		this.#patcher.countTrap();
		const { mode } = this.#options.policy;
		if (mode === "none") return this.#refuse(tid, number, returnAddress);
		const outcome = this.#answer(tid, number);
		if (outcome !== undefined) {
			registers.set("orig_rax", -1n);
			registers.set("rax", outcome);
			writeRegisters(tid, registers);
		}
		this.#patch(tid, { number, returnAddress, registers, hasLostRax: true });
		resume(tid, 0);
	}

	/**
	 * A signal-delivery-stop.
	 *
	 * @returns the signal to deliver; undefined when the task has been resumed
	 */
	signalStop(tid: number, signal: number): number | undefined {
		const pending = this.#pending.get(tid);
		if (pending === undefined && signal !== linux.SIGSEGV && signal !== SIGTRAP && signal !== linux.SIGBUS)
			return signal;
		if (!readRegisters(tid, this.#registers) || !readSignalInfo(tid, this.#info.bytes)) return signal;
		const isTakenBack = pending === undefined ? this.#signal(tid, signal) : this.#signalWhile(tid, pending, signal);
		if (isTakenBack) return undefined;
		const { signal: delivered } = this.#info;
		if (delivered === linux.SIGSEGV) this.#actions.delivered(this.#processOf(tid));
		return delivered;
	}

	/** @returns whether the signal was taken back */
	#signal(tid: number, signal: number): boolean {
		if (signal === SIGTRAP) return this.#trap(tid);
		return this.#info.isFromKernel && this.#fault(tid);
	}

	#signalWhile(tid: number, pending: Pending, signal: number): boolean {
		this.#pending.delete(tid);
		if (pending.kind === "load") return this.#loaded(tid, signal, pending.load);
		if (pending.kind === "handler") return this.#signal(tid, signal);
		if (pending.kind === "faulting" && signal === linux.SIGSEGV) this.#faulted(tid, pending);
		else this.#returnToCall(tid, pending);
		return false;
	}

	/** Any stop in which the task is about to run on: what was left to do is done. */
	beforeResume(tid: number): void {
		const pending = this.#pending.get(tid);
		if (pending?.kind === "refused") {
			if (!readRegisters(tid, this.#registers)) return;
			this.#registers.set("rsp", pending.rsp);
			this.#registers.set("rip", NOWHERE);
			writeRegisters(tid, this.#registers);
			this.#pending.set(tid, { ...pending, kind: "faulting" });
		}
		if (pending?.kind === "handler") {
			this.#pending.delete(tid);
			if (readRegisters(tid, this.#registers)) writeFaultFrame(tid, this.#registers, pending.frame);
		}
	}

	/** A fault that the kernel has forced a signal for. @returns whether it was taken back */
	#fault(tid: number): boolean {
		const rip = this.#registers.get("rip");
		if (isInVsyscallPage(rip)) return this.#executed(tid, rip);
		const { entryStores } = this.#options.image;
		for (const [offset, number] of entryStores) {
			if ((rip & 0xfffn) !== BigInt(offset & 0xfff)) continue;
			if (imageAddress(tid, this.#options.image) === rip - BigInt(offset)) return this.#entryFault(tid, number);
		}
		return this.#read(tid);
	}

	/** An instruction fetch in the page. */
	#executed(tid: number, rip: bigint): boolean {
		const { mode, host } = this.#options.policy;
		const number = vsyscallAt(rip);
		if (mode === "none") {
			this.#log(tid, LOG.none);
			return this.#deliver(tid, linux.SEGV_MAPERR, rip, { trapno: PAGE_FAULT, error: FETCH_ERROR, cr2: rip });
		}
		if (number === undefined) return this.#misaligned(tid, rip);
		this.#forgetPatch(tid, number);
		const registers = this.#registers;
		const returnAddress = this.#word(tid, registers.get("rsp"));
		if (host !== "none") return this.#refusedByHost(tid, number, returnAddress);
		this.#patcher.countTrap();
		if (returnAddress === undefined) {
			this.#log(tid, LOG.badStack);
			return this.#deliver(tid, linux.SI_KERNEL, 0n);
		}
		this.#patch(tid, { number, returnAddress, registers, hasLostRax: false });
		return this.#finish(tid, answerCall(this.#call(number), this.#world(tid)), returnAddress);
	}

	/** The host has tried the call: what it says of pointers and stack stands, but in `native`. */
	#refusedByHost(tid: number, number: VsyscallNumber, returnAddress: bigint | undefined): boolean {
		if (this.#options.policy.mode === "native" && returnAddress !== undefined) {
			return this.#finish(tid, { kind: "fault" }, returnAddress);
		}
		if (this.#info.code === linux.SI_KERNEL) this.#restoreTime(tid, number);
		return false;
	}

	/** A patched call site has its own idea of the entry's address in rax, when its call comes to the page after all. */
	#forgetPatch(tid: number, number: VsyscallNumber): void {
		if (!this.#patcher.isEntry(this.#processOf(tid), tid, this.#registers.get("rax"))) return;
		this.#registers.set("rax", VSYSCALL_ADDR(number));
		writeRegisters(tid, this.#registers);
	}

	/** Returns from a call, or delivers the fault that it is in this mode; the registers are as at the call. */
	#finish(tid: number, outcome: CallOutcome, returnAddress: bigint): boolean {
		const registers = this.#registers;
		const isNative = this.#options.policy.mode === "native";
		if (outcome.kind !== "returned" && !isNative) {
			if (outcome.kind === "not-user-memory") {
				const { pointer } = outcome;
				const frame = { trapno: PAGE_FAULT, error: WRITE_ERROR, cr2: pointer };
				writeRegisters(tid, registers);
				return this.#deliver(tid, linux.SEGV_MAPERR, pointer, frame);
			}
			this.#log(tid, LOG.fault);
			registers.set("rax", -ENOSYS);
			writeRegisters(tid, registers);
			return this.#deliver(tid, linux.SI_KERNEL, 0n);
		}
		registers.set("rax", outcome.kind === "returned" ? outcome.rax : -EFAULT);
		registers.set("rip", returnAddress);
		registers.set("rsp", registers.get("rsp") + 8n);
		return this.#takeBack(tid);
	}

	/** A store of an entry of the image has faulted: the call becomes one to the page. */
	#entryFault(tid: number, number: VsyscallNumber): boolean {
		const registers = this.#registers;
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
		const outcome = answerCall(this.#call(number), this.#world(tid));
		return this.#finish(tid, outcome, reader.u64(ENTRY_FRAME.returnAddress));
	}

	#misaligned(tid: number, rip: bigint): boolean {
		const { mode } = this.#options.policy;
		const copy = this.#copy(tid);
		if (mode === "native" && copy !== undefined) {
			this.#registers.set("rip", copy + (rip - VSYSCALL_START));
			return this.#takeBack(tid);
		}
		this.#log(tid, LOG.misaligned);
		return this.#deliver(tid, linux.SI_KERNEL, 0n);
	}

	/** int3 in the copy of the page, which `native` executes in the page's stead. */
	#trap(tid: number): boolean {
		if (this.#options.policy.mode !== "native") return false;
		const copy = this.#copy(tid);
		const rip = this.#registers.get("rip");
		if (copy === undefined || rip < copy || rip > copy + 0x1000n) return false;
		this.#registers.set("rip", rip - copy + VSYSCALL_START);
		writeRegisters(tid, this.#registers);
		return false;
	}

	/** A load from the page, where the mode lets it work and the host does not. */
	#read(tid: number): boolean {
		const { policy } = this.#options;
		if (!isInVsyscallPage(this.#info.address) && this.#info.code !== linux.SI_KERNEL) return false;
		const copy = this.#copy(tid);
		if (policy.copy === "none" || copy === undefined) {
			if (isInVsyscallPage(this.#info.address)) this.#log(tid, LOG.read);
			return false;
		}
		const instruction = new Uint8Array(MAX_INSTRUCTION);
		const count = readMemory(tid, this.#registers.get("rip"), instruction);
		const load = planLoad(instruction.subarray(0, Math.max(0, count)), (name) => this.#registers.get(name), copy);
		if (load === undefined) return false;
		if (load.kind === "moved") {
			this.#registers.set(load.register, load.value);
			this.#registers.set("rip", this.#registers.get("rip") + BigInt(load.length));
			return this.#takeBack(tid);
		}
		for (const [name, value] of load.during) this.#registers.set(name, value);
		writeRegisters(tid, this.#registers);
		this.#pending.set(tid, { kind: "load", load });
		singleStep(tid, 0);
		return true;
	}

	#loaded(tid: number, signal: number, load: Load): boolean {
		const registers = this.#registers;
		for (const [name, value] of finishLoad(load, (wanted) => registers.get(wanted))) {
			registers.set(name, value);
		}
		const isStep = signal === SIGTRAP && this.#info.code === linux.TRAP_TRACE;
		if (isStep && (registers.get("eflags") & TRAP_FLAG) === 0n) return this.#takeBack(tid);
		writeRegisters(tid, registers);
		return false;
	}

	/** The host serves the page, and the program is not to know. */
	#refuse(tid: number, number: VsyscallNumber, returnAddress: bigint): void {
		this.#log(tid, LOG.none);
		const registers = this.#registers;
		const entry = VSYSCALL_ADDR(number);
		const code = new Uint8Array(2);
		const isThroughRax =
			readMemory(tid, returnAddress - 2n, code) === 2 && new ByteReader(code).u16(0) === CALL_THROUGH_RAX;
		// The host has overwritten rax. What most call sites had in it is known.
		const rax = isThroughRax ? entry : registers.get("rax");
		this.#pending.set(tid, { kind: "refused", entry, rsp: registers.get("rsp"), rax });
		registers.set("orig_rax", -1n);
		registers.set("rax", rax);
		writeRegisters(tid, registers);
		interrupt(tid);
		resume(tid, 0);
	}

	/** The fault of a refused call has come: it becomes the one that the page would have had. */
	#faulted(tid: number, { entry, rax }: Pending & { kind: "faulting" }): void {
		this.#registers.set("rip", entry);
		this.#registers.set("rax", rax);
		writeRegisters(tid, this.#registers);
		this.#deliver(tid, linux.SEGV_MAPERR, entry, { trapno: PAGE_FAULT, error: FETCH_ERROR, cr2: entry });
	}

	/** Another signal comes first: when its handler returns, the call is made again. */
	#returnToCall(tid: number, { entry, rsp, rax }: Pending & { kind: "refused" | "faulting" }): void {
		this.#registers.set("rip", entry);
		this.#registers.set("rax", rax);
		this.#registers.set("rsp", rsp);
		writeRegisters(tid, this.#registers);
	}

	/** Lets the signal of the stop be delivered with this siginfo. @returns false */
	#deliver(tid: number, code: number, address: bigint, frame?: FaultFrame): false {
		this.#info.signal = linux.SIGSEGV;
		this.#info.code = code;
		this.#info.address = address;
		writeSignalInfo(tid, this.#info.bytes);
		if (frame !== undefined) {
			this.#pending.set(tid, { kind: "handler", frame });
			interrupt(tid);
		}
		return false;
	}

	/** Resumes without the signal, having put right what the kernel changed when it forced it. @returns true */
	#takeBack(tid: number): true {
		const registers = this.#registers.copy();
		registers.set("orig_rax", -1n);
		writeRegisters(tid, registers);
		const action = this.#actions.repairMask(this.#processOf(tid), tid);
		const image = action === undefined ? undefined : imageAddress(tid, this.#options.image);
		if (action === undefined || image === undefined) {
			resume(tid, 0);
			return true;
		}
		const script = setAction(tid, action, (registers.get("rsp") - SCRATCH_DISTANCE) & ~15n);
		this.#options.callRemotely(tid, image + BigInt(this.#options.image.syscallOffset), script, () => {
			writeRegisters(tid, registers);
			resume(tid, 0);
		});
		return true;
	}

	/** What a call returns at a seccomp stop; undefined when the host's own answer is right. */
	#answer(tid: number, number: VsyscallNumber): bigint | undefined {
		const isNative = this.#options.policy.mode === "native";
		const isHosts = number === 2 || this.#options.clock().kind === "host";
		if (isHosts && !isNative) return undefined;
		const outcome = answerCall(this.#call(number), this.#world(tid));
		if (outcome.kind === "returned") return outcome.rax;
		// The host meets the same pointer, and raises the fault itself.
		return isNative ? -EFAULT : undefined;
	}

	/** The host has stored its own time before it met a bad pointer to the zone. */
	#restoreTime(tid: number, number: VsyscallNumber): void {
		this.#log(tid, LOG.fault);
		const { rdi } = this.#call(number);
		if (number === 0 && rdi !== 0n) answerCall({ number, rdi, rsi: 0n }, this.#world(tid));
	}

	#patch(tid: number, call: Parameters<CallPatcher["patch"]>[2]): void {
		if (this.#options.policy.patches) this.#patcher.patch(this.#processOf(tid), tid, call);
	}

	#call(number: VsyscallNumber): { number: VsyscallNumber; rdi: bigint; rsi: bigint } {
		return { number, rdi: this.#registers.get("rdi"), rsi: this.#registers.get("rsi") };
	}

	#world(tid: number): ReturnType<typeof callWorld> {
		return callWorld(tid, this.#options.clock());
	}

	#word(tid: number, address: bigint): bigint | undefined {
		const word = new Uint8Array(8);
		return readMemory(tid, address, word) === word.length ? new ByteReader(word).u64(0) : undefined;
	}

	#copy(tid: number): bigint | undefined {
		const { pageCopy } = this.#options.image;
		const image = pageCopy === undefined ? undefined : imageAddress(tid, this.#options.image);
		return pageCopy === undefined || image === undefined ? undefined : image + BigInt(pageCopy);
	}

	#processOf(tid: number): number {
		return this.#options.processOf(tid);
	}

	/** The kernel's own line: warn_bad_vsyscall, vsyscall_64.c, v6.18. */
	#log(tid: number, message: string): void {
		const comm = readProcFile(tid, "comm");
		const name = comm === undefined ? "?" : Buffer.from(comm).toString("latin1").trimEnd();
		const value = (register: RegisterName): string => this.#registers.get(register).toString(16);
		this.#options.trace(
			`${name}[${this.#processOf(tid)}] ${message} ip:${value("rip")} cs:${value("cs")} sp:${value("rsp")} ax:${value("rax")} si:${value("rsi")} di:${value("rdi")}`,
		);
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
