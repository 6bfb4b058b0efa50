/**
 * What a supervisor does in a run whose calls are counted or traced: it gives every process a key, and takes down itself the calls
 * that it answers. The rest is done by the image (vdso/observer), without a stop.
 */
import { isInVsyscallPage, VSYSCALLS, type VsyscallNumber } from "../../vsyscall/page.ts";
import { readRegisters } from "../../linux/ptrace.ts";
import { Registers } from "../../linux/registers.ts";
import type { Call } from "../../observation/calls.ts";
import type { Image } from "../../vdso/image.ts";
import type { ObservedFrame } from "../install/frame.ts";
import { imageAddress } from "../install/image-address.ts";
import { isProcess } from "../process-facts.ts";
import type { StoppedCall } from "../time-calls/stopped-call.ts";
import type { ObservationFile } from "./observation-file.ts";
import { ObservedProcesses } from "./processes.ts";

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
	/** Told of every thread that was made, before its first instruction, with the base of its FS. */
	readonly threadMade: (tid: number, fsBase: bigint) => void;
	/** Told of every task that is about to exit. */
	readonly exits: (tid: number) => void;
}

export class Observer {
	readonly file: ObservationFile;
	readonly processes: ObservedProcesses = new ObservedProcesses();
	readonly #image: Image;
	readonly #stopped: ObserverOptions["stopped"];
	/** A task is about to exit, and still has its memory. */
	readonly exits: (tid: number) => void;
	readonly #threadMade: ObserverOptions["threadMade"];
	readonly #seen = new Set<number>();

	constructor({ file, image, stopped, exits, threadMade }: ObserverOptions) {
		this.file = file;
		this.#image = image;
		this.#stopped = stopped;
		this.exits = exits;
		this.#threadMade = threadMade;
	}

	/** The calls that the image counts or records, by number. */
	get calls(): readonly Call[] {
		return this.#image.observation?.calls ?? [];
	}

	/** An image is about to be installed in a process. @returns what that needs; undefined for one that does not count or trace */
	installs(pid: number, { bits, observation }: Image): ObservedFrame | undefined {
		const { serial } = this.processes.add(pid, { isForked: false, bits });
		return observation === undefined ? undefined : this.file.frame(serial);
	}

	/** A stop of a task, perhaps its first. */
	seen(tid: number): void {
		if (this.#seen.has(tid)) return;
		this.#seen.add(tid);
		const { observation } = this.#image;
		const registers = new Registers();
		if (!isProcess(tid)) {
			if (readRegisters(tid, registers)) this.#threadMade(tid, registers.get("fs_base"));
			return;
		}
		const address = imageAddress(tid, this.#image);
		if (address !== undefined && observation !== undefined) this.processes.adopt(tid, address, observation);
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
				name: call.name,
				clock: call.name === "clock_gettime" ? stopped.int(0) : undefined,
			},
			arguments: [0, 1, 2, 3].map((index) => stopped.argument(index)),
			result,
		});
	}

	/** A call of the vsyscall page. */
	pageCall({ number, ...rest }: Omit<StoppedObservation, "call"> & { readonly number: VsyscallNumber }): void {
		this.#stopped({ ...rest, call: { way: "page", name: VSYSCALLS[number].name } });
	}
}
