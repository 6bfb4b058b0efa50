/** `vsyscall inspect` of processes of our own runs: the image, where its functions go, and the clock. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { inspect, type Inspected } from "../helpers/inspected.ts";
import { has } from "../helpers/requirements.ts";
import { assertNothingLeft, CLI, markedProcesses, startVsyscall, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 300_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-inspect-"));
const env = { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") };
after(() => rmSync(directory, { recursive: true, force: true }));

/** Shared mappings of files, as the vvar page is one, are not in a core file by default: core(5). */
const ALL_MAPPINGS = "echo 0x7f >/proc/self/coredump_filter";

const isProgram = (pid: number, program: string): boolean => {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith(`${program}\0`);
	} catch {
		return false;
	}
};

/** Runs the fixture under a run and gives its pid to `use`, once the run has said that it waits. */
const withRun = async (
	options: readonly string[],
	use: (pid: number) => Promise<void>,
	program = build("glibc", "waits.c"),
): Promise<void> => {
	const { child, mark, finished } = startVsyscall(["run", ...options, "--", program], { env });
	await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
	const pid = markedProcesses(mark).find((candidate) => isProgram(candidate, program)) ?? 0;
	try {
		await use(pid);
	} finally {
		process.kill(pid, "SIGKILL");
		await finished;
		await assertNothingLeft(mark);
	}
};

/** Names of functions that lead elsewhere, with where. */
const destinations = ({ image }: Inspected): ReadonlyMap<string, string | null> =>
	new Map(
		(image?.symbols ?? []).flatMap(({ name, leadsTo }) => (leadsTo === null ? [] : [[name, leadsTo.name] as const])),
	);

suite("a process of a run", () => {
	test("has the clock by its name, and an image that keeps our rules", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		await vsyscall(["clock", "create", "shop", "@2027-01-31T23:59:00Z frozen"], { env });
		await withRun(["--clock", "shop"], async (pid) => {
			const { clock, image } = await inspect([String(pid)]);
			assert.deepEqual(
				[clock?.name, clock?.kind, clock?.spec, clock?.time],
				["shop", "frozen", "@2027-01-31T23:59:00Z frozen", "2027-01-31T23:59:00Z"],
			);
			assert.deepEqual([image?.verdict?.profile, image?.verdict?.violations], ["own", []]);
			const { stdout } = await vsyscall(["inspect", String(pid)]);
			assert.match(stdout, /^clock +shop: @2027-01-31T23:59:00Z frozen, shows 2027-01-31T23:59:00Z$/m);
		});
		await vsyscall(["clock", "rm", "shop"], { env });
	});

	test("has them in 32 bits, too, where the image claims the host's data pages", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		await withRun(
			["--clock", "@2027-01-31T23:59:00Z frozen"],
			async (pid) => {
				const { clock, image } = await inspect([String(pid)]);
				assert.deepEqual([clock?.kind, clock?.spec], ["frozen", "@2027-01-31T23:59:00Z frozen"]);
				assert.deepEqual([image?.verdict?.profile, image?.verdict?.violations], ["own", []]);
			},
			build("glibc-32", "waits.c"),
		);
	});

	test("has both copies of its auxiliary vector lead to the image, and the kernel's beside it", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		await withRun(["--clock", "+30d"], async (pid) => {
			const inspected = await inspect([String(pid)]);
			const { image, auxv, hostImage } = inspected;
			const ehdr = auxv?.kernel.find(({ name }) => name === "AT_SYSINFO_EHDR")?.value;
			assert.equal(image?.address, ehdr);
			assert.deepEqual(auxv?.stack?.entries, auxv?.kernel);
			const line = /^([0-9a-f]+)-.*\[vdso\]$/m.exec(readFileSync(`/proc/${pid}/maps`, "latin1"))?.[1];
			assert.equal(hostImage?.start, `0x${line}`);
			// What the image does not do itself it leaves to the kernel's.
			assert.equal(destinations(inspected).get("__vdso_clock_getres"), "[vdso] __vdso_clock_getres");
			assert.equal(destinations(inspected).has("__vdso_clock_gettime"), false);
		});
	});

	test("has a clock without a name, and the entry page when the vsyscall page is served", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		await withRun(["--clock", "+30d", "--vsyscall", "xonly"], async (pid) => {
			const { clock } = await inspect([String(pid)]);
			assert.deepEqual([clock?.name, clock?.kind, clock?.spec], [null, "offset", "+30d"]);
			assert.match(clock?.entryPage ?? "", /^0x[2-7][0-9a-f]600000$/);
			const maps = readFileSync(`/proc/${pid}/maps`, "latin1");
			assert.match(maps, new RegExp(`^${clock?.entryPage?.slice(2)}-\\S+ r-xp`, "m"));
			const shows = Date.parse(clock?.time ?? "");
			assert.ok(Math.abs(shows - Date.now() - 30 * 86_400_000) < 60_000, clock?.time ?? "");
		});
	});

	test("is the same in a core file that the kernel writes when it dies", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const pattern = readFileSync("/proc/sys/kernel/core_pattern", "latin1").trim();
		if (pattern.includes("/") || pattern.startsWith("|")) return t.skip(`cores go to ${pattern}`);
		const program = build("glibc", "waits.c");
		const command = [
			"run",
			"--clock",
			"+30d",
			"--",
			"sh",
			"-c",
			`ulimit -c unlimited; ${ALL_MAPPINGS}; exec ${program}`,
		];
		const { child, mark, finished } = startVsyscall(command, { cwd: directory });
		await new Promise<void>((resolve) => child.stdout?.once("data", () => resolve()));
		const pid = markedProcesses(mark).find((candidate) => isProgram(candidate, program)) ?? 0;
		const live = await inspect([String(pid)]);
		process.kill(pid, "SIGABRT");
		await finished;
		await assertNothingLeft(mark);
		const file = readdirSync(directory).find((name) => name.startsWith("core"));
		assert.ok(file !== undefined);
		const core = await inspect([join(directory, file)]);
		assert.deepEqual([core.auxv, core.image?.buildId], [live.auxv, live.image?.buildId]);
		assert.deepEqual(core.image?.verdict, live.image?.verdict);
		assert.deepEqual({ ...core.clock, entryPage: live.clock?.entryPage, time: null }, { ...live.clock, time: null });
	});

	test("is disassembled with the words of the link page and the vvar page named", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		await withRun(["--clock", "+30d"], async (pid) => {
			const { stdout } = await vsyscall(["inspect", String(pid), "--disassemble", "__vdso_clock_getres"]);
			assert.match(stdout, /jmp qword \[rel link\+0x[0-9a-f]+ -> \[vdso\] __vdso_clock_getres\]$/m);
			const all = await vsyscall(["inspect", String(pid), "--disassemble"]);
			assert.match(all.stdout, /mov rax, \[rel vvar\+0x40\]$/m);
			assert.match(all.stdout, /mov r10, \[rel link\+0x[0-9a-f]+ -> \[vvar\]\]$/m);
		});
	});

	test("asks for the host's own layer and gets it, not that of the run", TIMEOUT, async () => {
		const run = ["run", "--clock", "+30d", "--", process.execPath, CLI, "inspect", "--host", "--json"];
		const { stdout, stderr, exitCode } = await vsyscall(run);
		assert.deepEqual([stderr, exitCode], ["", 0]);
		const inside = JSON.parse(stdout) as Inspected;
		const outside = await inspect(["--host"]);
		assert.deepEqual([inside.image?.buildId, inside.clock], [outside.image?.buildId, null]);
		assert.deepEqual(inside.vsyscallPage, outside.vsyscallPage);
	});
});
