/** What a program can see of us: the image's address, its rights, and the state in which the program is entered. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { suite, test } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { assertImageFacts } from "../helpers/image-facts.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { runUnder } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const SHIFTED = "@2038-01-19T03:14:07Z";

suite("the image", () => {
	for (const toolchain of ["glibc", "glibc-static", "glibc-static-pie"] as const) {
		test(
			`has its address in both copies of the auxiliary vector, and the right rights (${toolchain})`,
			TIMEOUT,
			async (t) => {
				if (!has(t, "gcc")) return;
				await assertImageFacts(SHIFTED, build(toolchain, "image-facts.c"), /^stack 7[0-9a-f]{8}000$/);
			},
		);
	}

	test("has the same in a program that made its own file", TIMEOUT, async (t) => {
		if (!isRoot(t) || !has(t, "gcc", "unshare")) return;
		const command = ["unshare", "-p", "-f", "--mount-proc", build("glibc", "image-facts.c")];
		const { stdout } = await runUnder(SHIFTED, command);
		assert.match(
			stdout,
			/magic 1\nmapping r-xp 1\nmapping r--p 0\nmapping r--s 1\nwrite EACCES\nwrite and execute EACCES\n$/,
		);
	});

	test("is at an address that differs from exec to exec", TIMEOUT, async (t) => {
		if (!has(t, "gcc", "bash")) return;
		const runs = 400;
		const command = ["bash", "-c", `for ((i = 0; i < ${runs}; i++)); do "$0" --address; done`];
		const { stdout } = await runUnder(SHIFTED, [...command, build("musl-static", "image-facts.c")]);
		const addresses = stdout
			.trimEnd()
			.split("\n")
			.map((line) => BigInt(`0x${line}`));
		assert.equal(addresses.length, runs);
		assert.ok(new Set(addresses).size > runs * 0.95, `${new Set(addresses).size} distinct addresses`);
		// 28 bits above the page are random: among 400 every one of them is seen as 0 and as 1.
		for (let bit = 12n; bit < 39n; bit++) {
			const ones = addresses.filter((address) => ((address >> bit) & 1n) === 1n).length;
			assert.ok(ones > runs / 4 && ones < (runs * 3) / 4, `bit ${bit} is set in ${ones} of ${runs}`);
		}
	});
});

test("nobody can write to the supervisor's files", TIMEOUT, async (t) => {
	if (!isRoot(t) || !has(t, "gcc", "unshare")) return;
	const attack = build("glibc", "page-attack.c");
	// The program attacks its own supervisor; a process that made its own file holds it no longer, so there is one file.
	const script = 'unshare -p -f --mount-proc date -u +%Y; "$0" $PPID; date -u +%Y';
	const { stdout, stderr, exitCode } = await runUnder(SHIFTED, ["sh", "-c", script, attack]);
	const refused = "open OK\npwrite EPERM\nftruncate EPERM\nfallocate EPERM\nmmap EPERM\nmprotect EACCES\n";
	assert.deepEqual([stdout, stderr, exitCode], [`2038\n${refused}files 1\n2038\n`, "", 0]);
});

const words = (text: string): readonly bigint[] =>
	text
		.trim()
		.split(/\s+/)
		.map((word) => BigInt(`0x${word}`));

test("a 32-bit program is entered with the registers that execve leaves", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const program = build("glibc-32-static", "entry-state32.S", ["-nostdlib"]);
	const command = ["sh", "-c", '"$0" | od -An -v -tx4 -w4', program];
	const shown = words((await runUnder(SHIFTED, command)).stdout);
	const expected = words(execFileSync("sh", command.slice(1), { encoding: "utf8" }));
	const STACK_POINTER = 7;
	assert.equal(shown.length, 144);
	assert.equal((shown[STACK_POINTER] ?? 1n) % 16n, 0n);
	assert.deepEqual(shown.toSpliced(STACK_POINTER, 1), expected.toSpliced(STACK_POINTER, 1));
});

test("a program is entered with the registers that execve leaves", TIMEOUT, async (t) => {
	if (!has(t, "gcc")) return;
	const program = build("glibc-static", "entry-state.S", ["-nostdlib"]);
	// Bytes: as hexadecimal text, through a pipe of the shell's.
	const command = ["sh", "-c", '"$0" | od -An -v -tx8 -w8', program];
	const shown = words((await runUnder(SHIFTED, command)).stdout);
	const expected = words(execFileSync("sh", command.slice(1), { encoding: "utf8" }));
	const STACK_POINTER = 7;
	assert.equal(shown.length, 88);
	assert.equal((shown[STACK_POINTER] ?? 1n) % 16n, 0n);
	shown.slice(0, 16).forEach((word, index) => {
		if (index !== STACK_POINTER) assert.equal(word, 0n, `general register ${index}`);
	});
	assert.deepEqual(shown.toSpliced(STACK_POINTER, 1), expected.toSpliced(STACK_POINTER, 1));
});
