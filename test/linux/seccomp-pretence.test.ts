/** What the filter says to the calls of a pretence. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { buildFilter, PRETENDED_CALL } from "../../src/linux/seccomp.ts";
import type { Pretence } from "../../src/syscalls/pretence.ts";
import { ALLOW, I386, interpret, TRACE, X86_64 } from "../helpers/seccomp.ts";

const BASE = { tracesPageCalls: false, tracesSegvActions: false, tracesTimeCalls: true };
const pretending = (pretence: Pretence): Uint8Array => buildFilter({ ...BASE, pretence, syscallKey: KEY });
const PID = 4242n;
const KEY = 0x1234_5678;

const stops = (filter: Uint8Array, arch: number, nr: number, args: readonly bigint[]): boolean => {
	const { answer } = interpret(filter, { nr, arch, pointer: 0x40_1000n, args });
	assert.ok(answer === ALLOW || answer === TRACE + PRETENDED_CALL[arch === I386 ? "i386" : "x86-64"]);
	return answer !== ALLOW;
};

describe("of the calls of a pretence, the filter stops", () => {
	const [times, pids, first] = [pretending({ fileTimes: true }), pretending({ pid: 4242 }), pretending({ pid: 1 })];
	for (const [name, filter, nr, narrow, args, expected] of [
		["utime with times", times, 132, 30, [8n, 8n], true],
		["not utime without", times, 132, 30, [8n, 0n], false],
		["utimes", times, 235, 271, [8n, 8n], true],
		["futimesat", times, 261, 299, [3n, 8n, 8n], true],
		["utimensat", times, 280, 320, [3n, 0n, 8n, 0n], true],
		["not utimensat without times", times, 280, 320, [3n, 8n, 0n, 0n], false],
		["not getpid where it is true", times, 39, 20, [], false],
		["not getpid with the key", pids, 39, 20, [BigInt(KEY)], false],
		["getpid", pids, 39, 20, [], true],
		["kill of the pretended id", pids, 62, 37, [PID, 9n], true],
		["kill of its group", pids, 62, 37, [BigInt.asUintN(64, -PID), 9n], true],
		["kill of an id with another upper half", pids, 62, 37, [(5n << 32n) | PID, 9n], true],
		["not kill of another", pids, 62, 37, [17n, PID], false],
		["tgkill of the first thread of another", pids, 234, 270, [17n, PID, 9n], true],
		["not tgkill of others", pids, 234, 270, [17n, 18n, PID], false],
		["setpgid of another into its group", pids, 109, 57, [17n, PID], true],
		["an owner of a file", pids, 72, 55, [3n, 8n, PID], true],
		["not a lock of a file", pids, 72, 55, [3n, 6n, PID], false],
		["the priority of a process", pids, 140, 96, [0n, PID], true],
		["not of a user", pids, 140, 96, [2n, PID], false],
		["getrandom, where there is a seed", pretending({ seed: 0n }), 318, 355, [8n, 16n, 0n], true],
		["not getrandom where there is none", pids, 318, 355, [8n, 16n, 0n], false],
		["not wait4, which is for children", pids, 61, 114, [PID, 0n], false],
		["not utime where times are true", pids, 132, 30, [8n, 8n], false],
		["kill of 1, where that is the pretended id", first, 62, 37, [1n, 9n], true],
		["not kill of every process", first, 62, 37, [BigInt.asUintN(64, -1n), 9n], false],
	] as const) {
		test(name, () => {
			assert.deepEqual([stops(filter, X86_64, nr, args), stops(filter, I386, narrow, args)], [expected, expected]);
		});
	}

	test("nothing where nothing is pretended", () => {
		assert.deepEqual(pretending({}), buildFilter({ ...BASE, syscallKey: KEY }));
	});
});
