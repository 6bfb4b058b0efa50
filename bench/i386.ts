/**
 * Figures of 32-bit programs: `node dist/bench/i386.js [RESULT.json]`. Needs gcc with -m32.
 *
 * As in main.ts, one process calls our image's functions and the host's in turn, once for each clock and each way into the kernel that
 * this processor has.
 */
import { writeFileSync } from "node:fs";
import { build, machine, output, ROOT, runWith } from "./tools.ts";

interface ReadResult {
	readonly functions: readonly { readonly name: string; readonly hostCycles: number; readonly ratio: number }[];
}

const RUNS = [
	["--clock", "host"],
	["--clock", "+10y"],
	["--clock", "+1000y"],
	["--clock", "+10y frozen"],
	["--clock", "+10y drift=50"],
	["--clock", "+10y", "--fast-entry=int80"],
	["--clock", "+10y", "--fast-entry=host"],
] as const;

const nameOf = ([, ...rest]: readonly string[]): string => rest.join(" ");

const program = build("reads.c", "reads-i386", "-m32");
const reads = Object.fromEntries(
	RUNS.map((flags) => [nameOf(flags), JSON.parse(output(runWith(flags, program))) as ReadResult]),
);

writeFileSync(
	process.argv[2] ?? `${ROOT}bench/results/i386.json`,
	`${JSON.stringify({ machine: machine(), reads }, undefined, "\t")}\n`,
);

const row = (...cells: readonly string[]): void => console.log(`| ${cells.join(" | ")} |`);
const columns = RUNS.map(nameOf);
console.log("");
row("32 bits, host's vDSO = 1", "host's cycles", ...columns.map((column) => `\`${column}\``));
row("---", "---:", ...columns.map(() => "---:"));
for (const { name, hostCycles } of reads["host"]?.functions ?? []) {
	const ratioUnder = (column: string): string =>
		reads[column]?.functions.find((entry) => entry.name === name)?.ratio.toFixed(2) ?? "";
	row(name, hostCycles.toFixed(0), ...columns.map(ratioUnder));
}
