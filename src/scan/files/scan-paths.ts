/**
 * Trees of files, scanned by several threads and told in the order of their names.
 *
 * The tree is listed as fast as the threads take its files and no faster, so a scan takes no more memory for a larger tree.
 */
import { addTally, type FileReport, NO_TALLY, passedOver, type Tally } from "../report.ts";
import { type BatchResult, Pool } from "./pool.ts";
import { scanStandardInput, STANDARD_INPUT } from "./scan-file.ts";
import { walk } from "./walk.ts";

/** Files of one batch: enough that messages cost little, few enough that the last batch is not long. */
const BATCH = 16;
/** Batches whose results may wait for an earlier one, which has an image that takes a minute. */
const MOST_WAITING = 1024;

export interface ScanEvents {
	/** In the order of the paths, then of their names. */
	readonly onReport: (report: FileReport) => void;
	readonly onProgress: (tally: Tally) => void;
}

/** What was passed over while it was listed, and files to scan. */
type Piece =
	| { readonly kind: "report"; readonly report: FileReport }
	| { readonly kind: "batch"; readonly paths: readonly string[] }
	| { readonly kind: "standard input" };

function* pieces(paths: readonly string[]): Generator<Piece, void> {
	let batch: string[] = [];
	for (const named of paths) {
		if (named === STANDARD_INPUT) yield { kind: "standard input" };
		for (const visited of named === STANDARD_INPUT ? [] : walk(named)) {
			if (visited.kind === "file" && batch.push(visited.path) < BATCH) continue;
			if (batch.length > 0) yield { kind: "batch", paths: batch };
			batch = [];
			if (visited.kind === "passed over") {
				yield { kind: "report", report: passedOver(visited.path, visited.reason) };
			}
		}
	}
	if (batch.length > 0) yield { kind: "batch", paths: batch };
}

/** Tells results in the order of their numbers, each as soon as those before it are told. */
class InOrder {
	readonly #tell: (reports: readonly FileReport[]) => void;
	readonly #waiting = new Map<number, readonly FileReport[]>();
	#next = 0;

	constructor(tell: (reports: readonly FileReport[]) => void) {
		this.#tell = tell;
	}

	/** The first number that is not told. */
	get next(): number {
		return this.#next;
	}

	put(number: number, reports: readonly FileReport[]): void {
		this.#waiting.set(number, reports);
		for (let ready = this.#waiting.get(this.#next); ready !== undefined; ready = this.#waiting.get(this.#next)) {
			this.#waiting.delete(this.#next);
			this.#next += 1;
			this.#tell(ready);
		}
	}
}

/** Scans files and trees. Never fails for what is in them. @returns what was looked at */
export const scanPaths = async (paths: readonly string[], events: ScanEvents): Promise<Tally> => {
	const pool = new Pool();
	const ordered = new InOrder((reports) => reports.forEach(events.onReport));
	const running = new Set<Promise<void>>();
	let tally = NO_TALLY;
	let number = 0;
	const take = async (scan: Promise<BatchResult>, own: number): Promise<void> => {
		const result = await scan;
		tally = addTally(tally, result.tally);
		events.onProgress(tally);
		ordered.put(own, result.reports);
	};
	const start = (scan: Promise<BatchResult>): void => {
		const job = take(scan, number).finally(() => running.delete(job));
		running.add(job);
	};
	try {
		for (const piece of pieces(paths)) {
			if (piece.kind === "report") ordered.put(number, [piece.report]);
			else start(piece.kind === "batch" ? pool.scan(piece.paths) : scanStandardInput());
			number += 1;
			while (running.size >= pool.depth || number - ordered.next >= MOST_WAITING) await Promise.race(running);
		}
		await Promise.all(running);
		return tally;
	} finally {
		await pool.close();
	}
};
