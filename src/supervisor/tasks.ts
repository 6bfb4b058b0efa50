/**
 * The tasks of a run. They are known by their tid from whatever is seen first: the first stop of a new task, and even its end, can come
 * before the event of the one that made it.
 */
export interface Task {
	readonly tid: number;
	/** The event of the task that made it has been seen, or it is the first. */
	isAnnounced: boolean;
	/** Goes on with system calls on behalf of the task, at the next syscall-stop. */
	remote: (() => void) | undefined;
	/** Signals that came meanwhile: sent again when the calls are done. */
	heldSignals: number[];
	/** The image will be whole in a core file. */
	isImageKept: boolean;
}

export class Tasks {
	readonly #seen = new Map<number, Task>();
	/** Tasks that have been made and not been seen yet. */
	readonly #newborn = new Set<number>();
	/** Tasks that ended before they were announced; the foreign children, too, when they end. */
	readonly #endedEarly = new Set<number>();
	readonly #firstSeen: (tid: number) => void;

	/** @param firstSeen told of every task that is seen for the first time */
	constructor(firstSeen: (tid: number) => void) {
		this.#firstSeen = firstSeen;
	}

	/** How many have been seen and have not ended. */
	get size(): number {
		return this.#seen.size;
	}

	/** Those that have been seen, the first process first. */
	get tids(): readonly number[] {
		return [...this.#seen.keys()];
	}

	/** Also those that have not been seen yet. */
	get all(): readonly number[] {
		return [...this.#seen.keys(), ...this.#newborn];
	}

	has(tid: number): boolean {
		return this.#seen.has(tid) || this.#newborn.has(tid);
	}

	/** A task that has been seen. */
	find(tid: number): Task | undefined {
		return this.#seen.get(tid);
	}

	/** A task that is seen now. */
	of(tid: number): Task {
		const known = this.#seen.get(tid);
		if (known !== undefined) return known;
		this.#newborn.delete(tid);
		this.#firstSeen(tid);
		const task: Task = { tid, isAnnounced: false, remote: undefined, heldSignals: [], isImageKept: false };
		this.#seen.set(tid, task);
		return task;
	}

	/** A task has been made. */
	made(tid: number): void {
		if (!this.#seen.has(tid)) this.#newborn.add(tid);
	}

	/** The event of the one that made a task has been seen. */
	announce(tid: number): void {
		if (!this.#endedEarly.delete(tid)) this.of(tid).isAnnounced = true;
	}

	/** A task has ended that was not announced. */
	endedEarly(tid: number): void {
		this.#endedEarly.add(tid);
	}

	delete(tid: number): void {
		this.#seen.delete(tid);
		this.#newborn.delete(tid);
	}
}
