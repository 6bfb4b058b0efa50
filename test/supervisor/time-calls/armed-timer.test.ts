/** Whether a timer is still the one that is remembered, and what it waits for when the clock is set. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type ArmedTimer, isAsArmed, nextExpiration } from "../../../src/supervisor/time-calls/armed-timer.ts";
import { NEVER } from "../../../src/syscalls/time-structures.ts";
import { nanoseconds } from "../../../src/units.ts";

const SECOND = 1_000_000_000n;
const seconds = (count: bigint) => nanoseconds(count * SECOND);
const asked = { from: seconds(1000n), to: nanoseconds(1000n * SECOND + 5000n) };
const armed: ArmedTimer = {
	clock: 0,
	deadline: seconds(9100n),
	hostTime: seconds(1100n),
	given: seconds(1100n),
	interval: seconds(0n),
	flags: 1,
};
const periodic: ArmedTimer = { ...armed, interval: seconds(7n) };
const endless: ArmedTimer = { ...armed, hostTime: NEVER, given: NEVER };
const LAST_NARROW = seconds(0x7fff_ffffn);
const narrow: ArmedTimer = { ...endless, given: LAST_NARROW };

describe("a timer is as it was armed", () => {
	for (const [name, timer, left, interval, expected] of [
		["with what is left until its time", armed, seconds(100n), 0n, true],
		["not when it has expired", armed, 0n, 0n, false],
		["not with less left", armed, seconds(50n), 0n, false],
		["not with more left", armed, seconds(150n), 0n, false],
		["not with another interval", armed, seconds(100n), seconds(1n), false],
		["before its first expiration, when it is periodic", periodic, seconds(100n), seconds(7n), true],
		["when it never comes, and has no end", endless, NEVER - seconds(1000n), 0n, true],
		["when it never comes, and its time has 32 bits", narrow, LAST_NARROW - seconds(1000n), 0n, true],
		["not when it never comes, and has an end", endless, seconds(100n), 0n, false],
	] as const)
		test(name, () => {
			const state = { left: nanoseconds(left), interval: nanoseconds(interval) };
			assert.equal(isAsArmed(timer, state, asked), expected);
		});

	test("between two expirations, when it is periodic", () => {
		const later = { from: seconds(1200n), to: seconds(1200n) };
		assert.equal(isAsArmed(periodic, { left: seconds(3n), interval: seconds(7n) }, later), true);
		assert.equal(isAsArmed(periodic, { left: seconds(8n), interval: seconds(7n) }, later), false);
	});
});

describe("when the clock is set, a timer waits", () => {
	const before = { kind: "offset", offset: seconds(8000n) } as const;

	test("for its deadline", () => {
		const state = { left: seconds(100n), interval: seconds(0n) };
		assert.equal(nextExpiration(armed, state, { before, hostNow: seconds(1000n) }), armed.deadline);
		assert.equal(nextExpiration(endless, state, { before, hostNow: seconds(1000n) }), armed.deadline);
	});

	test("for its next expiration, by the clock that was there, when it has gone on", () => {
		const state = { left: seconds(3n), interval: seconds(7n) };
		assert.equal(nextExpiration(periodic, state, { before, hostNow: seconds(1200n) }), seconds(9203n));
	});
});
