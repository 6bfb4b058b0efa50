/** A thread of a scan: batches of paths in, what is to be said of them out. */
import { parentPort } from "node:worker_threads";
import { addTally, type FileReport, NO_TALLY } from "../report.ts";
import type { BatchResult } from "./pool.ts";
import { scanFile } from "./scan-file.ts";

const scanBatch = async (paths: readonly string[]): Promise<BatchResult> => {
	const reports: FileReport[] = [];
	let tally = NO_TALLY;
	for (const path of paths) {
		const scan = await scanFile(path);
		reports.push(...scan.reports);
		tally = addTally(tally, scan.tally);
	}
	return { reports, tally };
};

parentPort?.on("message", (paths: readonly string[]) => {
	void scanBatch(paths).then((result) => parentPort?.postMessage(result));
});
