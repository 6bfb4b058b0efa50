/**
 * The processes of an observed run. Each program that a process executes, and each process that is forked, has a serial of its own,
 * by which the image marks what it counts and records.
 */
import { pokeMemory, readMemory, writeMemory } from "../../linux/remote-memory.ts";
import { FIRST_SELF_SERIAL, homeOffset, processKey } from "../../observation/layout.ts";
import type { Image } from "../../vdso/image.ts";
import { programName } from "../process-facts.ts";

export interface ObservedProcess {
	readonly serial: number;
	readonly pid: number;
	/** The path of its program. */
	readonly program: string;
	/** It was forked, and has not executed a program since. */
	readonly isForked: boolean;
	/** Its class. */
	readonly bits: Image["bits"];
}

/** All processes behind it share one. */
const LAST_SERIAL = FIRST_SELF_SERIAL - 1;

export class ObservedProcesses {
	readonly #bySerial = new Map<number, ObservedProcess>();
	/** What each process runs now. */
	readonly #current = new Map<number, ObservedProcess>();
	#last = 0;

	/** A process is about to execute a program, or was forked. */
	add(pid: number, kind: Pick<ObservedProcess, "isForked" | "bits">): ObservedProcess {
		this.#last = Math.min(this.#last + 1, LAST_SERIAL);
		const process = { serial: this.#last, pid, program: programName(pid), ...kind };
		this.#bySerial.set(process.serial, process);
		this.#current.set(pid, process);
		return process;
	}

	/**
	 * Gives a forked process its key, if it has none: a thread has that of its process.
	 *
	 * @param address of the image
	 */
	adopt(pid: number, address: bigint, { bits, observation }: Image): void {
		if (observation === undefined) return;
		const { keyPage, homePage, file } = observation;
		const word = new BigUint64Array(1);
		const bytes = new Uint8Array(word.buffer);
		if (readMemory(pid, address + BigInt(keyPage), bytes) !== bytes.length || word[0] !== 0n) return;
		const { serial } = this.add(pid, { isForked: true, bits });
		word[0] = address + BigInt(file + homeOffset(serial));
		pokeMemory(pid, address + BigInt(homePage), bytes);
		word[0] = processKey(serial);
		writeMemory(pid, address + BigInt(keyPage), bytes);
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

	/** Whether nobody has the serial any more. */
	isGone(serial: number): boolean {
		const process = this.#bySerial.get(serial);
		return process !== undefined && serial !== LAST_SERIAL && this.#current.get(process.pid) !== process;
	}

	/** The id can be another process's next. */
	ended(pid: number): void {
		this.#current.delete(pid);
	}
}
