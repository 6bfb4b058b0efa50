/**
 * How fast a scan reads, and what it takes: `npm run build && node dist/bench/scan.js [TREE...]`.
 *
 * The trees are scanned ROUNDS times; the first round, which fills the cache, does not count. Then one program is scanned 1,000 and
 * 100,000 times in a tree of files, and the peaks of memory are put side by side. Needs /usr/bin/time.
 */
import { spawnSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, copyFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CLI, machine, median, ROOT } from "./tools.ts";

const ROUNDS = 6;
const RESULT = `${ROOT}bench/results/scan.json`;
const PER_DIRECTORY = 500;
/** A file system lets a file have only so many names. */
const PER_COPY = 10_000;

interface Round {
	readonly files: number;
	readonly searched: number;
	readonly bytes: number;
	readonly seconds: number;
	/** User and system time of all threads. */
	readonly cpuSeconds: number;
	readonly peakKilobytes: number;
}

const scan = (paths: readonly string[]): Round => {
	const start = process.hrtime.bigint();
	const command = ["-f", "%U %S %M", process.execPath, CLI, "scan", "--json", ...paths];
	const { stdout, stderr, status } = spawnSync("/usr/bin/time", command, { encoding: "utf8", maxBuffer: 1 << 28 });
	const seconds = Number(process.hrtime.bigint() - start) / 1e9;
	if (status === null || status > 1) throw new Error(`the scan ended with ${status}: ${stderr}`);
	const { summary } = JSON.parse(stdout) as { summary: Pick<Round, "files" | "searched" | "bytes"> };
	const [user = 0, system = 0, peakKilobytes = 0] = (stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number);
	return { ...summary, seconds, cpuSeconds: user + system, peakKilobytes };
};

const megabytesPerSecond = (rounds: readonly Round[], of: "seconds" | "cpuSeconds"): number =>
	Math.round(median(rounds.map((round) => round.bytes / 1e6 / round[of])));

/** A tree of many files of one small program. */
const manyFiles = (count: number): Round => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-bench-"));
	try {
		let copy = "";
		for (let file = 0; file < count; file++) {
			const folder = join(directory, String(Math.floor(file / PER_DIRECTORY)));
			if (file % PER_DIRECTORY === 0) mkdirSync(folder);
			const path = join(folder, String(file));
			if (file % PER_COPY === 0) copyFileSync("/bin/true", (copy = path));
			else linkSync(copy, path);
		}
		return scan([directory]);
	} finally {
		rmSync(directory, { recursive: true });
	}
};

const trees = process.argv.length > 2 ? process.argv.slice(2) : ["/usr/bin", "/usr/lib", "/usr/sbin"];
const rounds = Array.from({ length: ROUNDS }, () => scan(trees)).slice(1);
const result = {
	machine: machine(),
	trees,
	rounds,
	megabytesPerSecond: megabytesPerSecond(rounds, "seconds"),
	megabytesPerCpuSecond: megabytesPerSecond(rounds, "cpuSeconds"),
	manyFiles: [1000, 100_000].map(manyFiles),
};
writeFileSync(RESULT, `${JSON.stringify(result, undefined, "\t")}\n`);
console.log(`${result.megabytesPerSecond} MB/s, ${result.megabytesPerCpuSecond} MB per second of processor time`);
for (const { files, seconds, peakKilobytes } of result.manyFiles) {
	console.log(`${files} files: ${seconds.toFixed(1)} s, ${Math.round(peakKilobytes / 1024)} MiB at most`);
}
