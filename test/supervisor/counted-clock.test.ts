/** A clock whose reads are counted: what its page shows meanwhile, and what a read gets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WallClock } from "../../src/clock/clock.ts";
import type { Span } from "../../src/clock/span.ts";
import { hostRealtime, readHostImage } from "../../src/linux/host-vdso.ts";
import { during } from "../../src/supervisor/clock-course.ts";
import { CountedClock } from "../../src/supervisor/counted-clock.ts";
import { PageFile } from "../../src/supervisor/install/page-file.ts";
import { nanoseconds } from "../../src/units.ts";
import { buildImage } from "../../src/vdso/image.ts";

const DAY = nanoseconds(86_400_000_000_000n);
const AHEAD: WallClock = { kind: "offset", offset: DAY };
const HOST: WallClock = { kind: "host" };

/** A page, and the kinds of the clocks that it has shown, one after another. */
const shownBy = (clock: WallClock): { readonly page: PageFile; readonly shown: () => readonly string[] } => {
	const page = new PageFile({ image: buildImage(readHostImage().vdso), clock, taiSeconds: 37n });
	const kinds: string[] = [page.current.kind];
	page.onStep(() => kinds.push(page.current.kind));
	return { page, shown: () => kinds };
};

const course = (span: Span): ReturnType<typeof during> =>
	during(span, {
		within: () => ({ clock: AHEAD, source: undefined }),
		outside: () => HOST,
		report: (message) => assert.fail(message),
	});

/** How many days a read is ahead of the host. */
const daysAhead = (clock: CountedClock): bigint => {
	const host = hostRealtime();
	return (clock.read(host) - host) / DAY;
};

const rows: readonly (readonly [name: string, span: Span, expected: readonly bigint[], shown: readonly string[]])[] = [
	["from a read on", { begins: [{ reads: 2 }], ends: [] }, [0n, 0n, 1n, 1n], ["host", "step", "offset"]],
	["until a read", { begins: [], ends: [{ reads: 2 }] }, [1n, 1n, 0n, 0n], ["offset", "step", "host"]],
	["between two", { begins: [{ reads: 1 }], ends: [{ reads: 3 }] }, [0n, 1n, 1n, 0n], ["host", "step", "host"]],
	[
		"for so many",
		{ begins: [{ reads: 1 }], ends: [], length: { reads: 2 } },
		[0n, 1n, 1n, 0n],
		["host", "step", "host"],
	],
	[
		"until a read in front of the first",
		{ begins: [{ reads: 3 }], ends: [{ reads: 1 }] },
		[0n, 0n, 0n, 0n],
		["host", "step", "host"],
	],
];

for (const [name, span, expected, shown] of rows) {
	test(`the page shows nothing in between: ${name}`, () => {
		const { clock, source } = course(span);
		const shower = shownBy(clock);
		const counted = new CountedClock(shower.page);
		const end = source?.(counted);
		assert.equal(counted.isAsked, true);
		assert.deepEqual(
			expected.map(() => daysAhead(counted)),
			expected,
		);
		assert.deepEqual(shower.shown(), shown);
		assert.deepEqual(counted.current, shower.page.current);
		end?.();
	});
}

test("who waits for a number calls it off, and the page shows the clock", () => {
	const { page, shown } = shownBy(AHEAD);
	const counted = new CountedClock(page);
	const [first, second] = [counted.atRead(5, assert.fail), counted.atRead(7, assert.fail)];
	assert.equal(daysAhead(counted), 1n);
	first();
	assert.deepEqual([shown(), counted.current], [["offset", "step"], AHEAD]);
	second();
	assert.deepEqual([shown(), page.current], [["offset", "step", "offset"], AHEAD]);
});

test("a clock is changed while its reads are counted, and its listeners are told of that alone", () => {
	const { page } = shownBy(HOST);
	const counted = new CountedClock(page);
	const told: WallClock[] = [];
	counted.onStep((before) => told.push(before));
	const callOff = counted.atRead(5, assert.fail);
	counted.change(() => AHEAD);
	assert.deepEqual([daysAhead(counted), counted.current], [1n, AHEAD]);
	callOff();
	assert.deepEqual([told, page.current], [[HOST], AHEAD]);
});
