/** Probes of the host, each where the answer is known. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Assembler } from "../../src/asm/assembler.ts";
import { eax, edx } from "../../src/asm/registers.ts";
import { SYS_clock_gettime, SYS_ptrace, SYS_seccomp } from "../../src/linux/constants.ts";
import { probeFilter, probeTracing } from "../../src/linux/host-probes.ts";
import { readKernelImage32 } from "../../src/linux/kernel-image32.ts";
import { mapCode } from "../../src/linux/memfd.ts";
import { waitForAny } from "../../src/linux/wait.ts";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";

const CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/** A clock_gettime that makes the system call, as the host's does without a clock in user space. */
const trappingClock = (): bigint => {
	const assembler = new Assembler(64);
	assembler.mov(eax, SYS_clock_gettime);
	assembler.xor(edx, edx);
	assembler.syscall();
	assembler.ret();
	return mapCode(assembler.assemble().bytes);
};

/** What a probe says in a process that may not make a system call: deny-call.c refuses it with EPERM. */
const probeWithout = (number: number, probe: "probeFilter" | "probeTracing"): unknown => {
	const probes = fileURLToPath(new URL("../../src/linux/host-probes.js", import.meta.url));
	const script = `import(${JSON.stringify(probes)}).then((probes) => console.log(JSON.stringify(probes.${probe}())))`;
	const deny = build("glibc", "deny-call.c");
	const { stdout } = spawnSync(deny, [String(number), process.execPath, "-e", script], { encoding: "utf8" });
	return JSON.parse(stdout);
};

const filters = (): string => /^Seccomp:.*$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[0] ?? "";

suite("reading the clock", () => {
	test("is no system call where the clock source is the counter", (t) => {
		const source = readFileSync(CLOCK_SOURCE, "latin1").trim();
		if (source !== "tsc") return t.skip(`the clock source is ${source}`);
		assert.deepEqual(probeFilter(), { isAllowed: true, trapsForTime: false });
	});

	test("by a function that makes the system call is one", () => {
		assert.deepEqual(probeFilter(trappingClock()), { isAllowed: true, trapsForTime: true });
	});

	test("cannot be tried without a function, or without filters", (t) => {
		assert.deepEqual(probeFilter(0n), { isAllowed: true, trapsForTime: undefined });
		if (!has(t, "gcc")) return;
		assert.deepEqual(probeWithout(SYS_seccomp, "probeFilter"), { isAllowed: false });
	});

	test("goes on in this process, which the filter of the child does not concern", () => {
		const before = filters();
		for (let round = 0; round < 100; round++) probeFilter();
		assert.equal(filters(), before);
		assert.equal(waitForAny().kind, "no-children");
	});
});

suite("tracing", () => {
	test("is allowed here, however often it is asked, and leaves no child", () => {
		for (let round = 0; round < 100; round++) assert.equal(probeTracing(), 0);
		assert.equal(waitForAny().kind, "no-children");
	});

	test("is refused with the errno of a filter", (t) => {
		if (!has(t, "gcc")) return;
		assert.equal(probeWithout(SYS_ptrace, "probeTracing"), 1);
	});
});

suite("the kernel's image of 32-bit processes", () => {
	test("is an ELF image with the entry in it, each time", () => {
		for (let round = 0; round < 20; round++) {
			const image = readKernelImage32();
			assert.ok(image?.address !== undefined && image.entry !== undefined);
			assert.deepEqual([...image.bytes.subarray(0, 5)], [0x7f, 0x45, 0x4c, 0x46, 1]);
			assert.equal(image.bytes.length % 4096, 0);
			assert.ok(image.entry > image.address && image.entry < image.address + BigInt(image.bytes.length));
		}
	});
});
