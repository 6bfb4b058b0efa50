/** Threads that scan batches of files, started as they are needed. */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { type FileReport, NO_TALLY, passedOver, type Tally } from "../report.ts";

export interface BatchResult {
	readonly reports: readonly FileReport[];
	readonly tally: Tally;
}

interface Job {
	readonly paths: readonly string[];
	readonly done: (result: BatchResult) => void;
}

/** A file of its own, so that a thread does not load the whole command line. The package knows itself by its name. */
const workerFile = (): string => {
	const root = dirname(createRequire(import.meta.url).resolve("vsyscall/package.json"));
	return join(root, "dist", "scan-worker.cjs");
};

export class Pool {
	readonly #most: number;
	readonly #waiting: Job[] = [];
	readonly #idle: Worker[] = [];
	readonly #busy = new Map<Worker, Job>();

	/** @param most threads at once */
	constructor(most: number = availableParallelism()) {
		this.#most = most;
	}

	/** Batches at once with which no thread has to wait for its next one. */
	get depth(): number {
		return 2 * this.#most;
	}

	/** A batch that ends its thread (its memory ran out) is passed over. */
	scan(paths: readonly string[]): Promise<BatchResult> {
		return new Promise((done) => {
			this.#waiting.push({ paths, done });
			this.#start();
		});
	}

	async close(): Promise<void> {
		await Promise.all([...this.#idle, ...this.#busy.keys()].map((worker) => worker.terminate()));
	}

	#start(): void {
		if (this.#busy.size >= this.#most) return;
		const job = this.#waiting.shift();
		if (job === undefined) return;
		const worker = this.#idle.pop() ?? this.#create();
		this.#busy.set(worker, job);
		worker.postMessage(job.paths);
	}

	#create(): Worker {
		const worker = new Worker(workerFile());
		worker.on("message", (result: BatchResult) => {
			const job = this.#busy.get(worker);
			this.#busy.delete(worker);
			this.#idle.push(worker);
			job?.done(result);
			this.#start();
		});
		worker.on("error", (error: Error) => {
			const job = this.#busy.get(worker);
			this.#busy.delete(worker);
			const reports = job?.paths.map((path) =>
				passedOver(path, `the scan of it or of a file beside it failed: ${error.message}`),
			);
			job?.done({ reports: reports ?? [], tally: NO_TALLY });
			this.#start();
		});
		return worker;
	}
}
