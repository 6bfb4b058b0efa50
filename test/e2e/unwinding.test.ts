/** Unwinders in a program: C++ exceptions, backtrace(3), the end and the cancellation of threads, inside our image. */
import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { native, runUnder } from "../helpers/vsyscall.ts";

const CLOCKS = ["+10y", "+400y1ns", "frozen", "-5000y", "host"];
/** Our code stores the time, so a bad pointer faults in it and not in the host's. */
const FAULTS: readonly (readonly [clock: string, name: string])[] = [
	["+10y", "time"],
	["+1ns", "time"],
	["+7000y", "time"],
	["+10y", "clock_gettime"],
	["+7000y", "clock_gettime"],
	["+10y", "gettimeofday"],
	["frozen", "time"],
	["frozen", "clock_gettime"],
	["frozen", "gettimeofday"],
];

/** The line of JSON that the fixture prints under a clock, or natively. */
const facts = async <Facts>(clock: string | undefined, command: readonly string[]): Promise<Facts> => {
	const finished = clock === undefined ? await native(command) : await runUnder(clock, command);
	assert.equal(finished.stderr, "");
	assert.deepEqual([finished.exitCode, finished.signal], [0, null]);
	return JSON.parse(finished.stdout) as Facts;
};

const fixture = (t: TestContext): string | undefined =>
	has(t, "g++") ? build("c++", "unwinding.cpp", ["-rdynamic", "-ldl"]) : undefined;

interface Throw {
	readonly caught: number;
	readonly destroyed: number;
	readonly inImage: number;
}

interface Backtrace {
	readonly faultInImage: boolean;
	readonly frames: readonly { readonly object: string; readonly symbol: string; readonly inImage: boolean }[];
}

interface Steps {
	readonly inImage: number;
	readonly foundFromImage: number;
	readonly elsewhere: number;
}

describe("a fault in the image", { timeout: 120_000 }, () => {
	for (const [clock, name] of FAULTS) {
		test(`throws a C++ exception through ${name} to its caller, under ${clock}`, async (t) => {
			const program = fixture(t);
			if (program === undefined) return;
			const expected = { caught: 100, destroyed: 100, inImage: 100 };
			assert.deepEqual(await facts<Throw>(undefined, [program, "throw", name]), expected, "natively");
			assert.deepEqual(await facts<Throw>(clock, [program, "throw", name]), expected);
		});

		test(`shows ${name} of linux-vdso.so.1 and its caller in a backtrace, under ${clock}`, async (t) => {
			const program = fixture(t);
			if (program === undefined) return;
			const expected = await facts<Backtrace>(undefined, [program, "backtrace", name]);
			const seen = await facts<Backtrace>(clock, [program, "backtrace", name]);
			assert.equal(seen.faultInImage, true);
			const found = seen.frames.slice(seen.frames.findIndex(({ inImage }) => inImage));
			assert.equal(found[0]?.object, "linux-vdso.so.1");
			const symbols = found.slice(0, 3).map(({ symbol }) => symbol.replace("__vdso_", ""));
			assert.deepEqual(symbols, [name, "calling_the_vdso", "main"]);
			const objects = ({ frames }: Backtrace): readonly string[] => frames.map(({ object }) => object);
			assert.deepEqual(objects(seen), objects(expected), "as many frames as natively");
		});
	}
});

describe("at every instruction of the image", { timeout: 120_000 }, () => {
	for (const name of ["clock_gettime", "gettimeofday", "time", "getcpu", "clock_getres"]) {
		for (const clock of CLOCKS) {
			test(`backtrace finds the caller of ${name}, single-stepped under ${clock}`, async (t) => {
				const program = fixture(t);
				if (program === undefined) return;
				const steps = await facts<Steps>(clock, [program, "step", name]);
				assert.ok(steps.inImage >= 2, `${steps.inImage} steps`);
				assert.equal(steps.foundFromImage, steps.inImage);
			});
		}
	}
});

describe("threads", { timeout: 120_000 }, () => {
	for (const [clock, name] of FAULTS) {
		test(`end inside ${name} with their destructors run, under ${clock}`, async (t) => {
			const program = fixture(t);
			if (program === undefined) return;
			assert.deepEqual(await facts(clock, [program, "exit", name]), { rounds: 200, joined: 200, unwound: 200 });
		});

		test(`are cancelled anywhere in ${name} with their cleanup handlers run, under ${clock}`, async (t) => {
			if (!has(t, "gcc")) return;
			const program = build("glibc", "cancellation.c");
			const expected = { rounds: 300, canceled: 300, cleaned: 300 };
			assert.deepEqual(await facts(undefined, [program, name]), expected, "natively");
			assert.deepEqual(await facts(clock, [program, name]), expected);
		});
	}
});

interface LoaderFacts {
	readonly ehdr: string;
	readonly listedAt: string;
	readonly headers: number;
	readonly isOpen: boolean;
	readonly found: number;
	readonly inImage: number;
	readonly weak: number;
	readonly wrongVersion: number;
}

test("the dynamic loader lists linux-vdso.so.1 at AT_SYSINFO_EHDR, opens it, and finds its functions by version", async (t) => {
	const program = fixture(t);
	if (program === undefined) return;
	for (const clock of [undefined, ...CLOCKS] as readonly (string | undefined)[]) {
		const loader: LoaderFacts = await facts<LoaderFacts>(clock, [program, "phdr"]);
		const { ehdr, listedAt, headers, ...rest } = loader;
		assert.notEqual(ehdr, "0");
		assert.equal(listedAt, ehdr);
		assert.ok(headers >= 4);
		assert.deepEqual(rest, { isOpen: true, found: 5, inImage: 5, weak: 5, wrongVersion: 0 });
	}
});
