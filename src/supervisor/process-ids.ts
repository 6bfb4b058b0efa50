/** The process of each task, asked of the kernel once. */
import { readStatusField } from "../linux/proc-file.ts";

export class ProcessIds {
	readonly #processes = new Map<number, number>();

	of(tid: number): number {
		let process = this.#processes.get(tid);
		if (process === undefined) {
			process = Number(readStatusField(tid, "Tgid") ?? tid);
			this.#processes.set(tid, process);
		}
		return process;
	}

	/** The task has called execve, and is its process now. @param former its id before, which another task may have next */
	exec(tid: number, former: number): void {
		this.#processes.delete(former);
		this.#processes.set(tid, tid);
	}

	ended(tid: number): void {
		this.#processes.delete(tid);
	}
}
