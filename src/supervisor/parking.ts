/**
 * A task that is let go for a moment and must not run meanwhile: it is looked at by a task that its own process has made
 * (untraced-clones.ts), and then comes back.
 *
 * Between our detach and the other's attach it would run, and so it would again until we have seized it: a wait on the wall clock that
 * is made, or made again, in that time is ENOSYS, of which glibc ends the program. So it is sent to a loop of two instructions, with
 * all its other registers as they were, since these are what is looked at; and back when it is ours again.
 *
 *     let go      registers kept, as they make an interrupted call again; rip -> the loop
 *     back        interrupted; at the first stop in the loop (a handler may run on top of it) the registers are put back
 *
 * The loop stands where stage 1 stood, whose work is done.
 */
import { interrupt, readRegisters, writeRegisters } from "../linux/ptrace.ts";
import { Registers } from "../linux/registers.ts";
import { pokeMemory } from "../linux/remote-memory.ts";
import { callArchitecture } from "../linux/system-call.ts";
import { restartByHand } from "./time-calls/restart.ts";

interface Parked {
	readonly place: bigint;
	readonly registers: Registers;
	/** It is ours again, and to be sent back. */
	isBack: boolean;
}

/** `pause`, and a jump back to it: a whole word. */
const LOOP = Uint8Array.of(0xf3, 0x90, 0xeb, 0xfc, 0xcc, 0xcc, 0xcc, 0xcc);
const LOOP_END = 4n;

/** Until a task that executes a handler is asked again. */
const RETRY_MS = 1;

export class Parking {
	readonly #roomIn: (tid: number) => bigint | undefined;
	readonly #parked = new Map<number, Parked>();

	/** @param roomIn where a process has room for a word of code; undefined when it has none, and cannot be kept from running */
	constructor(roomIn: (tid: number) => bigint | undefined) {
		this.#roomIn = roomIn;
	}

	/** A task that has stopped, and is let go next. */
	park(tid: number): void {
		const place = this.#roomIn(tid);
		const registers = new Registers();
		if (place === undefined || !readRegisters(tid, registers) || pokeMemory(tid, place, LOOP) < 0) return;
		restartByHand(registers, callArchitecture(tid, registers));
		const inLoop = registers.copy();
		inLoop.set("rip", place);
		inLoop.set("orig_rax", -1n);
		if (writeRegisters(tid, inLoop)) this.#parked.set(tid, { place, registers, isBack: false });
	}

	/** A task is ours again. */
	takenBack(tid: number): void {
		const parked = this.#parked.get(tid);
		if (parked === undefined) return;
		parked.isBack = true;
		interrupt(tid);
	}

	/** A stop of any kind. */
	stopped(tid: number): void {
		const parked = this.#parked.get(tid);
		if (parked === undefined) return;
		const registers = new Registers();
		if (!readRegisters(tid, registers)) return;
		const within = registers.get("rip") - parked.place;
		if (within >= 0n && within < LOOP_END) {
			this.#parked.delete(tid);
			writeRegisters(tid, parked.registers);
		} else if (parked.isBack) {
			setTimeout(() => {
				if (this.#parked.get(tid) === parked) interrupt(tid);
			}, RETRY_MS);
		}
	}

	/** A task has ended, or executes another program. */
	forget(tid: number): void {
		this.#parked.delete(tid);
	}
}
