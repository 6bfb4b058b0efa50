/** Pages of every known layout: each is recognised, and its fields are those that were written. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { setU32, setU64 } from "../../src/bytes.ts";
import { describeVvar, type VvarPages } from "../../src/inspect/vvar-report.ts";
import { joinNanoseconds, nanoseconds } from "../../src/units.ts";

const REALTIME = [1_900_000_000n, 123_456_789n] as const;
const MONOTONIC = [5000n, 400_000_000n] as const;
const AGE = 2_500_000n;

/** Offsets of notes/linux/vvar-page.md: the structure, then from it multiplier, shift and bases. */
const LAYOUTS = [
	["as of Linux 5.3 to 6.9", 0x80, 24, 28, 32, undefined],
	["as of Linux 6.10 to 6.14", 0x80, 32, 36, 40, 16],
	["as of Linux 6.15 and later", 0, 32, 36, 40, 16],
] as const;

type Layout = (typeof LAYOUTS)[number];

const page = ([, data, multiplier, shift, bases, maxCycles]: Layout, mode = 1): Uint8Array => {
	const bytes = new Uint8Array(4096);
	setU32(bytes, data, 42);
	setU32(bytes, data + 4, mode);
	setU64(bytes, data + 8, 1_000_000n);
	if (maxCycles !== undefined) setU64(bytes, data + maxCycles, 0x1234_5678n);
	setU32(bytes, data + multiplier, 6_452_775);
	setU32(bytes, data + shift, 24);
	setU64(bytes, data + bases, REALTIME[0]);
	for (const [clock, [seconds, rest]] of [
		[5, REALTIME],
		[6, MONOTONIC],
	] as const) {
		setU64(bytes, data + bases + 16 * clock, seconds);
		setU64(bytes, data + bases + 16 * clock + 8, rest);
	}
	return bytes;
};

const pages = (...copies: readonly (Uint8Array | undefined)[]): VvarPages => ({
	pages: copies,
	coarse: { realtime: REALTIME, monotonic: MONOTONIC },
	monotonic: nanoseconds(joinNanoseconds(...MONOTONIC) + AGE),
});

suite("the kernel's page", () => {
	for (const layout of LAYOUTS) {
		test(`${layout[0]} is recognised`, () => {
			const report = describeVvar(pages(page(layout)));
			assert.deepEqual(
				[report?.layout, report?.offset, report?.multiplier, report?.shift, report?.age, report?.clockMode.name],
				[layout[0], layout[1], 6_452_775, 24, AGE, "tsc"],
			);
			assert.equal(report?.maxCycles, layout[5] === undefined ? undefined : 0x1234_5678n);
			assert.equal(report?.cyclesPerSecond, (1_000_000_000n << 24n) / 6_452_775n);
		});

		test(`${layout[0]} behind that of a time namespace is found`, () => {
			const namespace = new Uint8Array(4096);
			setU32(namespace, layout[1], 1);
			setU32(namespace, layout[1] + 4, 0x7fff_ffff);
			const report = describeVvar(pages(namespace, undefined, page(layout)));
			assert.deepEqual([report?.page, report?.isInTimeNamespace], [2, true]);
		});
	}

	test("of another clock mode has its name", () => {
		assert.match(describeVvar(pages(page(LAYOUTS[2], 0)))?.clockMode.name ?? "", /system call/);
		assert.equal(describeVvar(pages(page(LAYOUTS[2], 2)))?.clockMode.name, "pvclock");
	});

	test("that the kernel is writing, or that shows another time, is not believed", () => {
		const written = page(LAYOUTS[2]);
		setU32(written, 0, 43);
		assert.equal(describeVvar(pages(written)), undefined);
		const later = page(LAYOUTS[2]);
		setU64(later, 40 + 16 * 6 + 8, MONOTONIC[1] + 1n);
		assert.equal(describeVvar(pages(later)), undefined);
		assert.equal(describeVvar(pages(new Uint8Array(4096), undefined)), undefined);
	});
});
