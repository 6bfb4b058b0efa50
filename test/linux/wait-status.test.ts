/** wait4(2) status words, against the macros of the C library. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";
import fc from "fast-check";
import { decodeWaitStatus, type Stop } from "../../src/linux/wait-status.ts";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

const STOPPED = 0x7f;
const SIGTRAP = 5;
const SIGSTOP = 19;
const EVENT_STOP = 128;
const stopped = (signal: number, event = 0): number => (event << 16) | (signal << 8) | STOPPED;

const rows: readonly (readonly [string, number, Stop])[] = [
	["exit code 0", 0, { kind: "exited", exitCode: 0 }],
	["exit code 255", 0xff00, { kind: "exited", exitCode: 255 }],
	["killed by SIGKILL", 9, { kind: "killed", signal: 9, coreDumped: false }],
	["killed by SIGSEGV with a core", 0x8b, { kind: "killed", signal: 11, coreDumped: true }],
	["killed by signal 64", 64, { kind: "killed", signal: 64, coreDumped: false }],
	["a signal that is being delivered", stopped(10), { kind: "signal-delivery-stop", signal: 10 }],
	["a real SIGTRAP", stopped(SIGTRAP), { kind: "signal-delivery-stop", signal: SIGTRAP }],
	["a system call", stopped(SIGTRAP | 0x80), { kind: "syscall-stop" }],
	["exec", stopped(SIGTRAP, 4), { kind: "event-stop", event: 4 }],
	["seccomp", stopped(SIGTRAP, 7), { kind: "event-stop", event: 7 }],
	["a new task, and PTRACE_INTERRUPT", stopped(SIGTRAP, EVENT_STOP), { kind: "event-stop", event: EVENT_STOP }],
	["a group-stop", stopped(SIGSTOP, EVENT_STOP), { kind: "group-stop", signal: SIGSTOP }],
	["a group-stop by the terminal", stopped(22, EVENT_STOP), { kind: "group-stop", signal: 22 }],
	["real-time signal 64", stopped(64), { kind: "signal-delivery-stop", signal: 64 }],
];

for (const [name, status, expected] of rows) {
	test(`0x${status.toString(16)} is ${name}`, () => assert.deepEqual(decodeWaitStatus(status), expected));
}

test("every word has an answer", () => {
	fc.assert(
		fc.property(fc.integer(), (status) => {
			assert.ok(decodeWaitStatus(status).kind.length > 0);
		}),
		{ numRuns: 10_000 },
	);
});

interface Macros {
	readonly status: number;
	readonly exited: number | null;
	readonly signaled: number | null;
	readonly core: boolean;
	readonly stopped: number | null;
}

const macroFacts = (stop: Stop, status: number): Macros => ({
	status,
	exited: stop.kind === "exited" ? stop.exitCode : null,
	signaled: stop.kind === "killed" ? stop.signal : null,
	core: stop.kind === "killed" && stop.coreDumped,
	stopped: stop.kind === "exited" || stop.kind === "killed" ? null : (status >>> 8) & 0xff,
});

describe("the macros of wait.h", () => {
	test("say the same of exits, deaths and stops", (t) => {
		if (!has(t, "gcc")) return;
		const words = new Set(rows.map(([, status]) => status));
		for (let code = 0; code < 256; code++) {
			words.add(code << 8);
			words.add(stopped(code));
			// 0x7f and 0xff are no signals: stopped, and continued.
			if ((code & 0x7f) !== 0x7f) words.add(code & 0xff);
		}
		for (const event of [1, 2, 3, 4, 5, 6, 7, EVENT_STOP])
			for (const signal of [SIGTRAP, SIGSTOP, 20, 21, 22]) words.add(stopped(signal, event));
		const program = build("glibc", "wait-macros.c");
		const output = execFileSync(program, { input: [...words].join("\n"), encoding: "utf8" });
		const facts = output
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line) as Macros);
		assert.equal(facts.length, words.size);
		for (const fact of facts) assert.deepEqual(macroFacts(decodeWaitStatus(fact.status), fact.status), fact);
	});
});
