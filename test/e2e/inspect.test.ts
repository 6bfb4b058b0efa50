/** `vsyscall inspect` against what the kernel, readelf, objdump and gdb say of the same. */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { inspectJson } from "../../src/cli/format/inspect-json.ts";
import { inspectText } from "../../src/cli/format/inspect-text.ts";
import { inspectProcess } from "../../src/cli/inspect-target.ts";
import { VsyscallError } from "../../src/errors.ts";
import type { Report } from "../../src/inspect/report.ts";
import { oracleSegments, oracleStrings, oracleSymbols, readelf } from "../elf/readelf.ts";
import { build } from "../helpers/fixtures.ts";
import { hostImage } from "../helpers/host-image.ts";
import { inspect, type Inspected, type InspectedEntry, type InspectedFunction } from "../helpers/inspected.ts";
import { readSchema, schemaFaults } from "../helpers/json-schema.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { CLI, native, vsyscall } from "../helpers/vsyscall.ts";

const SCHEMA = readSchema("inspect.schema.json");
const TIMEOUT = { timeout: 300_000 };
const directory = mkdtempSync(join(tmpdir(), "vsyscall-inspect-"));
const started: ChildProcess[] = [];
after(() => {
	for (const child of started) child.kill("SIGKILL");
	rmSync(directory, { recursive: true, force: true });
});

const ready = (child: ChildProcess): Promise<void> =>
	new Promise((resolve) => child.stdout?.once("data", () => resolve()));

/** A process that has executed its program: it says so. */
const start = async (file: string, args: readonly string[]): Promise<number> => {
	const child = spawn(file, args, { stdio: ["ignore", "pipe", "ignore"] });
	started.push(child);
	await ready(child);
	return child.pid ?? 0;
};

/** Of clock_nanosleep, as /proc/PID/syscall shows the call that a process waits in. */
const WAITS = /^230 /;

/** The shell executes sleep in its place, and the pid stays. It has been loaded when it waits: its mappings are those that it keeps. */
const startSleep = async (): Promise<number> => {
	const pid = await start("sh", ["-c", "echo ready; exec sleep 300"]);
	while (!WAITS.test(readFileSync(`/proc/${pid}/syscall`, "latin1"))) {
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
	return pid;
};

const processIds = (): readonly number[] =>
	readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map(Number);

const readIfAllowed = (path: string): Uint8Array | undefined => {
	try {
		return readFileSync(path);
	} catch {
		return undefined;
	}
};

/** The pairs of words of /proc/PID/auxv up to AT_NULL. */
const savedAuxv = (bytes: Uint8Array, bits: number): readonly (readonly [number, bigint])[] => {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	const word = (offset: number): bigint =>
		bits === 64 ? view.getBigUint64(offset, true) : BigInt(view.getUint32(offset, true));
	const pairs: (readonly [number, bigint])[] = [];
	for (let offset = 0; Number(word(offset)) !== 0; offset += bits / 4) {
		pairs.push([Number(word(offset)), word(offset + bits / 8)]);
	}
	return pairs;
};

const pairs = (entries: readonly InspectedEntry[] = []): readonly (readonly [number, bigint])[] =>
	entries.map(({ type, value }) => [type, BigInt(value)]);

const childrenOf = (pid: number): readonly number[] => {
	const children = readIfAllowed(`/proc/${pid}/task/${pid}/children`);
	return Buffer.from(children ?? [])
		.toString()
		.split(" ")
		.filter((word) => word !== "")
		.map(Number);
};

suite("every running process", () => {
	test("that the kernel lets us look into is inspected without a failure", TIMEOUT, async () => {
		let inspected = 0;
		for (const pid of processIds()) {
			const before = readIfAllowed(`/proc/${pid}/auxv`);
			if (before === undefined) continue;
			let report: Report;
			try {
				report = inspectProcess(pid);
			} catch (error) {
				// Only one that has ended meanwhile, or closed its memory: the kernel says the same.
				if (readIfAllowed(`/proc/${pid}/auxv`)?.length === before.length) throw error;
				continue;
			}
			const now = readIfAllowed(`/proc/${pid}/auxv`);
			const json: unknown = JSON.parse(JSON.stringify(inspectJson(report, undefined)));
			assert.deepEqual(schemaFaults(SCHEMA, json), []);
			assert.ok(inspectText(report).includes(String(pid)));
			if (now === undefined || Buffer.compare(before, now) !== 0) continue;
			const { auxv, target } = json as Inspected;
			if (target.emptiness !== null) assert.equal(now.length, 0);
			else assert.deepEqual(pairs(auxv?.kernel), savedAuxv(now, auxv?.bits ?? 0));
			inspected += 1;
		}
		assert.ok(inspected >= 3, `only ${inspected} processes could be inspected`);
	});

	test("that ends while it is looked at is a process that ended, at any moment", TIMEOUT, async () => {
		const child = spawn("sh", ["-c", "for i in $(seq 500); do /bin/true & /bin/true; done"], { stdio: "ignore" });
		const outcomes = { whole: 0, ended: 0 };
		while (child.exitCode === null) {
			for (const pid of childrenOf(child.pid ?? 0)) {
				try {
					inspectProcess(pid);
					outcomes.whole += 1;
				} catch (error) {
					assert.ok(error instanceof VsyscallError, String(error));
					assert.equal(error.code, "ERR_VSYSCALL_INSPECT");
					outcomes.ended += 1;
				}
			}
			await new Promise((resolve) => setImmediate(resolve));
		}
		assert.ok(outcomes.whole > 0 && outcomes.ended > 0, JSON.stringify(outcomes));
	});

	test("is left as it was: the same mappings, no tracer, no stop", TIMEOUT, async () => {
		const pid = await startSleep();
		const state = (): readonly string[] => [
			readFileSync(`/proc/${pid}/maps`, "latin1"),
			readFileSync(`/proc/${pid}/auxv`, "latin1"),
			/TracerPid:\s*\d+/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[0] ?? "",
			/nonvoluntary_ctxt_switches:\s*\d+/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[0] ?? "",
		];
		const before = state();
		await inspect([String(pid), "--disassemble"]);
		assert.deepEqual(state(), before);
	});
});

/** The image of a process that sleeps, in a file. */
const dumped = async (): Promise<{ path: string; inspected: Inspected }> => {
	const path = join(directory, "image.so");
	const pid = await startSleep();
	const finished = await vsyscall(["inspect", String(pid), "--dump", path]);
	assert.deepEqual([finished.stdout, finished.stderr, finished.exitCode], ["", "", 0]);
	return { path, inspected: await inspect([String(pid)]) };
};

suite("the image of a process", () => {
	test("is dumped as it is mapped", TIMEOUT, async () => {
		const { path } = await dumped();
		assert.ok(Buffer.from(readFileSync(path)).equals(hostImage()));
	});

	test("has the segments, symbols, versions and notes that readelf prints", TIMEOUT, async (t) => {
		if (!has(t, "readelf")) return;
		const { path, inspected } = await dumped();
		const { image } = inspected;
		assert.ok(image !== null);
		assert.deepEqual(
			image.segments.map(({ type, offset, address, fileSize, memorySize, alignment }) => ({
				type,
				numbers: [offset, address, fileSize, memorySize, alignment].map((value) => BigInt(value ?? 0)),
			})),
			oracleSegments(path).map(({ type, numbers }) => ({ type, numbers })),
		);
		assert.deepEqual(
			image.symbols.map(({ name, version, type, binding, value, size }) => [
				version === null ? name : `${name}@@${version}`.replace(/^(.*)@@\1$/, "$1"),
				type,
				binding,
				BigInt(value),
				BigInt(size),
			]),
			oracleSymbols(path)
				.slice(1)
				.map(({ name, type, binding, value, size }) => [name.replace(/^(.*)@@\1$/, "$1"), type, binding, value, size]),
		);
		assert.deepEqual([image.buildId], oracleStrings(path, /Build ID: ([0-9a-f]+)/, "-n"));
		assert.deepEqual([image.soname], oracleStrings(path, /Library soname: \[(.*)\]/, "-d"));
		assert.deepEqual(
			image.versions.map(({ index, name }) => `${index} ${name}`),
			readelf(path, "-V").flatMap((line) => {
				const [, index, name] = /Rev: 1 .*Index: (\d+) .*Name: (\S+)/.exec(line) ?? [];
				return index === undefined ? [] : [`${index} ${name}`];
			}),
		);
		assert.match(readelf(path, "-h").join("\n"), new RegExp(`Type: +${image.type} `));
		assert.deepEqual(image.verdict?.violations, []);
	});

	test("is disassembled as objdump does it: the same instructions at the same places", TIMEOUT, async (t) => {
		if (!has(t, "objdump")) return;
		const { path } = await dumped();
		const { disassembly = [] } = await inspect([path, "--disassemble"]);
		assert.deepEqual(instructionsOf(disassembly), objdumpOf(path));
	});

	test("has its auxiliary vector from gdb too", TIMEOUT, async (t) => {
		if (!has(t, "gdb")) return;
		const pid = await startSleep();
		const { auxv } = await inspect([String(pid)]);
		const said = execFileSync("gdb", ["-p", String(pid), "-batch", "-nx", "-ex", "info auxv"], {
			encoding: "latin1",
			stdio: ["ignore", "pipe", "ignore"],
		});
		const fromGdb = [...said.matchAll(/^(\d+) +(AT_\w+|\?\?\?) .*? (0x[0-9a-f]+|\d+)(?: ".*")?$/gm)]
			.map(([, type, , value]) => [Number(type), BigInt(value ?? 0)])
			.filter(([type]) => type !== 0);
		assert.deepEqual(pairs(auxv?.kernel), fromGdb);
		assert.deepEqual(pairs(auxv?.stack?.entries), fromGdb);
	});
});

/** Address and bytes of each instruction. */
const instructionsOf = (functions: readonly InspectedFunction[]): readonly string[] =>
	functions.flatMap(({ instructions }) => instructions.map(({ address, bytes }) => `${BigInt(address)} ${bytes}`));

const objdumpOf = (path: string): readonly string[] =>
	execFileSync("objdump", ["-d", "-w", path], { encoding: "latin1" })
		.split("\n")
		.flatMap((line) => {
			const [, address, bytes] = /^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+)/.exec(line) ?? [];
			return bytes === undefined ? [] : [`${BigInt(`0x${address}`)} ${bytes.replaceAll(" ", "")}`];
		});

suite("32-bit processes", () => {
	test("have their own image, and the entry that its code shows", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "objdump")) return;
		const pid = await start(build("glibc-32-static", "waits.c"), []);
		const { auxv, image, kernelVsyscall } = await inspect([String(pid)]);
		assert.deepEqual([auxv?.bits, image?.abi, image?.soname], [32, "i386", "linux-gate.so.1"]);
		assert.deepEqual(pairs(auxv?.kernel), savedAuxv(readFileSync(`/proc/${pid}/auxv`), 32));
		assert.deepEqual(pairs(auxv?.stack?.entries), pairs(auxv?.kernel));
		assert.equal(kernelVsyscall?.address, auxv?.kernel.find(({ name }) => name === "AT_SYSINFO")?.value);
	});

	test("enter the kernel by the instruction that objdump shows first", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "objdump")) return;
		const pid = await start(build("glibc-32-static", "waits.c"), []);
		const { kernelVsyscall } = await inspect([String(pid)]);
		const path = join(directory, "image32.so");
		await vsyscall(["inspect", String(pid), "--dump", path]);
		const code = execFileSync("objdump", ["-d", "--disassemble=__kernel_vsyscall", path], { encoding: "latin1" });
		const first = /\t(sysenter|syscall|int +\$0x80)/.exec(code)?.[1]?.replace(/ +\$/, " ");
		assert.equal(kernelVsyscall?.instruction, first);
		const { disassembly = [] } = await inspect([path, "--disassemble"]);
		assert.deepEqual(instructionsOf(disassembly), objdumpOf(path));
		const host = await inspect(["--host"]);
		assert.equal(host.kernelVsyscall?.instruction, first);
	});
});

/** gcore stops the process for a moment; the process stays. */
const coreOf = (pid: number): string => {
	execFileSync("gcore", ["-o", join(directory, "core"), String(pid)], { stdio: "ignore" });
	return join(directory, `core.${pid}`);
};

suite("core files", () => {
	test("say what their process said", TIMEOUT, async (t) => {
		if (!has(t, "gdb", "gcore")) return;
		const pid = await startSleep();
		const live = await inspect([String(pid)]);
		const core = await inspect([coreOf(pid)]);
		assert.deepEqual(core.target, { ...core.target, kind: "core", pid });
		assert.deepEqual([core.auxv, core.image], [live.auxv, live.image]);
	});

	test("of 32-bit processes too", TIMEOUT, async (t) => {
		if (!has(t, "gdb", "gcore", "gcc")) return;
		const pid = await start(build("glibc-32-static", "waits.c"), []);
		const live = await inspect([String(pid)]);
		const core = await inspect([coreOf(pid)]);
		assert.deepEqual([core.auxv, core.image, core.kernelVsyscall], [live.auxv, live.image, live.kernelVsyscall]);
	});
});

suite("the host", () => {
	test("has the mode that its line in maps shows", TIMEOUT, async () => {
		const { vsyscallPage } = await inspect([]);
		const line = /^ffffffffff600000-\S+ (\S+) .*\[vsyscall\]$/m.exec(readFileSync("/proc/self/maps", "latin1"))?.[1];
		assert.equal(vsyscallPage.mapping?.permissions, line);
		const mode = line === undefined ? "none" : line.startsWith("r-x") ? "emulate" : "xonly";
		assert.equal(vsyscallPage.host, mode);
	});

	test("counts as fast as two readings of the counter and the clock say", TIMEOUT, async (t) => {
		const { vvar } = await inspect(["--host"]);
		if (vvar?.clockMode.value !== 1) return t.skip("the clock source is not tsc");
		const expected = (1_000_000_000n << BigInt(vvar.shift)) / BigInt(vvar.multiplier);
		assert.equal(vvar.cyclesPerSecond, expected.toString());
		const megahertz = Number(/^cpu MHz\s*: ([\d.]+)/m.exec(readFileSync("/proc/cpuinfo", "latin1"))?.[1]);
		assert.ok(Math.abs(Number(vvar.cyclesPerSecond) / 1e6 / megahertz - 1) < 0.5, vvar.cyclesPerSecond);
		// A kernel that is not idle writes its page at every tick; an idle one at least once a second.
		const age = Number(vvar.ageNanoseconds);
		assert.ok(age >= 0 && age < 2e9, vvar.ageNanoseconds);
	});

	test("is what a new time namespace has, behind the namespace's own page", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "unshare")) return;
		const pid = await start("unshare", ["-T", "--monotonic", "86400", "sh", "-c", "echo ready; exec sleep 300"]);
		const other = await inspect([String(pid)]);
		assert.deepEqual(
			[other.timeNamespace?.isOurs, other.timeNamespace?.monotonicNanoseconds],
			[false, "86400000000000"],
		);
		const { stdout } = await new Promise<{ stdout: string }>((resolve) => {
			const command = ["-T", "--fork", "--monotonic", "86400", process.execPath, CLI, "inspect", "--json"];
			const child = spawn("unshare", command, { stdio: ["ignore", "pipe", "inherit"] });
			let text = "";
			child.stdout.on("data", (part: Buffer) => (text += part.toString()));
			child.on("close", () => resolve({ stdout: text }));
		});
		const inside = JSON.parse(stdout) as Inspected;
		assert.deepEqual([inside.timeNamespace?.isOurs, inside.vvar?.isInTimeNamespace], [true, true]);
		assert.ok(Number(inside.vvar?.ageNanoseconds) < 2e9, inside.vvar?.ageNanoseconds);
	});
});

suite("--help", () => {
	for (const verb of ["inspect", "doctor"]) {
		test(`of ${verb} has two examples, which run as they stand`, TIMEOUT, async () => {
			const { stdout } = await vsyscall([verb, "--help"]);
			const examples = stdout
				.slice(stdout.indexOf("Examples:\n"))
				.split("\n")
				.filter((line) => line.startsWith("  vsyscall "));
			assert.equal(examples.length, 2);
			for (const example of examples) {
				const script = `vsyscall() { "${process.execPath}" "${CLI}" "$@"; }\n${example}`;
				const { stderr, exitCode } = await native(["sh", "-c", script]);
				assert.equal(stderr, "");
				// 1: doctor found a problem of this host.
				assert.ok(exitCode === 0 || (verb === "doctor" && exitCode === 1), example);
			}
			for (const line of stdout.split("\n")) assert.ok(line.length <= 80, line);
		});
	}
});
