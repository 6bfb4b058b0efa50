/** The numbers of calls, one of each class and function, none of which is another's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CALL, CALL_I386, CLOCK_IDS, describeCalls, forwardedCall, keyOfCall } from "../../src/observation/calls.ts";
import { COUNTERS } from "../../src/observation/layout.ts";
import type { HostFunction } from "../../src/vdso/host.ts";

const functions = (count: number): readonly HostFunction[] =>
	Array.from({ length: count }, (_, index) => ({
		name: `__vdso_function${index}`,
		binding: "global",
		version: "LINUX_2.6",
		offset: index,
	}));

const HOSTS = [0, 1, 19, 20, 21, 200];

test("every call has a counter of its own, in whichever class, and its name", () => {
	for (const count of HOSTS) {
		const [wide, narrow] = [describeCalls(64, functions(count)), describeCalls(32, functions(count))];
		const numbers = [...wide.keys(), ...narrow.keys()];
		assert.equal(new Set(numbers).size, numbers.length);
		for (const number of numbers) assert.ok(number >= 0 && number < COUNTERS, String(number));
		const keys = [...wide.values(), ...narrow.values()].map(keyOfCall);
		assert.equal(new Set(keys).size, keys.length);
		assert.ok([...wide.values()].every(({ bits }) => bits === 64));
		assert.ok([...narrow.values()].every(({ bits }) => bits === 32));
	}
});

test("a clock without a counter of its own is among the others", () => {
	assert.deepEqual(describeCalls(64, []).get(CALL.clock_getres + CLOCK_IDS), {
		way: "vdso",
		name: "clock_getres",
		bits: 64,
		clock: "other",
	});
	assert.deepEqual(describeCalls(32, []).get(CALL_I386.clock_gettime64 + 11), {
		way: "vdso",
		name: "clock_gettime64",
		bits: 32,
		clock: 11,
	});
	assert.equal(describeCalls(32, []).get(CALL_I386.getcpu)?.name, "getcpu");
});

test("forwarded functions have counters as far as there are any, and the rest of them one", () => {
	for (const bits of [64, 32] as const) {
		const calls = describeCalls(bits, functions(200));
		assert.equal(calls.get(forwardedCall(0, bits))?.name, "function0");
		assert.equal(calls.get(forwardedCall(17, bits))?.name, "function17");
		assert.equal(calls.get(forwardedCall(199, bits))?.name, "others");
		assert.equal(forwardedCall(198, bits), forwardedCall(199, bits));
	}
});
