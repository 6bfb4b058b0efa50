/** Counters of the 32-bit image, whose halves are added to one after the other: nothing is lost where the lower one is full. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { CALL_I386, CLOCK_IDS } from "../../../src/observation/calls.ts";
import { SLOT, SLOTS } from "../../../src/observation/layout.ts";
import { observed } from "../hosts.ts";
import { fakeCounter, fakeHost, Sandbox32 } from "./sandbox.ts";

const FULL = 0xffff_ffff;
/** With the overflow slot, which stands behind the others. */
const ALL_SLOTS = SLOTS + 1;

const CALLS: readonly (readonly [call: string, number: number])[] = [
	["__vdso_clock_gettime64 0 $0", CALL_I386.clock_gettime64],
	["__vdso_clock_gettime 0 $0", CALL_I386.clock_gettime],
	["__vdso_clock_gettime64 2 $0", CALL_I386.clock_gettime64 + 2],
	["__vdso_clock_gettime64 -7 $0", CALL_I386.clock_gettime64 + CLOCK_IDS],
	["__vdso_clock_getres 1 $0", CALL_I386.clock_getres + 1],
	["__vdso_gettimeofday $0 0", CALL_I386.gettimeofday],
	["__vdso_time 0", CALL_I386.time],
	["__vdso_getcpu $0 $1", CALL_I386.getcpu],
];

const TIMES = 3;

/** The sums of the counters of a call, before and behind some calls of it. */
const sums = (
	box: Sandbox32,
	[call, number]: (typeof CALLS)[number],
	commands: readonly string[],
): readonly bigint[] => {
	const { observation } = box.image;
	const { layout } = observed("count").observation ?? assert.fail();
	const [name = "", ...rest] = call.split(" ");
	const slots = (observation?.file ?? assert.fail()) + layout.slotsOffset;
	const place = (field: number): string => `${slots + field} ${SLOT.size} ${ALL_SLOTS}`;
	const counter = place(SLOT.counters + 8 * number);
	const calling = `call ${box.offset(name)} ${rest.join(" ")}`;
	const lines = box.run([
		...fakeCounter(),
		calling,
		`set ${counter} ${FULL}`,
		...commands.map((command) => command.replace("TAGS", place(SLOT.tag + 4))),
		`sum ${counter}`,
		...Array.from({ length: TIMES }, () => calling),
		`sum ${counter}`,
	]);
	return lines.filter((line) => /^\d+$/.test(line)).map(BigInt);
};

describe("a counter whose lower half is full", () => {
	const box = new Sandbox32(fakeHost("none"), "fake", {
		entryForm: "int80",
		observation: observed("count").observation,
	});
	for (const call of CALLS) {
		test(`goes on, ${call[0]}`, () => {
			const [before = 0n, behind = 0n] = sums(box, call, []);
			assert.equal(before, BigInt(ALL_SLOTS) * BigInt(FULL));
			assert.equal(behind, before + BigInt(TIMES));
		});

		test(`goes on where no slot is left, ${call[0]}`, () => {
			const [before = 0n, behind = 0n] = sums(box, call, ["set TAGS 1"]);
			assert.equal(before, BigInt(ALL_SLOTS) * BigInt(FULL));
			assert.equal(behind, before + BigInt(TIMES));
		});
	}
});
