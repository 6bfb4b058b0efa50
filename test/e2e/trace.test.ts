/** `vsyscall trace` prints what programs call and get: they print the same themselves. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has } from "../helpers/requirements.ts";
import { vsyscall } from "../helpers/vsyscall.ts";

interface Counted {
	readonly function: string;
	readonly way: string;
	readonly count: number;
}

const countsOf = (calls: readonly Counted[] = []): readonly string[] =>
	calls.map(({ function: name, way, count }) => `${way} ${name} ${count}`).toSorted();

const isTimeOrGetcpu = ({ function: name }: Counted): boolean => name === "time" || name === "getcpu";

const SCHEMA = readSchema("trace.schema.json");
const TIME = /^\d\d:\d\d:\d\d\.\d{6} /;

/** Runs a program under trace. @returns the lines of the trace, and what the program printed */
const trace = async (flags: readonly string[], command: readonly string[]) => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-trace-"));
	try {
		const file = join(directory, "calls");
		const { exitCode, stdout, stderr } = await vsyscall(["trace", "-o", file, ...flags, "--", ...command]);
		assert.equal(exitCode, 0, stderr);
		return { lines: readFileSync(file, "utf8").split("\n").slice(0, -1), stdout, stderr };
	} finally {
		rmSync(directory, { recursive: true });
	}
};

const withoutTime = (line: string): string => {
	assert.match(line, TIME);
	return line.replace(TIME, "");
};

const sorted = (lines: readonly string[]): readonly string[] => lines.toSorted((a, b) => (a < b ? -1 : Number(a > b)));

const program = (...args: readonly string[]): readonly string[] => [build("glibc", "traced-calls.c"), ...args];

const CLASSES = ["glibc", "glibc-32"] as const;
const CLOCKS = ["host", "+10y frozen", "@2031-01-01T00:00Z", "@2050-01-01T00:00Z frozen"];

for (const [toolchain, clock] of CLASSES.flatMap((name) => CLOCKS.map((spec) => [name, spec] as const))) {
	test(`each kind of call is printed with what it was given and gave back, on the clock ${clock}, ${toolchain}`, async () => {
		const { lines, stdout, stderr } = await trace(["--clock", clock], [build(toolchain, "traced-calls.c"), "once"]);
		const said = stdout.split("\n").slice(0, -1);
		const seen = lines.map(withoutTime).slice(-said.length);
		assert.equal(seen.length, said.length);
		seen.forEach((line, index) => {
			const told = said[index] ?? "";
			const isAnsweredByKernel = clock === "host" && /(syscall|page) .* = \?$/.test(line);
			// Nobody sees what it stores then.
			if (isAnsweredByKernel) assert.equal(line.replace(/\(.*/, ""), told.replace(/\(.*/, ""));
			else assert.equal(line, told);
		});
		assert.equal(stderr, "");
	});
}

for (const toolchain of CLASSES) {
	test(`each call has its process and its thread, and those of a thread stand in their order, ${toolchain}`, async () => {
		const { lines, stdout } = await trace([], [build(toolchain, "traced-calls.c"), "threads", "300"]);
		const said = stdout.split("\n").slice(0, -1);
		assert.equal(said.length, 3 * 9 * 300);
		const seen = lines.map(withoutTime);
		assert.deepEqual(sorted(seen), sorted(said));
		const times = seen.map((line) => {
			const [, seconds = 0, rest = 0] = /tv_sec=(\d+), tv_nsec=(\d+)/.exec(line) ?? [];
			return BigInt(seconds) * 1_000_000_000n + BigInt(rest);
		});
		const last = new Map<string, bigint>();
		seen.forEach((line, index) => {
			const thread = line.split(" ").slice(0, 2).join(" ");
			const now = times[index] ?? 0n;
			assert.ok((last.get(thread) ?? 0n) <= now, line);
			last.set(thread, now);
		});
	});

	test(`the calls that are printed and those that are lost are all calls, ${toolchain}`, async () => {
		const count = 2_000_000;
		const { lines, stderr } = await trace(
			["-e", "clock_gettime,clock_gettime64"],
			[build(toolchain, "traced-calls.c"), "flood", String(count)],
		);
		let [printed, lost] = [0, 0];
		for (const line of lines) {
			const [, gone] = /^--- (\d+) calls lost ---$/.exec(line) ?? [];
			if (gone === undefined) printed += 1;
			else lost += Number(gone);
		}
		assert.equal(printed + lost, count);
		assert.ok(lost > 0, "a ring was full");
		assert.match(stderr, new RegExp(`^vsyscall: ${lost} calls were lost`));
	});
}

test("-e chooses, -c counts, --no-follow shows one process, and --json keeps to its schema", async () => {
	const chosen = await trace(["-e", "time,getcpu"], program("once"));
	assert.deepEqual(
		chosen.lines.map((line) => withoutTime(line).replace(/^\d+ \d+ (\w+).*/, "$1")),
		["time", "getcpu", "getcpu"],
	);
	const counted = await trace(["-c"], program("flood", "54321"));
	assert.match(counted.lines.join("\n"), /^54,321 .* clock_gettime REALTIME$/m);
	const all = await trace(["-c", "--json"], program("once"));
	const some = await trace(["-c", "--json", "-e", "time,getcpu"], program("once"));
	const [whole, part] = [all, some].map(({ lines }) => (JSON.parse(lines.join("")) as { calls: Counted[] }).calls);
	assert.deepEqual(countsOf(part), countsOf(whole?.filter(isTimeOrGetcpu)));
	assert.ok((whole?.length ?? 0) > (part?.length ?? 0) && (part?.length ?? 0) >= 2);
	const first = await trace(["--no-follow"], program("threads", "10"));
	assert.equal(first.lines.length, 90);
	const json = await trace(["--json"], program("once"));
	const values = json.lines.map((line) => JSON.parse(line) as { readonly function: string; readonly error?: string });
	for (const value of values) assert.deepEqual(schemaFaults(SCHEMA, value), []);
	assert.equal(values.filter(({ error }) => error === "EINVAL").length, 1);
	assert.ok(values.length >= 13);
});

test("the calls of a tree of both classes stand in one trace", async (t) => {
	if (!has(t, "gcc")) return;
	const [execs, narrow] = [build("glibc-32", "exec-argument.c"), build("glibc-32", "traced-calls.c")];
	const { lines, stdout, stderr } = await trace([], ["sh", "-c", `${execs} /bin/date -u +%s; ${narrow} threads 5`]);
	const [second = "", ...said] = stdout.split("\n").slice(0, -1);
	const seen = lines.map(withoutTime);
	const date = seen.filter((line) => line.includes(` clock_gettime(CLOCK_REALTIME, {tv_sec=${second}, `));
	assert.equal(date.length, 1, lines.join("\n"));
	assert.deepEqual(sorted(seen.filter((line) => line.includes(" clock_gettime64("))), sorted(said));
	assert.equal(stderr, "");
});

test("a program in Go for i386, whose GS is its own, is traced", async (t) => {
	if (!has(t, "go")) return;
	const { lines, stdout } = await trace(["--clock", "@2031-01-01T00:00Z"], [build("go-386", "clock-readings.go")]);
	const said = [...stdout.matchAll(/^realtime (\d+)\.(\d+)$/gm)].map(([, seconds, rest]) => `${seconds}.${rest}`);
	const seen = lines.flatMap((line) => {
		const [, seconds = "", rest = ""] = /CLOCK_REALTIME, \{tv_sec=(\d+), tv_nsec=(\d+)\}/.exec(line) ?? [];
		return seconds === "" ? [] : [`${seconds}.${rest.padStart(9, "0")}`];
	});
	assert.equal(said.length, 2);
	for (const time of said) assert.ok(seen.includes(time), `${time} in ${seen.join(" ")}`);
});

test("a program that cannot reach the file of the trace is named", async (t) => {
	if (process.getuid?.() !== 0) return t.skip("needs root to become another user");
	const command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "date"];
	const { stderr } = await trace([], command);
	assert.match(
		stderr,
		/^vsyscall: \S+\/date \(pid \d+\) cannot reach the file of the trace: of its calls only system calls .* are seen\n$/,
	);
});

test("trace ends as the program does, and says in one line what is wrong with its own arguments", async () => {
	assert.equal((await vsyscall(["trace", "-o", "/dev/null", "--", "sh", "-c", "exit 7"])).exitCode, 7);
	const unknown = await vsyscall(["trace", "-e", "clock_gettime,open", "--", "true"]);
	assert.equal(unknown.exitCode, 125);
	assert.match(unknown.stderr, /^vsyscall: -e names "open", which is no call that can be traced: .*\n$/);
	const nowhere = await vsyscall(["trace", "-o", "/nowhere/calls", "--", "true"]);
	assert.equal(nowhere.exitCode, 125);
	assert.match(nowhere.stderr, /^vsyscall: \/nowhere\/\w+ cannot be written \(ENOENT\).*\n$/);
});
