/** FAKERANDOM_SEED: random bytes that are the same in every run. The oracle is the original. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { build, type Toolchain } from "../helpers/fixtures.ts";
import { has, isRoot } from "../helpers/requirements.ts";
import { native, vsyscall } from "../helpers/vsyscall.ts";

const TIMEOUT = { timeout: 120_000 };
const SEED = "0x12345678DEADBEEF";
const CLOCK = ["-f", "+1d"] as const;

const ours = async (command: readonly string[], seed = SEED): Promise<string> =>
	(await vsyscall(["faketime", ...CLOCK, ...command], { env: { HOME: "/nonexistent", FAKERANDOM_SEED: seed } })).stdout;
const theirs = async (command: readonly string[], seed = SEED): Promise<string> =>
	(await native(["faketime", ...CLOCK, ...command], { env: { HOME: "/nonexistent", FAKERANDOM_SEED: seed } })).stdout;

suite("a program gets the bytes of the original", () => {
	for (const ways of ["r", "rne", "elr", "rft", "rfr", "rxr", "ttr"]) {
		test(ways, TIMEOUT, async (t) => {
			if (!has(t, "faketime", "gcc")) return;
			const command = [build("glibc", "random-bytes.c"), ways];
			const expected = await theirs(command);
			assert.match(expected, /^[\da-f]{10}/);
			assert.equal(await ours(command), expected);
		});
	}

	for (const seed of ["1", "-1", "017", "0", "0xffffffffffffffff", "9223372036854775807"]) {
		test(`of the seed ${seed}`, TIMEOUT, async (t) => {
			if (!has(t, "faketime", "gcc")) return;
			const command = [build("glibc", "random-bytes.c"), "rr"];
			assert.equal(await ours(command, seed), await theirs(command, seed));
		});
	}

	test("python: its hashes, its random numbers and the system's", TIMEOUT, async (t) => {
		if (!has(t, "faketime")) return;
		const script =
			'import os, random; print(os.urandom(8).hex(), random.random(), hash("a"), random.SystemRandom().random())';
		const command = ["python3", "-c", script];
		assert.equal(await ours(command), await theirs(command));
	});
});

suite("every program gets them", () => {
	const toolchains: readonly Toolchain[] = ["glibc-static", "musl", "musl-static", "glibc-32", "glibc-32-static"];
	for (const toolchain of toolchains) {
		test(toolchain, TIMEOUT, async (t) => {
			if (!has(t, "gcc", "musl-gcc")) return;
			const ways = "rneslftxr";
			const expected = await ours([build("glibc", "random-bytes.c"), ways]);
			assert.equal(await ours([build(toolchain, "random-bytes.c"), ways]), expected);
		});
	}

	test("also beside each other", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const program = build("glibc", "random-bytes.c");
		const alone = await ours([program, "rnesrnes"]);
		const together = await ours([
			"sh",
			"-c",
			`for i in 1 2 3 4 5 6; do ${program} rnesrnes > /dev/null & done; ${program} rnesrnes; wait`,
		]);
		assert.equal(together, alone);
	});

	test("unless its memory is closed to us, which is said", TIMEOUT, async (t) => {
		if (!has(t, "gcc") || !isRoot(t)) return;
		const NOBODY = 65_534;
		const env = { HOME: "/nonexistent", FAKERANDOM_SEED: SEED };
		const command = ["faketime", ...CLOCK, build("glibc", "random-bytes.c"), "cr"];
		const reached = await vsyscall(command, { env });
		const closed = await vsyscall(command, { env, uid: NOBODY, gid: NOBODY });
		assert.equal(reached.stdout, await theirs(command.slice(3), SEED));
		assert.match(closed.stdout, /^[\da-f]{32}\n$/);
		assert.notEqual(closed.stdout, reached.stdout);
		assert.match(closed.stderr, /^vsyscall: random-bytes\S* \(pid \d+\) has closed its memory .* no seed.*\n$/);
	});

	test("and what the kernel refuses, it refuses", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = [build("glibc", "random-bytes.c"), "ip"];
		const real = await native(command);
		assert.equal(real.stdout, "-1 22\n-1 14\n");
		assert.equal(await ours(command), real.stdout);
	});
});

/** Whether a 64-bit image of a run has the function. */
const isExported = async (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<boolean> => {
	const { stdout } = await vsyscall([...args, build("glibc", "clock-facts.c")], { env });
	const fact = stdout.split("\n").find((line) => line.includes('"fact":"getrandom"'));
	assert.ok(fact !== undefined, stdout);
	return !fact.includes('"exported":false');
};

suite("the image", () => {
	test("has no function that makes them in the process, as long as there is a seed", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		assert.equal(await isExported(["faketime", ...CLOCK], { HOME: "/nonexistent", FAKERANDOM_SEED: SEED }), false);
		const { stdout } = await native([build("glibc", "clock-facts.c")]);
		const isHosts = !stdout.includes('{"fact":"getrandom","exported":false}');
		assert.equal(await isExported(["run", "--clock", "+1d", "--"]), isHosts);
	});

	test("without a seed, random bytes are random", TIMEOUT, async (t) => {
		if (!has(t, "gcc")) return;
		const command = ["faketime", ...CLOCK, build("glibc", "random-bytes.c"), "r"];
		const [first, second] = [await vsyscall(command), await vsyscall(command)];
		assert.notEqual(first.stdout, second.stdout);
	});
});
