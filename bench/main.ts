/**
 * What the figures of the README come from: `npm run bench [-- RESULT.json]`.
 *
 * Every figure is a ratio or a difference taken in one run: our image against the host's vDSO in one process, programs started
 * natively and under a run in turn, the command line against bare Node in turn. Medians throughout. Needs gcc.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { build, CLI, machine, median, output, ROOT, runWith, under } from "./tools.ts";

interface ReadResult {
	readonly rounds: number;
	readonly callsPerRound: number;
	readonly isOwnImage: boolean;
	readonly functions: readonly {
		readonly name: string;
		readonly cycles: number;
		readonly hostCycles: number;
		readonly ratio: number;
	}[];
}

const milliseconds = (command: readonly string[]): number => {
	const start = process.hrtime.bigint();
	output(command);
	return Number(process.hrtime.bigint() - start) / 1e6;
};

/** The columns of the table: what a run is given. */
const RUNS = [
	["--clock", "host"],
	["--clock", "+10y"],
	["--clock", "+10y1ms"],
	["--clock", "+1000y"],
	["--clock", "+10y frozen"],
	["--clock", "+10y drift=50"],
	["--clock", "+10y", "--reads=relaxed"],
	["--clock", "+10y", "--reads=coarse"],
] as const;
/** "+10y --reads=coarse" */
const nameOf = ([, ...rest]: readonly string[]): string => rest.join(" ");
const COLUMNS = RUNS.map(nameOf);

const measureReads = (): Readonly<Record<string, ReadResult>> => {
	const reads = build("reads.c", "reads");
	return Object.fromEntries(
		RUNS.map((flags) => [nameOf(flags), JSON.parse(output(runWith(flags, reads))) as ReadResult]),
	);
};

const ROUNDS = 15;
const PROGRAMS_PER_ROUND = 300;

interface Added {
	readonly nativeMicroseconds: number;
	readonly runMicroseconds: number;
	readonly addedMicroseconds: number;
}

/** The median of a figure taken natively and under a run in turn. @param pin a command that chooses processors for both */
const compare = (command: readonly string[], pin: readonly string[], figure: (text: string) => number): Added => {
	const rounds = Array.from({ length: ROUNDS }, () => ({
		native: figure(output([...pin, ...command])),
		run: figure(output([...pin, ...under("+10y", ...command)])),
	}));
	return {
		nativeMicroseconds: median(rounds.map(({ native }) => native)),
		runMicroseconds: median(rounds.map(({ run }) => run)),
		addedMicroseconds: median(rounds.map(({ native, run }) => run - native)),
	};
};

const ONE_PROCESSOR = ["taskset", "-c", "1"];

/** execve alone: a program that replaces itself. */
const measureExecs = (pin: readonly string[]): Added =>
	compare([build("exec-chain.c", "exec-chain", "-static"), String(PROGRAMS_PER_ROUND)], pin, Number);

/** The whole life of a process: posix_spawn, exec, exit, wait. */
const measureSpawns = (pin: readonly string[]): Added => {
	const program = build("nothing.c", "nothing", "-static");
	const command = [build("execs.c", "execs"), program, String(PROGRAMS_PER_ROUND)];
	return compare(command, pin, (text) => median(JSON.parse(text) as number[]));
};

const STARTS = 40;

const measureStart = (): { readonly nodeMs: number; readonly runMs: number; readonly ratio: number } => {
	const rounds = Array.from({ length: STARTS }, () => ({
		node: milliseconds([process.execPath, "-e", "0"]),
		run: milliseconds(under("+10y", "true")),
	}));
	return {
		nodeMs: median(rounds.map(({ node }) => node)),
		runMs: median(rounds.map(({ run }) => run)),
		ratio: median(rounds.map(({ node, run }) => run / node)),
	};
};

interface PageResult {
	/** Nanoseconds. */
	readonly first: number;
	readonly page: number;
	readonly libc: number;
}

const PAGE_ROUNDS = 7;

const ask = (command: readonly string[]): PageResult => JSON.parse(output(command)) as PageResult;

/** gettimeofday by the vsyscall page: natively (the host's emulation), patched, and trapped on one processor, in turn. */
const measurePage = (): Readonly<Record<string, number>> => {
	const program = build("page-calls.c", "page-calls");
	const served = (clock: string, ...flags: readonly string[]): readonly string[] => [
		process.execPath,
		CLI,
		"run",
		"--clock",
		clock,
		"--vsyscall=xonly",
		...flags,
		"--",
		program,
	];
	const rounds = Array.from({ length: PAGE_ROUNDS }, () => ({
		native: ask([program]),
		patched: ask(served("+10y")),
		frozen: ask(served("+10y frozen")),
		trapped: ask([...ONE_PROCESSOR, ...served("+10y", "--no-patch"), "100"]),
	}));
	const figure = (of: (round: (typeof rounds)[number]) => number): number => median(rounds.map(of));
	return {
		hostVdsoNanoseconds: figure(({ native }) => native.libc),
		emulationToVdso: figure(({ native }) => native.page / native.libc),
		patchedToVdso: figure(({ native, patched }) => patched.page / native.libc),
		frozenToVdso: figure(({ native, frozen }) => frozen.page / native.libc),
		emulationToPatched: figure(({ native, patched }) => native.page / patched.page),
		trappedMicroseconds: figure(({ trapped }) => trapped.page / 1000),
		firstMicroseconds: figure(({ patched }) => patched.first / 1000),
	};
};

interface TimeCallResult {
	readonly allowed: number;
	readonly lookedAt: number;
	readonly stopped: number;
	readonly wait: number;
}

const askFor = (command: readonly string[]): TimeCallResult =>
	JSON.parse(output([...ONE_PROCESSOR, ...command])) as TimeCallResult;

/** System calls under the filter: natively and under a run in turn, everything on one processor. */
const measureTimeCalls = (): Readonly<Record<string, number>> => {
	const command = [build("time-calls.c", "time-calls")];
	const rounds = Array.from({ length: PAGE_ROUNDS }, () => ({
		native: askFor(command),
		run: askFor(under("+10y", ...command)),
		host: askFor(under("host", ...command)),
	}));
	const figure = (of: (round: (typeof rounds)[number]) => number): number => median(rounds.map(of));
	return {
		allowedRatio: figure(({ native, run }) => run.allowed / native.allowed),
		allowedNanoseconds: figure(({ native }) => native.allowed),
		lookedAtRatio: figure(({ native, run }) => run.lookedAt / native.lookedAt),
		lookedAtNanoseconds: figure(({ native }) => native.lookedAt),
		readMicroseconds: figure(({ run }) => run.stopped / 1000),
		readOfHostClockMicroseconds: figure(({ host }) => host.stopped / 1000),
		readNativeNanoseconds: figure(({ native }) => native.stopped),
		waitMicroseconds: figure(({ run }) => run.wait / 1000),
		waitNativeNanoseconds: figure(({ native }) => native.wait),
	};
};

const results = {
	machine: machine(),
	start: measureStart(),
	reads: measureReads(),
	page: measurePage(),
	timeCalls: measureTimeCalls(),
	added: {
		execve: measureExecs([]),
		"execve, all on one processor": measureExecs(ONE_PROCESSOR),
		"a process from spawn to wait": measureSpawns([]),
		"a process from spawn to wait, all on one processor": measureSpawns(ONE_PROCESSOR),
	},
};

const file = process.argv[2] ?? `${ROOT}bench/results/latest.json`;
mkdirSync(new URL("results", `file://${ROOT}bench/`), { recursive: true });
writeFileSync(file, `${JSON.stringify(results, undefined, "\t")}\n`);

const row = (...cells: readonly string[]): void => console.log(`| ${cells.join(" | ")} |`);
row("one read, host's vDSO = 1", ...COLUMNS.map((column) => `\`${column}\``));
row("---", ...COLUMNS.map(() => "---:"));
for (const { name } of results.reads["host"]?.functions ?? []) {
	const ratioUnder = (column: string): string =>
		results.reads[column]?.functions.find((entry) => entry.name === name)?.ratio.toFixed(2) ?? "";
	row(name, ...COLUMNS.map(ratioUnder));
}
console.log("");
for (const [name, { nativeMicroseconds, runMicroseconds, addedMicroseconds }] of Object.entries(results.added)) {
	console.log(
		`${name}: ${nativeMicroseconds.toFixed(0)} us natively, ${runMicroseconds.toFixed(0)} us under a run, ${addedMicroseconds.toFixed(0)} us added`,
	);
}
for (const [name, value] of Object.entries(results.page)) console.log(`page ${name}: ${value.toFixed(2)}`);
for (const [name, value] of Object.entries(results.timeCalls)) console.log(`system call ${name}: ${value.toFixed(2)}`);
const { nodeMs, runMs, ratio } = results.start;
console.log(
	`vsyscall run -- true: ${runMs.toFixed(0)} ms; node -e 0: ${nodeMs.toFixed(0)} ms; ratio ${ratio.toFixed(2)}`,
);
// Each prints and keeps its own: node dist/bench/i386.js and compare.js make them alone.
await import("./i386.ts");
await import("./compare.ts");
