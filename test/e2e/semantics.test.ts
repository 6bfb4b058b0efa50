/** Every function of the image does what the host's does, call by call, in all but the time; and the wall clocks agree. */
import { test } from "node:test";
import { has } from "../helpers/requirements.ts";
import { type ClockCase, frozen, hostClock, nanosecondsAhead, startingAt, yearsAhead } from "./programs-clocks.ts";
import { assertFactsAsNative, assertOrder } from "./semantics-facts.ts";

const FACT_CLOCKS = [
	hostClock,
	yearsAhead(10),
	nanosecondsAhead(1_123_456_789n),
	yearsAhead(-9000),
	frozen(startingAt("2038-01-19T03:14:07.123456789Z")),
];

for (const { spec } of FACT_CLOCKS) {
	test(`under ${spec} every call returns, stores and faults as natively`, { timeout: 120_000 }, async (t) => {
		if (has(t, "gcc")) await assertFactsAsNative(spec);
	});
}

const ORDER_CLOCKS: readonly ClockCase[] = [
	hostClock,
	yearsAhead(10),
	nanosecondsAhead(1_123_456_789n),
	nanosecondsAhead(-1n),
	startingAt("1965-03-01T00:00:00Z"),
	startingAt("9999-12-31T23:59:00Z"),
	startingAt("0001-01-01T00:00:00Z"),
	yearsAhead(-9000),
];

for (const clock of [...ORDER_CLOCKS, ...ORDER_CLOCKS.map(frozen)]) {
	test(`the wall clocks of ${clock.spec} agree in a million rounds`, { timeout: 120_000 }, async (t) => {
		if (has(t, "gcc")) await assertOrder(clock);
	});
}
