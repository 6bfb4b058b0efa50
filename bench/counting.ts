/**
 * What counting costs: `npm run build && node dist/bench/counting.js [RESULT.json]`. Needs gcc with -m32.
 *
 * The reads of bench/reads.c, each a ratio to the host's vDSO in the same process, under `run` and under `stat` in turn: the figure is the
 * median of the rounds' quotients. Beside it, what a counter per processor would cost natively, with a lock.
 */
import { writeFileSync } from "node:fs";
import { build, CLI, machine, median, output, ROOT, runWith } from "./tools.ts";

interface Reads {
	readonly functions: readonly { readonly name: string; readonly ratio: number; readonly cycles: number }[];
}

const ROUNDS = 9;
const ONE_PROCESSOR = ["taskset", "-c", "1"];

const read = (command: readonly string[]): Reads => JSON.parse(output([...ONE_PROCESSOR, ...command])) as Reads;

/** Of the reads of programs of one class. */
const measure = (reads: string) => {
	const rounds = Array.from({ length: ROUNDS }, () => ({
		plain: read(runWith(["--clock", "host"], reads)).functions,
		counted: read([process.execPath, CLI, "stat", "--", reads]).functions,
	}));
	const names = rounds[0]?.plain.map(({ name }) => name) ?? [];
	const of = (pick: (round: (typeof rounds)[number]) => number): number => median(rounds.map(pick));
	return names.map((name, index) => ({
		name,
		counted: Number(of(({ plain, counted }) => (counted[index]?.ratio ?? 0) / (plain[index]?.ratio ?? 1)).toFixed(3)),
		addedCycles: Number(
			of(({ plain, counted }) => (counted[index]?.cycles ?? 0) - (plain[index]?.cycles ?? 0)).toFixed(1),
		),
		toHost: Number(of(({ counted }) => counted[index]?.ratio ?? 0).toFixed(3)),
	}));
};

const figures = measure(build("reads.c", "reads"));
const narrow = measure(build("reads.c", "reads-i386", "-m32"));
const perProcessor = JSON.parse(output([...ONE_PROCESSOR, build("counting.c", "counting", "-ldl")])) as Readonly<
	Record<string, number>
>;
const result = { machine: machine(), rounds: ROUNDS, figures, narrow, perProcessor };
for (const [title, rows] of [
	["64-bit read without a counter = 1", figures],
	["32-bit read without a counter = 1", narrow],
] as const) {
	console.log(`\n| ${title} | counted | cycles added | host's vDSO = 1 |\n| --- | ---: | ---: | ---: |`);
	for (const { name, counted, addedCycles, toHost } of rows) {
		console.log(`| ${name} | ${counted.toFixed(2)} | ${addedCycles.toFixed(1)} | ${toHost.toFixed(2)} |`);
	}
}
console.log(
	`\nA counter per processor: ${perProcessor["locked"]?.toFixed(2)} with a lock, ${perProcessor["unlocked"]?.toFixed(2)} without`,
);
writeFileSync(process.argv[2] ?? `${ROOT}bench/results/counting.json`, `${JSON.stringify(result, undefined, "\t")}\n`);
