/** The measuring programs do what they are asked for: the calls that strace counts, with the times that the host has. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Addresses } from "../../src/bench/addresses.ts";
import { measuringProgram32 } from "../../src/bench/program32.ts";
import { measuringProgram64 } from "../../src/bench/program64.ts";
import * as protocol from "../../src/bench/protocol.ts";
import { Session, SessionOver } from "../../src/bench/session.ts";
import type { Target } from "../../src/bench/ways.ts";
import { hostRealtime } from "../../src/linux/host-vdso.ts";
import { CLI } from "../helpers/vsyscall.ts";
import { has } from "../helpers/requirements.ts";

const READINGS = 1000;
const YEAR = 31_556_952_000_000_000n;

const start = async (
	t: TestContext,
	program: protocol.MeasuringProgram,
	through: readonly string[] = [],
): Promise<Session> => {
	const session = await Session.start({ program, through, environment: process.env });
	t.after(() => session.end());
	return session;
};

const request = (session: Session, kind: protocol.CallKind, name: protocol.TimeFunction) => ({
	loop: session.program.loop(kind, name),
	calls: READINGS,
	warmUp: 3,
	stride: protocol.READING_SIZE,
	replyAddress: session.hello.block + BigInt(protocol.BLOCK.readings),
	replyLength: READINGS * protocol.READING_SIZE,
});

const symbol = (of: "host" | "process", name: string): Target => ({ kind: "symbol", of, name });
const NONE: Target = { kind: "none" };

const LOOPS: readonly (readonly [
	bits: 32 | 64,
	kind: protocol.CallKind,
	name: protocol.TimeFunction,
	target: Target,
])[] = [
	[64, "function", "clock_gettime", symbol("host", "__vdso_clock_gettime")],
	[64, "function", "gettimeofday", symbol("host", "__vdso_gettimeofday")],
	[64, "syscall", "clock_gettime", NONE],
	[64, "syscall", "gettimeofday", NONE],
	[64, "int80", "clock_gettime", NONE],
	[32, "function", "clock_gettime", symbol("host", "__vdso_clock_gettime64")],
	[32, "entry", "clock_gettime", { kind: "entry" }],
	[32, "int80", "clock_gettime", NONE],
];

const programOf = (bits: 32 | 64): protocol.MeasuringProgram =>
	bits === 64 ? measuringProgram64() : measuringProgram32();

for (const [bits, kind, name, target] of LOOPS) {
	test(`${bits}-bit ${name} by ${kind} reads the host's clock, in order, between two readings of ours`, async (t) => {
		const session = await start(t, programOf(bits));
		const address = await new Addresses(session).find(target);
		const before = hostRealtime();
		const reply = await session.ask({ ...request(session, kind, name), function: address });
		const after = hostRealtime();
		const readings = protocol.decodeReadings(reply, name);
		assert.equal(readings.length, READINGS);
		// gettimeofday cuts off what is below a microsecond.
		const unit = name === "gettimeofday" ? 1000n : 1n;
		let last = (before / unit) * unit;
		for (const reading of [...readings, after]) {
			assert.ok(reading >= last, `${reading} after ${last}`);
			last = reading;
		}
	});
}

for (const [bits, kind] of [
	[64, "syscall"],
	[32, "int80"],
	[32, "entry"],
] as const) {
	test(`${bits}-bit ${kind}: strace sees as many calls as were asked for, warm-up included`, async (t) => {
		if (!has(t, "strace")) return;
		const directory = mkdtempSync(join(tmpdir(), "vsyscall-bench-"));
		t.after(() => rmSync(directory, { recursive: true, force: true }));
		const log = join(directory, "log");
		const traced = ["strace", "-o", log, "-e", "trace=clock_gettime,clock_gettime64"];
		const session = await Session.start({ program: programOf(bits), through: traced, environment: process.env });
		const target: Target = kind === "entry" ? { kind: "entry" } : NONE;
		const address = await new Addresses(session).find(target);
		const asked = { ...request(session, kind, "clock_gettime"), calls: 123, warmUp: 45, function: address };
		await session.ask({ ...asked, replyLength: 123 * protocol.READING_SIZE });
		await session.end();
		const calls = readFileSync(log, "utf8").match(/^clock_gettime(64)?\(CLOCK_REALTIME,/gm) ?? [];
		assert.equal(calls.length, 123 + 45);
	});
}

test("what is measured is inside of what is measured around it, and grows with the calls", async (t) => {
	const session = await start(t, measuringProgram64());
	const ask = async (calls: number): Promise<number> => {
		const before = process.hrtime.bigint();
		const { elapsed, result } = protocol.decodeReport(
			await session.ask({
				...request(session, "syscall", "clock_gettime"),
				calls,
				stride: 0,
				function: 0n,
				replyAddress: session.hello.block + BigInt(protocol.BLOCK.before),
				replyLength: protocol.REPORT_SIZE,
			}),
		);
		// CLOCK_MONOTONIC_RAW here, the disciplined clock around it: they differ by less than 500 ppm.
		assert.ok(elapsed <= Number(process.hrtime.bigint() - before) * 1.001);
		assert.equal(result, 0);
		return elapsed;
	};
	await ask(1000);
	const few = await ask(1000);
	const many = await ask(100_000);
	assert.ok(many > 20 * few, `${many} ns for 100,000 calls, ${few} ns for 1,000`);
});

test("under a run the image is that of the run, ten years ahead", async (t) => {
	const run = [process.execPath, CLI, "run", "--clock", "+10y", "--"];
	const session = await start(t, measuringProgram64(), run);
	const addresses = new Addresses(session);
	const read = async (of: "host" | "process"): Promise<bigint> => {
		const address = await addresses.find(symbol(of, "__vdso_clock_gettime"));
		const reply = await session.ask({ ...request(session, "function", "clock_gettime"), function: address });
		return protocol.decodeReadings(reply, "clock_gettime")[0] ?? 0n;
	};
	const [host, own] = [await read("host"), await read("process")];
	assert.ok(own - host > 9n * YEAR && own - host < 11n * YEAR, `${own - host} ns ahead`);
});

test("an imported function is what is preloaded: libfaketime is ten years ahead", async (t) => {
	if (!has(t, "faketime")) return;
	const imports = {
		interpreter: "/lib64/ld-linux-x86-64.so.2",
		libraries: ["libc.so.6"],
		functions: ["clock_gettime"],
	};
	const session = await start(t, measuringProgram64(imports), ["faketime", "-f", "+3650d"]);
	const [address = 0n] = session.hello.imports;
	const reply = await session.ask({ ...request(session, "function", "clock_gettime"), function: address });
	const [first = 0n] = protocol.decodeReadings(reply, "clock_gettime");
	const ahead = first - hostRealtime();
	assert.ok(ahead > 9n * YEAR && ahead < 11n * YEAR, `${ahead} ns ahead`);
});

test("a program that does not survive a call says by what", async (t) => {
	const session = await start(t, measuringProgram64());
	const nowhere = { ...request(session, "function", "clock_gettime"), function: 0x1000n };
	await assert.rejects(session.ask(nowhere), { name: "SessionOver", message: "ends by SIGSEGV" });
	await assert.rejects(session.ask(nowhere), SessionOver);
});

test("a program that cannot be started says why", async () => {
	const nobody = { program: measuringProgram64(), through: ["/nonexistent/program"], environment: process.env };
	await assert.rejects(Session.start(nobody), { name: "SessionOver", message: /ENOENT/ });
	const refused = [process.execPath, CLI, "run", "--clock", "nonsense", "--"];
	await assert.rejects(Session.start({ ...nobody, through: refused }), { name: "SessionOver", message: /nonsense/ });
});
