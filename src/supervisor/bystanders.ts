/**
 * Processes of the run that are not meant: what they do with the vsyscall page is the host's business, since they have no image that
 * could serve it.
 */
import type { ProcessIds } from "./process-ids.ts";

export class Bystanders {
	readonly #processes: ProcessIds;
	readonly #ids = new Set<number>();

	constructor(processes: ProcessIds) {
		this.#processes = processes;
	}

	add(process: number): void {
		this.#ids.add(process);
	}

	/** A process has executed another program, or has ended. */
	forget(process: number): void {
		this.#ids.delete(process);
	}

	/** A task has made another: a thread, or a process that runs the same program. */
	made(parent: number, child: number): void {
		if (this.has(parent) && this.#processes.of(child) === child) this.add(child);
	}

	/** Whether a task is of such a process. */
	has(tid: number): boolean {
		return this.#ids.size > 0 && this.#ids.has(this.#processes.of(tid));
	}
}
