/** The entry of 32-bit programs into the kernel: what the kernel's own tests check of it holds as it does natively, in every form. */
import assert from "node:assert/strict";
import { describe, suite, test } from "node:test";
import { fastInstructionFault } from "../../src/linux/fast-entry-check.ts";
import { build, fixturePath } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { native, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const REPEATS = 100;
const entry = (): string => build("glibc-32-no-pie", "entry32.c", [fixturePath("entry32-probe.S")]);

const INSTRUCTIONS = ["syscall", "sysenter"] as const;
const refused = INSTRUCTIONS.filter((form) => fastInstructionFault(form) !== undefined);
const FORMS = ["auto", "int80", "host", ...INSTRUCTIONS.filter((form) => !refused.includes(form))];

const under = (form: string, command: readonly string[]): ReturnType<typeof vsyscall> =>
	vsyscall(["run", "--clock", "+10y", `--fast-entry=${form}`, "--", ...command]);

/** Through `int 0x80` the kernel keeps eight registers that it may clear elsewhere, and 32-bit code cannot see. */
const withoutWideRegisters = (text: string): string => text.replaceAll(/^(vsyscall .*r8 to r15) .*$/gm, "$1");

for (const form of FORMS) {
	describe(`--fast-entry=${form}`, () => {
		test("keeps registers, flags and stack, restores signals, and steps as natively", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const expected = await native([entry()]);
			const found = await under(form, [entry()]);
			assert.deepEqual([found.stderr, found.exitCode], ["", 0]);
			const same = form === "int80" ? withoutWideRegisters : (text: string) => text;
			assert.equal(same(found.stdout), same(expected.stdout));
			assert.equal(found.stdout.split("\n").length, 23);
		});

		test("does so under a tracer that looks at every call", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const command = [entry(), "traced"];
			const [expected, found] = [await native(command), await under(form, command)];
			assert.equal(withoutWideRegisters(found.stdout), withoutWideRegisters(expected.stdout));
			assert.ok(found.stdout.includes("kill: result 0"));
		});

		test("lets a tracer emulate, restart and replace calls", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			for (const command of [[build("glibc-32", "entry-ptrace.c")], [build("glibc-32", "entry-ptrace.c"), "int80"]]) {
				const [expected, found] = [await native(command), await under(form, command)];
				assert.equal(found.stdout, expected.stdout);
				assert.doesNotMatch(found.stdout, /WRONG|gone/);
			}
		});

		test("is unwound through from every instruction", TIMEOUT, async (t) => {
			if (!has(t, "gcc")) return;
			const command = [build("glibc-32-no-pie", "entry-unwind.c", ["-ldl"])];
			const [expected, found] = [await native(command), await under(form, command)];
			assert.deepEqual(found, expected);
			assert.match(found.stdout, /the caller was found from every instruction, lost 0/);
		});
	});
}

suite("a form", () => {
	for (const form of refused) {
		test(`that the processor refuses (${form}) is an error before the program starts`, TIMEOUT, async () => {
			const run = await vsyscall(["run", `--fast-entry=${form}`, "--", "echo", "started"]);
			assert.deepEqual([run.stdout, run.exitCode], ["", 125]);
			assert.match(run.stderr, new RegExp(`^vsyscall: --fast-entry=${form}: .*; give auto or int80\n$`));
		});
	}

	test("that nobody knows is an error", TIMEOUT, async () => {
		const run = await vsyscall(["run", "--fast-entry=fast", "--", "true"]);
		assert.deepEqual(run, {
			stdout: "",
			stderr: 'vsyscall: unknown fast entry "fast": give auto (the default), syscall, sysenter, int80 or host\n',
			exitCode: 125,
			signal: null,
		});
	});

	test("is nothing to 64-bit programs: a tracer emulates and restarts their calls as natively", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = [build("glibc", "entry-ptrace.c")];
		assert.equal((await under("auto", command)).stdout, (await native(command)).stdout);
	});
});

test(
	`${REPEATS} times: a call that a signal interrupts is restarted, and its result the program's own`,
	TIMEOUT,
	async (t) => {
		if (!has(t, "gcc", "bash")) return;
		const waits = build("glibc-32", "wall-waits.c");
		const script = `for ((i = 0; i < ${REPEATS}; i++)); do "$0" nanosleep 20 signal restart | sed 's/,"ms".*//'; done | sort | uniq -c`;
		const command = ["bash", "-c", script, waits];
		const [expected, found] = [await native(command), await under("auto", command)];
		assert.deepEqual(found, expected);
		assert.match(found.stdout, new RegExp(`^ *${REPEATS} `));
	},
);
