/** A stop of a task that has to do with the vsyscall page: its registers, its signal, and the ways to let the task go on. */
import { ByteReader } from "../../bytes.ts";
import { SIGSEGV } from "../../linux/constants.ts";
import { readProcFile } from "../../linux/proc-file.ts";
import { readRegisters, readSignalInfo, resume, writeRegisters, writeSignalInfo } from "../../linux/ptrace.ts";
import { type RegisterName, Registers } from "../../linux/registers.ts";
import { readMemory } from "../../linux/remote-memory.ts";
import { SignalInfo } from "../../linux/signal-info.ts";
import type { Image } from "../../vdso/image.ts";
import { imageAddress } from "../install/image-address.ts";
import type { ProcessIds } from "../process-ids.ts";
import type { CallRemotely } from "../remote-call.ts";
import { SegvActions, setAction } from "./segv-actions.ts";
import { type FaultFrame, HandlerFrames } from "./signal-frame.ts";

export interface PageStopOptions {
	readonly image: Image;
	readonly trace: (message: string) => void;
	readonly processes: ProcessIds;
	readonly callRemotely: CallRemotely;
}

const SCRATCH_DISTANCE = 1024n;

export class PageStop {
	readonly #options: PageStopOptions;
	readonly actions: SegvActions = new SegvActions();
	readonly frames: HandlerFrames = new HandlerFrames();
	readonly registers: Registers = new Registers();
	readonly info: SignalInfo = new SignalInfo();
	#tid = 0;

	constructor(options: PageStopOptions) {
		this.#options = options;
	}

	/** @returns whether the task is there */
	enter(tid: number): boolean {
		this.#tid = tid;
		return readRegisters(tid, this.registers);
	}

	/** The same at a signal-delivery-stop. */
	enterSignal(tid: number): boolean {
		return this.enter(tid) && readSignalInfo(tid, this.info.bytes);
	}

	get tid(): number {
		return this.#tid;
	}

	get process(): number {
		return this.#options.processes.of(this.#tid);
	}

	/** A word of the program's memory; undefined where it cannot be read. */
	word(address: bigint): bigint | undefined {
		const word = new Uint8Array(8);
		return readMemory(this.#tid, address, word) === word.length ? new ByteReader(word).u64(0) : undefined;
	}

	/** Where the process has its copy of the page; undefined when it has none. */
	copy(): bigint | undefined {
		const { image } = this.#options;
		const start = image.pageCopy === undefined ? undefined : imageAddress(this.#tid, image);
		return image.pageCopy === undefined || start === undefined ? undefined : start + BigInt(image.pageCopy);
	}

	writeRegisters(): void {
		writeRegisters(this.#tid, this.registers);
	}

	/** Lets the signal of the stop be delivered with this siginfo. @returns false: it was not taken back */
	deliver(code: number, address: bigint, frame?: FaultFrame): false {
		this.info.signal = SIGSEGV;
		this.info.code = code;
		this.info.address = address;
		writeSignalInfo(this.#tid, this.info.bytes);
		if (frame !== undefined) this.frames.expect(this.#tid, frame);
		return false;
	}

	/** Resumes without the signal, having put right what the kernel changed when it forced it. @returns true: it was taken back */
	takeBack(): true {
		const tid = this.#tid;
		const { image, callRemotely } = this.#options;
		const registers = this.registers.copy();
		registers.set("orig_rax", -1n);
		writeRegisters(tid, registers);
		const action = this.actions.repairMask(this.process, tid);
		const start = action === undefined ? undefined : imageAddress(tid, image);
		if (action === undefined || start === undefined) {
			resume(tid, 0);
			return true;
		}
		const script = setAction(tid, action, (registers.get("rsp") - SCRATCH_DISTANCE) & ~15n);
		const place = { address: start + BigInt(image.syscallOffset), architecture: "x86-64" } as const;
		callRemotely(tid, place, script, () => {
			writeRegisters(tid, registers);
			resume(tid, 0);
		});
		return true;
	}

	/** The kernel's own line, without its hint at the kernel parameter: warn_bad_vsyscall, vsyscall_64.c, v6.18. */
	log(message: string): void {
		const comm = readProcFile(this.#tid, "comm");
		const name = comm === undefined ? "?" : Buffer.from(comm).toString("latin1").trimEnd();
		const value = (register: RegisterName): string => this.registers.get(register).toString(16);
		this.#options.trace(
			`${name}[${this.process}] ${message} ip:${value("rip")} cs:${value("cs")} sp:${value("rsp")} ax:${value("rax")} si:${value("rsi")} di:${value("rdi")}`,
		);
	}
}
