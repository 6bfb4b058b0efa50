/** What all benches need: programs built, commands run, medians. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { fileURLToPath } from "node:url";

export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));
export const CLI: string = `${ROOT}dist/vsyscall.cjs`;
const BUILT = `${ROOT}dist/bench/programs`;

/** @param share the part of the values that is not greater */
export const percentile = (values: readonly number[], share: number): number => {
	const sorted = values.toSorted((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
};

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Builds a program of bench/. @returns its path */
export const build = (source: string, output: string, ...flags: readonly string[]): string => {
	mkdirSync(BUILT, { recursive: true });
	execFileSync("gcc", ["-O2", "-o", `${BUILT}/${output}`, ...flags, `${ROOT}bench/${source}`]);
	return `${BUILT}/${output}`;
};

/** `vsyscall run FLAGS -- COMMAND` */
export const runWith = (flags: readonly string[], ...command: readonly string[]): readonly string[] => [
	process.execPath,
	CLI,
	"run",
	...flags,
	"--",
	...command,
];

export const under = (clock: string, ...command: readonly string[]): readonly string[] =>
	runWith(["--clock", clock], ...command);

export const output = ([file = "", ...args]: readonly string[]): string => {
	const result = spawnSync(file, args, { encoding: "utf8", maxBuffer: 1 << 26 });
	if (result.status !== 0) throw new Error(`${file} ${args.join(" ")} failed: ${result.stderr}`);
	return result.stdout;
};

/** What the figures were taken on. */
export const machine = (): Readonly<Record<string, string | number>> => ({
	cpu: /^model name\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "latin1"))?.[1] ?? "unknown",
	processors: cpus().length,
	kernel: release(),
	node: process.version,
});
