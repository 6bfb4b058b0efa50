/**
 * The processes of an observed run. Each program that a process executes, and each process that is forked, has a serial of its own,
 * by which the image marks what it counts and records.
 */
import { readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { processKey } from "../../observation/layout.ts";
import { programName } from "../process-facts.ts";

export interface ObservedProcess {
	readonly serial: number;
	readonly pid: number;
	/** The path of its program. */
	readonly program: string;
	/** It was forked, and has not executed a program since. */
	readonly isForked: boolean;
}

export class ObservedProcesses {
	readonly #bySerial = new Map<number, ObservedProcess>();
	/** What each process runs now. */
	readonly #current = new Map<number, ObservedProcess>();

	/** A process is about to execute a program, or was forked. */
	add(pid: number, isForked: boolean): ObservedProcess {
		const serial = this.#bySerial.size + 1;
		const process = { serial, pid, program: programName(pid), isForked };
		this.#bySerial.set(serial, process);
		this.#current.set(pid, process);
		return process;
	}

	/**
	 * Gives a forked process its key, if it has none: a thread has that of its process.
	 *
	 * @param place address of the key
	 */
	adopt(pid: number, place: bigint): void {
		const key = new BigUint64Array(1);
		const bytes = new Uint8Array(key.buffer);
		if (readMemory(pid, place, bytes) !== bytes.length || key[0] !== 0n) return;
		key[0] = processKey(this.add(pid, true).serial);
		writeMemory(pid, place, bytes);
	}

	/** What a process runs now. */
	current(pid: number): ObservedProcess | undefined {
		return this.#current.get(pid);
	}

	bySerial(serial: number): ObservedProcess | undefined {
		return this.#bySerial.get(serial);
	}

	get all(): Iterable<ObservedProcess> {
		return this.#bySerial.values();
	}

	/** The id can be another process's next. */
	ended(pid: number): void {
		this.#current.delete(pid);
	}
}
