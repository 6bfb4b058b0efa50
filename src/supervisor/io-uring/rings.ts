/**
 * The rings of the run, by what a call names them with.
 *
 *     a descriptor           the inode of the file, which each ring has for itself: it is the same in every process that has it
 *     a registered index     of one task (IORING_REGISTER_RING_FDS). The descriptor is closed then as a rule, so the memory is kept
 *                            here for as long as the kernel keeps the ring for the task.
 */
import { type OpenRing, ownRing, type RingMemory, withRing } from "../../linux/ring-memory.ts";
import type { RingShape } from "../../syscalls/io-uring.ts";
import { WallTimeouts } from "./wall-timeouts.ts";

export interface Ring {
	readonly shape: RingShape;
	readonly timeouts: WallTimeouts;
}

/** A ring that a call submits to. */
export interface FoundRing {
	readonly ring: Ring;
	readonly memory: RingMemory;
	/** To be called when the memory is not needed any more. */
	release(): void;
}

/** A task that has a ring, and the process whose descriptors it has. */
export interface RingTask {
	readonly tid: number;
	readonly process: number;
}

/** Nobody has so many open; those that were not used for longest are forgotten first. */
const MOST_RINGS = 1 << 14;

const makeRing = (shape: RingShape): Ring => ({ shape, timeouts: new WallTimeouts() });

/** What a task has registered, by index. */
interface RegisteredRings {
	readonly process: number;
	readonly rings: Map<number, Omit<FoundRing, "release">>;
}

export class Rings {
	/** By the identity of the file. */
	readonly #open = new Map<string, Ring>();
	/** By task. */
	readonly #registered = new Map<number, RegisteredRings>();

	/** A ring has been set up. */
	add(process: number, descriptor: number, shape: RingShape): void {
		withRing(process, descriptor, ({ identity }) => this.#use(identity, makeRing(shape)));
	}

	/** A ring has been set up that has no descriptor, but an index. */
	addRegistered(task: RingTask, index: number, shape: RingShape): void {
		const memory = ownRing(task.tid, shape);
		if (memory !== undefined) this.#register(task, index, { ring: makeRing(shape), memory });
	}

	/** A task has registered a descriptor. */
	register(task: RingTask, index: number, descriptor: number): void {
		withRing(task.process, descriptor, (file) => {
			const found = this.#find(task.tid, file);
			if (found !== undefined) this.#register(task, index, found);
		});
	}

	unregister(tid: number, index: number): void {
		const rings = this.#registered.get(tid)?.rings;
		rings?.get(index)?.memory.release();
		rings?.delete(index);
	}

	/** A task has ended. */
	ended(tid: number): void {
		for (const { memory } of this.#registered.get(tid)?.rings.values() ?? []) memory.release();
		this.#registered.delete(tid);
	}

	/** A process has executed a program: indexes end with the tasks that it had. */
	exec(process: number): void {
		for (const [tid, registered] of this.#registered) if (registered.process === process) this.ended(tid);
	}

	/** @returns undefined for a ring that nobody knows; -errno when the descriptor cannot be looked at */
	byDescriptor({ tid, process }: RingTask, descriptor: number): FoundRing | number | undefined {
		return withRing(process, descriptor, (file) => {
			const found = this.#find(tid, file);
			return found && { ...found, release: () => found.memory.release() };
		});
	}

	/** @returns undefined for a ring that nobody knows */
	byIndex(tid: number, index: number): FoundRing | undefined {
		const found = this.#registered.get(tid)?.rings.get(index);
		return found && { ...found, release: () => {} };
	}

	/** All that are known. */
	*all(): Generator<Ring> {
		yield* this.#open.values();
		for (const { rings } of this.#registered.values()) for (const { ring } of rings.values()) yield ring;
	}

	#find(tid: number, { identity, memoryIn }: OpenRing): Omit<FoundRing, "release"> | undefined {
		const ring = this.#open.get(identity);
		if (ring === undefined) return undefined;
		this.#use(identity, ring);
		const memory = memoryIn(tid, ring.shape);
		return memory && { ring, memory };
	}

	/** Makes it the one that was used last. */
	#use(identity: string, ring: Ring): void {
		this.#open.delete(identity);
		this.#open.set(identity, ring);
		const [oldest] = this.#open.keys();
		if (this.#open.size > MOST_RINGS && oldest !== undefined) this.#open.delete(oldest);
	}

	#register({ tid, process }: RingTask, index: number, found: Omit<FoundRing, "release">): void {
		this.unregister(tid, index);
		const registered = this.#registered.get(tid) ?? { process, rings: new Map<number, typeof found>() };
		registered.rings.set(index, found);
		this.#registered.set(tid, registered);
	}
}
