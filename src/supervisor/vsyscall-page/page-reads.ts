/**
 * Loads from the vsyscall page, where the mode lets them work and the host does not: vsyscall/load.ts says how, this does it.
 *
 * A load that is executed for us runs under single-step, its address moved to the copy of the page, and is put right at the next
 * signal. Other stops may come first (SIGCONT stops a task that is traced at once): then the task has to be resumed for one
 * instruction again.
 */
import { SI_KERNEL, TRAP_TRACE } from "../../linux/constants.ts";
import { singleStep } from "../../linux/ptrace.ts";
import { readMemory } from "../../linux/remote-memory.ts";
import { finishLoad, type Load, planLoad } from "../../vsyscall/load.ts";
import { isInVsyscallPage } from "../../vsyscall/page.ts";
import type { PageStop } from "./page-stop.ts";

const SIGTRAP = 5;
const TRAP_FLAG = 0x100n;
const MAX_INSTRUCTION = 15;
const DENIED = "vsyscall read attempt denied";

export class PageReads {
	readonly #hasCopy: boolean;
	readonly #loads = new Map<number, Load>();

	constructor(hasCopy: boolean) {
		this.#hasCopy = hasCopy;
	}

	isUnderWay(tid: number): boolean {
		return this.#loads.has(tid);
	}

	forget(tid: number): void {
		this.#loads.delete(tid);
	}

	/** A fault that may be a load from the page. @returns whether the signal was taken back */
	read(stop: PageStop): boolean {
		const { tid, registers, info } = stop;
		const isInPage = isInVsyscallPage(info.address);
		if (!isInPage && info.code !== SI_KERNEL) return false;
		const copy = this.#hasCopy ? stop.copy() : undefined;
		if (copy === undefined) {
			if (isInPage) stop.log(DENIED);
			return false;
		}
		const instruction = new Uint8Array(MAX_INSTRUCTION);
		const count = readMemory(tid, registers.get("rip"), instruction);
		const load = planLoad(instruction.subarray(0, Math.max(0, count)), (name) => registers.get(name), copy);
		if (load === undefined) return false;
		if (load.kind === "moved") {
			registers.set(load.register, load.value);
			registers.set("rip", registers.get("rip") + BigInt(load.length));
			return stop.takeBack();
		}
		for (const [name, value] of load.during) registers.set(name, value);
		stop.writeRegisters();
		this.#loads.set(tid, load);
		singleStep(tid, 0);
		return true;
	}

	/** The next signal of a task whose load is under way. @returns whether the signal was taken back */
	signal(stop: PageStop, signal: number): boolean {
		const { tid, registers, info } = stop;
		const load = this.#loads.get(tid);
		this.#loads.delete(tid);
		if (load === undefined) return false;
		for (const [name, value] of finishLoad(load, (wanted) => registers.get(wanted))) registers.set(name, value);
		const isStep = signal === SIGTRAP && info.code === TRAP_TRACE;
		if (isStep && (registers.get("eflags") & TRAP_FLAG) === 0n) return stop.takeBack();
		stop.writeRegisters();
		return false;
	}
}
