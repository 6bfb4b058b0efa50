/** Which process a task belongs to. A task cannot change that but by execve, which gives it the id of its process. */
import { readStatusField } from "../linux/proc-file.ts";

export class ProcessIds {
	readonly #ids = new Map<number, number>();

	of(tid: number): number {
		let id = this.#ids.get(tid);
		if (id === undefined) {
			id = Number(readStatusField(tid, "Tgid") ?? tid);
			this.#ids.set(tid, id);
		}
		return id;
	}

	exec(tid: number): void {
		this.#ids.set(tid, tid);
	}

	ended(tid: number): void {
		this.#ids.delete(tid);
	}
}
