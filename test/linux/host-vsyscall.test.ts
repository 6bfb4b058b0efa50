/** What the host does with the vsyscall page, as a child finds it. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { setU64 } from "../../src/bytes.ts";
import { SIGSEGV, SYS_rt_sigaction } from "../../src/linux/constants.ts";
import { checkedSyscall } from "../../src/linux/ffi.ts";
import { probeHostVsyscall } from "../../src/linux/host-vsyscall.ts";
import { waitForAny } from "../../src/linux/wait.ts";

const SYS_rt_sigprocmask = 14;
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;
const SIG_IGN = 1n;
const SIGSET_SIZE = 8;

const mappings = (): readonly string[] => readFileSync("/proc/self/maps", "latin1").trimEnd().split("\n");

const codeMappings = (): number => mappings().filter((line) => line.includes("/memfd:vsyscall")).length;

/** What a kernel says itself: show_map_vma of gate_vma, vsyscall_64.c. */
const saidByKernel = (): string => {
	const line = mappings().find((mapping) => mapping.endsWith("[vsyscall]"));
	if (line === undefined) return "none";
	return line.includes(" r-xp ") ? "emulate" : "xonly";
};

describe("the host's mode", () => {
	test("is the one that the kernel shows in maps", () => {
		assert.equal(probeHostVsyscall(), saidByKernel());
	});

	test("is found where SIGSEGV is blocked", () => {
		const [mask, before] = [BigUint64Array.of(1n << BigInt(SIGSEGV - 1)), new BigUint64Array(1)];
		checkedSyscall("rt_sigprocmask", SYS_rt_sigprocmask, SIG_BLOCK, mask, before, SIGSET_SIZE);
		try {
			assert.equal(probeHostVsyscall(), saidByKernel());
			const after = new BigUint64Array(1);
			checkedSyscall("rt_sigprocmask", SYS_rt_sigprocmask, SIG_SETMASK, before, after, SIGSET_SIZE);
			assert.equal(after[0], (before[0] ?? 0n) | (mask[0] ?? 0n), "the mask is ours alone");
		} finally {
			checkedSyscall("rt_sigprocmask", SYS_rt_sigprocmask, SIG_SETMASK, before, 0, SIGSET_SIZE);
		}
	});

	test("is found where SIGSEGV is ignored, and leaves that as it is", () => {
		const [ignored, before, after] = [new Uint8Array(32), new Uint8Array(32), new Uint8Array(32)];
		setU64(ignored, 0, SIG_IGN);
		checkedSyscall("rt_sigaction", SYS_rt_sigaction, SIGSEGV, ignored, before, SIGSET_SIZE);
		try {
			assert.equal(probeHostVsyscall(), saidByKernel());
		} finally {
			checkedSyscall("rt_sigaction", SYS_rt_sigaction, SIGSEGV, before, after, SIGSET_SIZE);
		}
		assert.deepEqual(after, ignored);
	});

	test("leaves no child, no mapping and no descriptor, however often it is asked for", () => {
		probeHostVsyscall();
		const before = [codeMappings(), readdirSync("/proc/self/fd").length];
		for (let round = 0; round < 200; round++) assert.equal(probeHostVsyscall(), saidByKernel());
		assert.deepEqual([codeMappings(), readdirSync("/proc/self/fd").length], before);
		assert.equal(waitForAny().kind, "no-children");
	});
});
