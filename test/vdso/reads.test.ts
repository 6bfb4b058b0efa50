/** The three ways to read the host's clock. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { VsyscallError } from "../../src/errors.ts";
import { AT_SYSINFO_EHDR } from "../../src/linux/constants.ts";
import { ownAuxv } from "../../src/linux/ffi.ts";
import { readHostImage, readTaiOffset } from "../../src/linux/host-vdso.ts";
import { nanoseconds } from "../../src/units.ts";
import { parseReads, READS } from "../../src/vdso/reads.ts";
import { lacks } from "../helpers/requirements.ts";
import { FakeHostSandbox, type KnownLayout, type Sandbox, sandboxOnHost, type Time } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const OFFSET = nanoseconds(315_569_520n * E9 + 123_456_789n);

test("the ways are known by name, and nothing else is", () => {
	for (const name of READS) assert.equal(parseReads(name), name);
	for (const name of ["", "Exact", "fast", "relaxed "]) {
		assert.throws(
			() => parseReads(name),
			(error) => error instanceof VsyscallError && error.code === "ERR_VSYSCALL_READS",
		);
	}
});

const gettime = ({ call, output, outputAddress }: Sandbox, id: number): bigint => {
	assert.equal(BigInt.asIntN(32, call("clock_gettime", id, outputAddress)), 0n);
	return (output[0] ?? 0n) * E9 + (output[1] ?? 0n);
};

const times: fc.Arbitrary<Time> = fc.record({
	seconds: fc.bigInt(0n, 1n << 33n),
	nanoseconds: fc.bigInt(0n, E9 - 1n),
});

for (const layout of ["fine", "coarse", "none"] satisfies KnownLayout[]) {
	describe(`coarse reads, layout: ${layout}`, () => {
		const fake = new FakeHostSandbox({ layout, taiSeconds: 37n, reads: "coarse" });
		const { sandbox } = fake;
		for (const [name, sequence] of [
			["", 2],
			[" while the kernel writes", 3],
		] as const) {
			test(`REALTIME, MONOTONIC and gettimeofday are the clocks of the tick${name}`, () => {
				fc.assert(
					fc.property(times, times, times, (tick, monotonic, fine) => {
						fake.setSequence(sequence);
						sandbox.page.push({ kind: "offset", offset: OFFSET });
						for (const id of [0, 1]) fake.setClock(id, fine);
						fake.setClock(5, tick);
						fake.setClock(6, monotonic);
						const shifted = tick.seconds * E9 + tick.nanoseconds + OFFSET;
						assert.equal(gettime(sandbox, 0), shifted);
						assert.equal(gettime(sandbox, 5), shifted);
						assert.equal(gettime(sandbox, 1), monotonic.seconds * E9 + monotonic.nanoseconds);
						assert.equal(BigInt.asIntN(32, sandbox.call("gettimeofday", sandbox.outputAddress, 0)), 0n);
						const [seconds = 0n, microseconds = 0n] = sandbox.output;
						assert.equal(seconds * 1_000_000n + microseconds, shifted / 1000n);
					}),
					{ numRuns: 2000 },
				);
			});
		}
	});
}

describe("on this host", () => {
	const hostAddress = ownAuxv(AT_SYSINFO_EHDR);
	const { vdso } = readHostImage();

	test("relaxed times of one thread never go back, also across the chain", (t) => {
		if (vdso.fine === undefined) {
			lacks(t, "the host's page is not known");
			return;
		}
		const settings = { hostAddress, taiSeconds: readTaiOffset(), reads: "relaxed" } as const;
		const inline = sandboxOnHost(vdso, settings);
		const chained = sandboxOnHost({ ...vdso, fine: undefined }, settings);
		for (const id of [0, 1, 7, 11]) {
			let last = 0n;
			for (let round = 0; round < 50_000; round++) {
				const now = gettime(round % 16 === 0 ? chained : inline, id);
				assert.ok(now >= last, `clock ${id}: ${last} ${now}`);
				last = now;
			}
		}
	});
});
