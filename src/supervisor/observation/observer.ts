/**
 * What a supervisor does in a run whose calls are counted or traced: it gives every process a key, and takes down itself the calls
 * that it answers. The rest is done by the image (vdso/observer), without a stop.
 */
import { isInVsyscallPage, VSYSCALLS, type VsyscallNumber } from "../../vsyscall/page.ts";
import { readRegisters } from "../../linux/ptrace.ts";
import { Registers, USER32_CS } from "../../linux/registers.ts";
import { tableName } from "../../syscalls/time-calls.ts";
import type { Call, Calls } from "../../observation/calls.ts";
import type { HostFunction } from "../../vdso/host.ts";
import type { Image } from "../../vdso/image.ts";
import type { ObservedFrame } from "../install/frame.ts";
import { imageAddress } from "../install/image-address.ts";
import { isProcess } from "../process-facts.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";
import type { ObservationFile } from "./observation-file.ts";
import { type ObservedProcess, ObservedProcesses } from "./processes.ts";

/** A call that the supervisor has answered, or let pass. */
export interface StoppedObservation {
	readonly tid: number;
	readonly pid: number;
	readonly call: Call;
	/** In their order; those of a call of the page are rdi and rsi. */
	readonly arguments: readonly bigint[];
	/** Undefined when the kernel answers. */
	readonly result: bigint | undefined;
}

export interface ObserverOptions {
	readonly file: ObservationFile;
	readonly image: Image;
	readonly stopped: (call: StoppedObservation) => void;
	/** Told of every thread that was made, before its first instruction, with the base of its FS, of a 32-bit one of GS. */
	readonly threadMade: (tid: number, base: bigint) => void;
	/** Told of every task that is about to exit. */
	readonly exits: (tid: number) => void;
}

export class Observer {
	readonly file: ObservationFile;
	readonly processes: ObservedProcesses = new ObservedProcesses();
	/** Those that processes of the run may have. */
	readonly #images = new Set<Image>();
	readonly #calls = new Map<number, Call>();
	readonly #stopped: ObserverOptions["stopped"];
	/** A task is about to exit, and still has its memory. */
	readonly exits: (tid: number) => void;
	readonly #threadMade: ObserverOptions["threadMade"];
	readonly #seen = new Set<number>();

	constructor({ file, image, stopped, exits, threadMade }: ObserverOptions) {
		this.file = file;
		this.#add(image);
		this.#stopped = stopped;
		this.exits = exits;
		this.#threadMade = threadMade;
	}

	/** The calls that the images count or record, by number. More are known when the first 32-bit program has been executed. */
	get calls(): Calls {
		return this.#calls;
	}

	/** The programs that have not reached the file. */
	get unreached(): readonly ObservedProcess[] {
		return [...this.processes.all].filter((process) => !this.isReached(process));
	}

	/** Whether what a process calls in user space could be counted or recorded. A forked one has what its parent had. */
	isReached({ serial, isForked }: ObservedProcess): boolean {
		return isForked || this.file.isMapped(serial);
	}

	/** What the host's vDSO of 32-bit programs exports; empty when none has been executed. */
	get narrowHost(): readonly HostFunction[] {
		return [...this.#images].find(({ bits }) => bits === 32)?.observation?.hostFunctions ?? [];
	}

	#add(image: Image): void {
		if (this.#images.has(image)) return;
		this.#images.add(image);
		for (const [number, call] of image.observation?.calls ?? []) this.#calls.set(number, call);
	}

	/** An image is about to be installed in a process. @returns what that needs; undefined for one that does not count or trace */
	installs(pid: number, image: Image): ObservedFrame | undefined {
		const { bits, observation } = image;
		this.#add(image);
		const { serial } = this.processes.add(pid, { isForked: false, bits });
		return observation === undefined ? undefined : this.file.frame(serial);
	}

	/** A stop of a task, perhaps its first. */
	seen(tid: number): void {
		if (this.#seen.has(tid)) return;
		this.#seen.add(tid);
		const registers = new Registers();
		if (!isProcess(tid)) {
			if (!readRegisters(tid, registers)) return;
			const base = registers.get("cs") === USER32_CS ? "gs_base" : "fs_base";
			this.#threadMade(tid, registers.get(base));
			return;
		}
		for (const image of this.#images) {
			const address = imageAddress(tid, image);
			if (address !== undefined) return this.processes.adopt(tid, address, image);
		}
	}

	ended(tid: number): void {
		this.#seen.delete(tid);
		this.processes.ended(tid);
	}

	/** A system call that the filter has stopped. */
	systemCall(stopped: StoppedCall, pid: number, result: bigint | undefined): void {
		const { tid, call, registers } = stopped;
		const isPageCall = isInVsyscallPage(registers.get("rip"));
		this.#stopped({
			tid,
			pid,
			call: {
				way: isPageCall ? "page" : "syscall",
				name: tableName(call),
				bits: stopped.architecture === "i386" ? 32 : 64,
				clock: call.name === "clock_gettime" ? stopped.int(0) : undefined,
			},
			arguments: [0, 1, 2, 3].map((index) => stopped.argument(index)),
			result,
		});
	}

	/** A call of the vsyscall page. */
	pageCall({ number, ...rest }: Omit<StoppedObservation, "call"> & { readonly number: VsyscallNumber }): void {
		this.#stopped({ ...rest, call: { way: "page", bits: 64, name: VSYSCALLS[number].name } });
	}
}
