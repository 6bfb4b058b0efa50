/** `vsyscall stat` counts exactly what programs do. The programs know how many calls they make. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has } from "../helpers/requirements.ts";
import { type RunSettings, vsyscall } from "../helpers/vsyscall.ts";

interface CountedCall {
	readonly way: string;
	readonly bits: number;
	readonly function: string;
	readonly clock?: string;
	readonly count: number;
}

interface Report {
	readonly seconds: number;
	readonly calls: readonly (CountedCall & { readonly nanosecondsEach: number | null })[];
	readonly processes: readonly {
		readonly pid: number | null;
		readonly program: string;
		readonly isForked: boolean;
		readonly bits: number;
		readonly isCounted: boolean;
		readonly count: number;
		readonly calls: readonly CountedCall[];
	}[];
	readonly callers: readonly (CountedCall & { readonly caller: string; readonly samples: number })[];
	readonly unattributed: number;
}

const SCHEMA = readSchema("stat.schema.json");

const label = ({ way, function: name, clock = "" }: CountedCall): string =>
	`${way === "vdso" ? "" : `${way} `}${name} ${clock.replace(/^CLOCK_|_ID$/g, "")}`.trim();

const byLabel = (calls: readonly CountedCall[]): Readonly<Record<string, number>> =>
	Object.fromEntries(calls.map((call) => [label(call), call.count]));

const totalOf = (counts: Readonly<Record<string, number>>): number =>
	Object.values(counts).reduce((total, count) => total + count, 0);

const ofClass = (calls: readonly CountedCall[], bits: number): Readonly<Record<string, number>> =>
	byLabel(calls.filter((call) => call.bits === bits));

/** Runs a program under stat. @returns the report, and what the program printed */
const stat = async (
	flags: readonly string[],
	command: readonly string[],
	settings: RunSettings = {},
): Promise<{ readonly report: Report; readonly stdout: string; readonly stderr: string }> => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-stat-"));
	try {
		const file = join(directory, "report.json");
		const finished = await vsyscall(["stat", "--json", "-o", file, ...flags, "--", ...command], settings);
		assert.equal(finished.exitCode, 0, finished.stderr);
		const report = JSON.parse(readFileSync(file, "utf8")) as Report;
		assert.deepEqual(schemaFaults(SCHEMA, report), []);
		return { report, stdout: finished.stdout, stderr: finished.stderr };
	} finally {
		rmSync(directory, { recursive: true });
	}
};

/** Counts of one of the modes of counted-calls, and what it says itself. */
const counted = async (mode: string, count: number, flags: readonly string[] = [], toolchain: Toolchain = "glibc") => {
	const program = build(toolchain, "counted-calls.c");
	const { report, stdout } = await stat(flags, [program, mode, String(count)]);
	const inProcesses = report.processes.reduce((sum, process) => sum + process.count, 0);
	const inAll = report.calls.reduce((sum, call) => sum + call.count, 0);
	assert.equal(inProcesses + report.unattributed, inAll, "the processes make up the total");
	return { report, said: JSON.parse(stdout) as Readonly<Record<string, number>>, counts: byLabel(report.calls) };
};

/** How many functions there are, by clock id: those of 32-bit programs have two widths of time. */
const FUNCTIONS = [
	["glibc", 13],
	["glibc-32", 22],
	["glibc-32-static", 22],
] as const;

for (const [toolchain, functions] of FUNCTIONS) {
	test(`1,234,567 calls of each function by 8 threads together are counted to the last, ${toolchain}`, async () => {
		const { said, counts, report } = await counted("threads", 1_234_567, [], toolchain);
		assert.equal(said["clock_gettime REALTIME"], 1_234_567);
		assert.equal(Object.keys(said).length, functions);
		for (const [name, count] of Object.entries(said)) assert.equal(counts[name], count, name);
		const bits = toolchain === "glibc" ? 64 : 32;
		assert.deepEqual([...new Set(report.calls.map((call) => call.bits))], [bits]);
		const costOf = (name: string): number =>
			report.calls.find((call) => label(call) === name)?.nanosecondsEach ?? assert.fail(`${name} was not measured`);
		for (const name of Object.keys(said)) assert.ok(costOf(name) > 0);
		assert.ok(costOf("clock_gettime THREAD_CPUTIME") > costOf("time"), "the kernel costs more than a load");
	});
}

for (const toolchain of ["glibc", "glibc-32"] as const) {
	test(`so are those of a frozen and of a drifting wall, and of relaxed reads, ${toolchain}`, async () => {
		for (const flags of [
			["--clock", "+10y frozen"],
			["--clock", "+10y drift=50"],
			["--clock", "+1000y"],
			["--reads=relaxed"],
		]) {
			const { said, counts } = await counted("threads", 12_345, flags, toolchain);
			for (const [name, count] of Object.entries(said)) assert.equal(counts[name], count, `${flags.join(" ")} ${name}`);
		}
	});
}

for (const mode of ["emulate", "xonly", "native"]) {
	test(`calls of the vsyscall page are counted under ${mode}, trapped or by patched call sites`, async () => {
		const { said, counts } = await counted("page", 123_457, ["--vsyscall", mode]);
		assert.deepEqual(counts, said);
		const trapped = await counted("page", 50, ["--vsyscall", mode, "--no-patch"]);
		assert.deepEqual(trapped.counts, trapped.said);
	});
}

for (const toolchain of ["glibc", "glibc-32"] as const) {
	test(`system calls that mean the wall clock are counted, on any clock, ${toolchain}`, async () => {
		for (const clock of ["host", "+10d"]) {
			const { said, counts } = await counted("raw", 123, ["--clock", clock], toolchain);
			assert.deepEqual(counts, said);
		}
	});
}

for (const toolchain of ["glibc", "musl-static", "glibc-static-pie", "glibc-32", "glibc-32-static"] as const) {
	test(`forked processes are counted each for itself, ${toolchain}`, async () => {
		const { report, said, counts } = await counted("forks", 25, [], toolchain);
		assert.deepEqual(counts, said);
		assert.equal(report.processes.length, 51);
		assert.equal(new Set(report.processes.map(({ pid }) => pid)).size, 51);
		for (const process of report.processes) assert.equal(process.calls[0]?.count, 25);
		assert.equal(report.processes.filter(({ isForked }) => isForked).length, 50);
	});
}

for (const toolchain of ["glibc", "glibc-32"] as const) {
	test(`a handler that counts in the middle of counting loses nothing, ${toolchain}`, async () => {
		const { said, counts } = await counted("signals", 20_000_000, [], toolchain);
		assert.ok(
			Object.values(said).every((count) => count > 20_000_000),
			"there were signals",
		);
		assert.deepEqual(counts, said);
	});

	test(`a stack that is used to great depth takes more slots than there are, and nothing is lost, ${toolchain}`, async () => {
		// A program that reads at 20,000 places of its stack, whose limit is raised.
		const program = build(toolchain, "counted-calls.c");
		const { report, stdout } = await stat([], ["sh", "-c", `ulimit -s unlimited && exec ${program} depths 20000`]);
		for (const [name, count] of Object.entries(JSON.parse(stdout) as Readonly<Record<string, number>>))
			assert.equal(byLabel(report.calls)[name], count);
		assert.ok(report.unattributed > 0, "slots did run out");
	});

	test(`what a process had counted when it was killed is there, ${toolchain}`, async () => {
		const { said, counts } = await counted("killed", 30, [], toolchain);
		const { children = 0, ...rest } = said;
		const [told, found] = [totalOf(rest), totalOf(counts)];
		// Each child is killed between a read and telling of it, or not.
		assert.ok(found >= told && found <= told + children, `${found} counted, ${told} told`);
	});
}

test("each program that is executed has a line of its own", async () => {
	const { report } = await stat([], ["sh", "-c", "date; date; exec date"]);
	const programs = report.processes.filter(({ program }) => program.endsWith("/date"));
	assert.deepEqual(
		programs.map(({ count, isForked }) => [count, isForked]),
		[
			[1, false],
			[1, false],
			[1, false],
		],
	);
});

for (const toolchain of ["glibc", "glibc-static", "glibc-32", "glibc-32-static", "glibc-32-time64"] as const) {
	test(`callers are named through the C library, in the order of how often they call, ${toolchain}`, async () => {
		const { report } = await counted("callers", 10_000_000, [], toolchain);
		const callers = report.callers.filter(({ clock }) => clock === "CLOCK_MONOTONIC");
		const countOf = (name: string): number =>
			callers.filter(({ caller }) => caller.startsWith(`${name}+0x`)).reduce((sum, { count }) => sum + count, 0);
		const [often, seldom] = [countOf("often_reads"), countOf("seldom_reads")];
		assert.ok(often > seldom, JSON.stringify(callers));
		assert.ok(often + seldom > 39_600_000, JSON.stringify(callers));
	});
}

test("callers in code that a program has compiled have the names of its perf map", async (t) => {
	if (!has(t, "gcc")) return;
	const { report } = await stat([], [build("glibc", "compiled-caller.c"), "30000000"]);
	const callers = report.callers.filter(({ clock }) => clock === "CLOCK_MONOTONIC");
	const [first] = callers;
	assert.equal(first?.caller, "LazyCompile:*tick app.js:12");
	assert.ok(first.count > 25_000_000, JSON.stringify(callers));
});

for (const toolchain of ["glibc", "glibc-32"] as const) {
	test(`whatever a process writes to the counters, its clock is right and the run ends well, ${toolchain}`, async () => {
		const program = build(toolchain, "scribbles.c");
		for (const fill of ["0", "255", "128", "-1"]) {
			const { exitCode, stdout, stderr } = await vsyscall(["stat", "--clock", "+1h", "--", program, fill]);
			assert.equal(exitCode, 0, stderr);
			const { regions, now, kernel } = JSON.parse(stdout) as { regions: number; now: number; kernel: number };
			assert.equal(regions, 1, "only the observation file is writable and shared");
			assert.ok(Math.abs(now - kernel - 3600) <= 2, `${now} is an hour ahead of ${kernel}`);
		}
	});
}

test("the readings of a program in Go for i386 are counted, which have a stack of their own", async (t) => {
	if (!has(t, "go")) return;
	const { report } = await stat([], [build("go-386", "clock-readings.go")]);
	const wall = report.calls.filter(({ clock }) => clock === "CLOCK_REALTIME");
	// Twice in each of two goroutines.
	assert.deepEqual(
		wall.map(({ way, bits, count }) => [way, bits, count]),
		[["vdso", 32, 4]],
	);
});

test("a process that cannot reach the counters is named, and runs on its clock", async (t) => {
	if (process.getuid?.() !== 0) return t.skip("needs root to become another user");
	const { report, stdout } = await stat(
		["--clock", "@2031-01-01T00:00Z"],
		["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "date", "-u", "+%Y"],
	);
	assert.equal(stdout, "2031\n");
	const date = report.processes.find(({ program }) => program.endsWith("/date"));
	assert.deepEqual([date?.isCounted, date?.count], [false, 0]);
});

test("in a tree of programs of both classes each is counted for itself", async (t) => {
	if (!has(t, "gcc")) return;
	const [wide, narrow] = [build("glibc", "counted-calls.c"), build("glibc-32", "counted-calls.c")];
	const execs = build("glibc-32", "exec-argument.c");
	const script = `${wide} forks 3 & ${narrow} forks 4 & ${execs} /bin/date; ${narrow} threads 100; wait`;
	const { report } = await stat([], ["sh", "-c", script]);
	assert.equal(ofClass(report.calls, 64)["clock_gettime REALTIME"], 3 * 7 + 1, "and date's own");
	assert.equal(ofClass(report.calls, 32)["clock_gettime64 REALTIME"], 4 * 9 + 100);
	assert.equal(ofClass(report.calls, 32)["clock_gettime REALTIME"], 100);
	for (const process of report.processes) {
		assert.equal(process.isCounted, true, process.program);
		assert.deepEqual(
			process.calls.filter(({ bits }) => bits !== process.bits),
			[],
		);
	}
	const countsOf = (program: string): readonly number[] =>
		report.processes.filter((process) => process.program === program).map(({ count }) => count);
	assert.deepEqual(
		countsOf(wide),
		Array.from({ length: 7 }, () => 3),
	);
	assert.deepEqual(countsOf(narrow), [2200, ...Array.from({ length: 9 }, () => 4)]);
});

test("the text fits 80 columns, is aligned, and has no colour where there is no terminal", async () => {
	const program = build("glibc", "counted-calls.c");
	const { stderr, stdout } = await vsyscall(["stat", "--", program, "threads", "1234"]);
	assert.match(stdout, /^\{.*\}\n$/, "the program's output is its own");
	const lines = stderr.trimEnd().split("\n");
	assert.ok(lines.length > 20);
	for (const line of lines) assert.ok(line.length <= 80, line);
	// oxlint-disable-next-line no-control-regex
	assert.doesNotMatch(stderr, /\u001b/);
	const ends = lines.flatMap((line) => /^ *1,234 /.exec(line)?.[0].length ?? []);
	assert.ok(ends.length >= 13);
	assert.equal(new Set(ends.slice(0, 13)).size, 1, stderr);
});

test("stat ends as the program does, and says in one line what is wrong with its own arguments", async () => {
	assert.equal((await vsyscall(["stat", "--", "sh", "-c", "exit 7"])).exitCode, 7);
	assert.equal((await vsyscall(["stat", "--", "sh", "-c", "kill -9 $$"])).signal, "SIGKILL");
	for (const [args, message] of [
		[["-o", "/nowhere/report", "--", "true"], /^vsyscall: \/nowhere\/\w+ cannot be written \(ENOENT\).*\n$/],
		[["--top", "many", "--", "true"], /^vsyscall: option '--top <count>'.*whole number.*\n$/],
		[["--", "/no/such/program"], /^vsyscall: .*\n$/],
		[[], /^vsyscall: missing required argument 'program'\n$/],
	] as const) {
		const { exitCode, stderr, stdout } = await vsyscall(["stat", ...args]);
		assert.ok(exitCode === 125 || exitCode === 127, `${args.join(" ")}: ${exitCode}`);
		assert.match(stderr, message);
		assert.equal(stdout, "");
	}
});
