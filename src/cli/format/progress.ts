/** One line on a terminal that tells how far a scan is; nothing anywhere else. */
import { isatty } from "node:tty";
import type { Tally } from "../../scan/report.ts";
import { walk } from "../../scan/files/walk.ts";
import { writeErr } from "../messages.ts";

export interface Progress {
	readonly show: (tally: Tally) => void;
	/** For a line of something else. */
	readonly clear: () => void;
	readonly end: () => void;
}

const STDERR = 2;
const BAR = 24;
const EVERY_MS = 100;
const USUAL_COLUMNS = 80;
/** Files that are counted before the threads are heard again. */
const COUNTED_AT_ONCE = 512;
const CLEAR = "\r\u001B[K";

/** Counts the files to come beside the scan, which meets them as late as it can. */
const counterOf = (
	paths: readonly string[],
): { readonly total: () => number | undefined; readonly stop: () => void } => {
	let count = 0;
	let isDone = false;
	const files = (function* () {
		for (const path of paths) yield* walk(path);
	})();
	const step = (): void => {
		for (let left = COUNTED_AT_ONCE; left > 0 && !isDone; left--) {
			const next = files.next();
			if (next.done === true) isDone = true;
			else if (next.value.kind === "file") count += 1;
		}
		if (!isDone) setImmediate(step);
	};
	setImmediate(step);
	return { total: () => (isDone ? count : undefined), stop: () => (isDone = true) };
};

const megabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`;

/** `[#####...] 1234 of 5678 files, 910 MB, 700 MB/s`, as wide as the terminal allows. @param total undefined while it is counted */
export const progressLine = (
	{ files, bytes }: Tally,
	{
		total,
		seconds,
		columns,
	}: { readonly total: number | undefined; readonly seconds: number; readonly columns: number },
): string => {
	const rate = seconds > 0 ? `, ${megabytes(bytes / seconds)}/s` : "";
	const numbers = `${files}${total === undefined ? "" : ` of ${Math.max(total, files)}`} files, ${megabytes(bytes)}${rate}`;
	const share = total === undefined ? 0 : Math.min(1, files / Math.max(1, total));
	const filled = Math.round(share * BAR);
	const bar = `[${"#".repeat(filled)}${".".repeat(BAR - filled)}] `;
	return `${bar.length + numbers.length < columns ? bar : ""}${numbers}`.slice(0, Math.max(0, columns - 1));
};

const SILENT: Progress = { show: () => undefined, clear: () => undefined, end: () => undefined };

/** @param paths that are scanned */
export const progressOf = (paths: readonly string[]): Progress => {
	if (!isatty(STDERR)) return SILENT;
	const counter = counterOf(paths);
	const start = performance.now();
	let shown = Number.NEGATIVE_INFINITY;
	return {
		show(tally) {
			const now = performance.now();
			if (now - shown < EVERY_MS) return;
			shown = now;
			// A terminal that nobody has given a size has 0.
			const columns = process.stderr.columns > 0 ? process.stderr.columns : USUAL_COLUMNS;
			writeErr(`\r${progressLine(tally, { total: counter.total(), seconds: (now - start) / 1e3, columns })}\u001B[K`);
		},
		clear: () => writeErr(CLEAR),
		end() {
			counter.stop();
			writeErr(CLEAR);
		},
	};
};
