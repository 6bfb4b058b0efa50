/** The image in this process in front of the running kernel's own functions: the same answers, the same errors, the same deaths. */
import assert from "node:assert/strict";
import { constants } from "node:os";
import { describe, test } from "node:test";
import { Assembler } from "../../src/asm/assembler.ts";
import { memory } from "../../src/asm/operands.ts";
import { rax, rcx, rdi, rdx, rsi, rsp } from "../../src/asm/registers.ts";
import type { WallClock } from "../../src/clock/clock.ts";
import { AT_SYSINFO_EHDR, SYS_clock_gettime, SYS_wait4, WALL } from "../../src/linux/constants.ts";
import { cloneInto, ownAuxv, rawSyscall, syscallResult, viewMemory } from "../../src/linux/ffi.ts";
import { readHostImage, readTaiOffset } from "../../src/linux/host-vdso.ts";
import { decodeWaitStatus, type Stop } from "../../src/linux/wait-status.ts";
import { nanoseconds } from "../../src/units.ts";
import { SYSCALLS } from "../../src/vdso/host.ts";
import { lacks } from "../helpers/requirements.ts";
import { callable, makeReadOnly, mapAssembled, mapMemory } from "./machine.ts";
import { type Sandbox, sandboxOnHost } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const { vdso: host } = readHostImage();
const hostAddress = ownAuxv(AT_SYSINFO_EHDR);

/** Images that take every way: our own code for the coarse clocks and getcpu, and calls instead of both. */
const sandboxes: readonly (readonly [string, Sandbox])[] =
	hostAddress === 0n
		? []
		: [
				["as it is", sandboxOnHost(host, { hostAddress, taiSeconds: readTaiOffset() })],
				[
					"with calls only",
					sandboxOnHost(
						{ ...host, coarse: undefined, fine: undefined, hasRdpid: false },
						{ hostAddress, taiSeconds: readTaiOffset() },
					),
				],
			];

test("this host has a vDSO to compare with", (t) => {
	if (hostAddress === 0n) lacks(t, "booted with vdso=0");
});

const out = new BigInt64Array(2);
const syscallTime = (id: number): bigint => {
	assert.equal(rawSyscall(SYS_clock_gettime, id, out), 0);
	return (out[0] ?? 0n) * E9 + (out[1] ?? 0n);
};

const imageTime = ({ call, output, outputAddress }: Sandbox, id: number): bigint => {
	output.fill(-1n);
	assert.equal(BigInt.asIntN(32, call("clock_gettime", id, outputAddress)), 0n);
	return (output[0] ?? 0n) * E9 + (output[1] ?? 0n);
};

const BRACKETS = 2000;
const YEARS = nanoseconds(315_569_520n * E9 + 123_456_789n);
const WALL_IDS = [0, 5, 11];

for (const [name, sandbox] of sandboxes) {
	describe(`on this host, ${name}`, () => {
		for (const [id, clockName] of [
			[0, "REALTIME"],
			[1, "MONOTONIC"],
			[2, "PROCESS_CPUTIME_ID"],
			[3, "THREAD_CPUTIME_ID"],
			[4, "MONOTONIC_RAW"],
			[5, "REALTIME_COARSE"],
			[6, "MONOTONIC_COARSE"],
			[7, "BOOTTIME"],
			[11, "TAI"],
		] as const) {
			for (const offset of [nanoseconds(0n), YEARS, nanoseconds(0n - YEARS), nanoseconds(40n * YEARS)]) {
				test(`${clockName} lies between two system calls, ${offset / E9} seconds ahead`, () => {
					sandbox.page.push({ kind: "offset", offset });
					const shift = WALL_IDS.includes(id) ? offset : 0n;
					for (let round = 0; round < BRACKETS / 4; round++) {
						const before = syscallTime(id);
						const time = imageTime(sandbox, id) - shift;
						const after = syscallTime(id);
						assert.ok(before <= time && time <= after, `${before} ${time} ${after}`);
					}
				});
			}
		}

		test("gettimeofday and time lie between two readings of their clocks", () => {
			const { call, page, output, outputAddress } = sandbox;
			page.push({ kind: "offset", offset: YEARS });
			for (let round = 0; round < BRACKETS; round++) {
				const before = imageTime(sandbox, 0);
				assert.equal(BigInt.asIntN(32, call("gettimeofday", outputAddress, 0)), 0n);
				const [seconds = 0n, microseconds = 0n] = output;
				const after = imageTime(sandbox, 0);
				const time = seconds * 1_000_000n + microseconds;
				assert.ok(before / 1000n <= time && time <= after / 1000n);
				const coarseBefore = imageTime(sandbox, 5) / E9;
				const second = call("time", 0);
				assert.ok(coarseBefore <= second && second <= imageTime(sandbox, 5) / E9);
			}
		});

		test("getcpu names the processor that the system call names", () => {
			const { call, output, outputAddress } = sandbox;
			const cpu = new Uint32Array(2);
			let agreed = 0;
			for (let round = 0; round < BRACKETS; round++) {
				rawSyscall(SYSCALLS.getcpu, cpu, cpu.subarray(1), 0);
				const before = [...cpu];
				output.fill(-1n);
				assert.equal(BigInt.asIntN(32, call("getcpu", outputAddress, outputAddress + 8n, 0)), 0n);
				const seen = [BigInt.asUintN(32, output[0] ?? -1n), BigInt.asUintN(32, output[1] ?? -1n)].map(Number);
				assert.equal((output[0] ?? 0n) >> 32n, -1n, "4 bytes are stored");
				rawSyscall(SYSCALLS.getcpu, cpu, cpu.subarray(1), 0);
				// Whoever was moved between the two system calls may have seen either.
				if (before[0] !== cpu[0]) continue;
				agreed++;
				assert.deepEqual(seen, before);
			}
			assert.ok(agreed > BRACKETS / 2);
			assert.equal(BigInt.asIntN(32, call("getcpu", 0, 0, 0)), 0n);
		});

		test("clock_getres and strange ids give what the host's functions give", () => {
			const native = new Map(
				["clock_getres", "clock_gettime"].map((symbol) => {
					const entry = host.functions.find((candidate) => candidate.name === `__vdso_${symbol}`);
					return [symbol, callable(hostAddress + BigInt(entry?.offset ?? 0))];
				}),
			);
			const { call, output, outputAddress } = sandbox;
			const ids = [
				-1, -2, -3, -6, -7, -0x8000_0000, 0x7fff_ffff, 10, 12, 13, 14, 15, 16, 23, 24, 31, 32, 100, 1_073_743_192,
			];
			for (const id of [0, 1, 4, 5, 6, 7, 11, ...ids]) {
				output.fill(-1n);
				const expected = [
					BigInt.asIntN(32, native.get("clock_getres")?.(id, outputAddress) ?? 1n),
					...output.subarray(0, 2),
				];
				output.fill(-1n);
				const seen = [BigInt.asIntN(32, call("clock_getres", id, outputAddress)), ...output.subarray(0, 2)];
				assert.deepEqual(seen, expected, `clock_getres(${id})`);
			}
			for (const id of ids) {
				const expected = BigInt.asIntN(32, native.get("clock_gettime")?.(id, outputAddress) ?? 1n);
				assert.equal(BigInt.asIntN(32, call("clock_gettime", id, outputAddress)), expected, `clock_gettime(${id})`);
			}
		});

		test("getrandom, where the host has it, answers the query for its parameters and fills a buffer", (t) => {
			if (!sandbox.functions.has("__vdso_getrandom")) return t.skip("Linux 6.11 brought getrandom");
			const { call, output, outputAddress } = sandbox;
			output.fill(-1n);
			// The size of its state, and the protection and flags of the memory that it must stand in (vgetrandom_opaque_params).
			assert.equal(BigInt.asIntN(32, call("__vdso_getrandom", 0, 0, 0, outputAddress, -1)), 0n);
			const words = new Uint32Array(new BigUint64Array(output.slice(0, 2)).buffer);
			assert.ok((words[0] ?? 0) >= 100 && (words[0] ?? 0) < 4096, `state of ${words[0]} bytes`);
			assert.equal(words[1], 3);
			output.fill(0n);
			// A length that is no state's: the host's function makes the system call.
			assert.equal(BigInt.asIntN(32, call("__vdso_getrandom", outputAddress, 64, 0, 0, 1)), 64n);
			assert.ok(output.subarray(0, 8).every((random) => random !== 0n));
			assert.equal(output[8], 0n);
		});

		test("MONOTONIC does not step back between the image and the system call", () => {
			let last = 0n;
			for (let round = 0; round < 20_000; round++) {
				const time = round % 2 === 0 ? imageTime(sandbox, 1) : syscallTime(1);
				assert.ok(time >= last, `${time} after ${last}`);
				last = time;
			}
		});
	});
}

const PAGE = 4096;
const SIGCHLD = constants.signals.SIGCHLD;

/** Calls a function in a child process of its own. */
class Children {
	/** Takes a pointer to the function and its four arguments; what it returns is the child's exit code. */
	readonly #entry: bigint;
	readonly #stack = mapMemory(64 * 1024) + 64n * 1024n;
	readonly #argument = mapMemory(PAGE);
	readonly #words = new BigUint64Array(viewMemory(this.#argument, PAGE).buffer);

	constructor() {
		const assembler = new Assembler(64);
		assembler.sub(rsp, 8);
		assembler.mov(rax, memory(rdi));
		assembler.mov(rsi, memory(rdi, 16));
		assembler.mov(rdx, memory(rdi, 24));
		assembler.mov(rcx, memory(rdi, 32));
		assembler.mov(rdi, memory(rdi, 8));
		assembler.call(rax);
		assembler.add(rsp, 8);
		assembler.ret();
		this.#entry = mapAssembled(assembler.assemble());
	}

	run(code: bigint, args: readonly bigint[]): Stop {
		this.#words.fill(0n, 0, 5);
		this.#words.set([code, ...args.map((value) => BigInt.asUintN(64, value))]);
		const pid = cloneInto(this.#entry, this.#stack, SIGCHLD, this.#argument);
		assert.ok(pid > 0);
		const status = new Int32Array(1);
		assert.equal(syscallResult(SYS_wait4, pid, status, WALL, 0), pid);
		return decodeWaitStatus(status[0] ?? 0);
	}
}

// The second of time() is its exit code, which differs from clock to clock.
const outcome = (stop: Stop, symbol: string): Stop | string =>
	symbol === "time" && stop.kind === "exited" ? "returns" : stop;

describe("a bad pointer does what it does natively", () => {
	const good = mapMemory(PAGE);
	const readOnly = mapMemory(PAGE);
	makeReadOnly(readOnly, PAGE);
	// Two pages of which only the first can be written.
	const pair = mapMemory(2 * PAGE);
	makeReadOnly(pair + BigInt(PAGE), PAGE);
	const pointers: readonly (readonly [string, bigint])[] = [
		["NULL", 0n],
		["8", 8n],
		["a read-only page", readOnly],
		["8 bytes before a read-only page", pair + BigInt(PAGE - 8)],
		["a non-canonical address", 0x8000_0000_0000_0000n],
		["the kernel's half", -4096n],
		["good memory", good],
	];
	const calls: readonly (readonly [name: string, symbol: string, args: readonly bigint[]])[] = pointers.flatMap(
		([pointerName, pointer]) => [
			...[0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 99, -1, -6].map(
				(id) => [`clock_gettime(${id}, ${pointerName})`, "clock_gettime", [BigInt(id), pointer]] as const,
			),
			[`clock_getres(0, ${pointerName})`, "clock_getres", [0n, pointer]] as const,
			[`clock_getres(2, ${pointerName})`, "clock_getres", [2n, pointer]] as const,
			[`gettimeofday(${pointerName}, NULL)`, "gettimeofday", [pointer, 0n]] as const,
			[`gettimeofday(good, ${pointerName})`, "gettimeofday", [good, pointer]] as const,
			[`gettimeofday(NULL, ${pointerName})`, "gettimeofday", [0n, pointer]] as const,
			[`time(${pointerName})`, "time", [pointer]] as const,
			[`getcpu(${pointerName}, NULL)`, "getcpu", [pointer, 0n]] as const,
			[`getcpu(NULL, ${pointerName})`, "getcpu", [0n, pointer]] as const,
		],
	);
	const CLOCKS: readonly (readonly [string, WallClock])[] = [
		["the host's clock", { kind: "host" }],
		["ten years ahead", { kind: "offset", offset: YEARS }],
		["400 years ahead", { kind: "offset", offset: nanoseconds(40n * YEARS) }],
		["frozen", { kind: "frozen", at: nanoseconds(1n) }],
	];
	const children = new Children();
	const native = new Map<string, Stop | string>();

	for (const [sandboxName, sandbox] of sandboxes) {
		for (const [clockName, clock] of CLOCKS) {
			test(`${sandboxName}, ${clockName}`, () => {
				sandbox.page.push(clock);
				for (const [name, symbol, args] of calls) {
					const entry = host.functions.find((candidate) => candidate.name === `__vdso_${symbol}`);
					let expected = native.get(name);
					if (expected === undefined) {
						expected = outcome(children.run(hostAddress + BigInt(entry?.offset ?? 0), args), symbol);
						native.set(name, expected);
					}
					const seen = outcome(children.run(sandbox.functions.get(symbol) ?? 0n, args), symbol);
					assert.deepEqual(seen, expected, name);
				}
			});
		}
	}
});
