/** The call frame information of the 32-bit image, by libgcc's unwinder: at every instruction that a call runs through. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { WallClock } from "../../../src/clock/clock.ts";
import { readElf } from "../../../src/elf/reader.ts";
import { nanoseconds } from "../../../src/units.ts";
import { observed } from "../hosts.ts";
import { fakeClock, fakeCounter, fakeHost, type KnownLayout, pageCommand, pageOf, Sandbox32 } from "./sandbox.ts";

const TAI = 37n;
const E9 = 1_000_000_000n;
const AT = 1_795_612_766n;
const ENOSYS = -38;

const CLOCKS: readonly WallClock[] = [
	{ kind: "host" },
	{ kind: "offset", offset: nanoseconds(999_999_999n) },
	{ kind: "offset", offset: nanoseconds(5n * 10n ** 20n) },
	{ kind: "frozen", at: nanoseconds(-1n) },
	{ kind: "drift", hostAnchor: nanoseconds(AT * E9), at: nanoseconds(7n), rate: -5n },
];

const framesOf = (box: Sandbox32): string => {
	const section = readElf(box.image.bytes).sections.find(({ name }) => name === ".eh_frame");
	return `frames ${section?.offset.toString(16) ?? assert.fail()}`;
};

interface Walk {
	readonly instructions: number;
	readonly lost: number;
	readonly firstLost: string;
	readonly eax: number;
	readonly changed: number;
}

const walk = (box: Sandbox32, commands: readonly string[]): readonly Walk[] =>
	box.run([framesOf(box), ...commands]).map((line) => {
		const [instructions, lost, firstLost = "", eax, changed] = line.split(" ");
		const [count, without, result, kept] = [instructions, lost, eax, changed].map(Number) as [
			number,
			number,
			number,
			number,
		];
		return { instructions: count, lost: without, firstLost, eax: result, changed: kept };
	});

const CALLS = [
	...[0, 1, 5, 6, 7, 11, 2].flatMap((id) => [`__vdso_clock_gettime64 ${id} $0`, `__vdso_clock_gettime ${id} $0`]),
	"__vdso_gettimeofday $0 $1",
	"__vdso_gettimeofday 0 $1",
	"__vdso_time $0",
	"__vdso_getcpu $0 $1",
];

const LAYOUTS = ["fine", "none"] as const satisfies readonly KnownLayout[];
const OBSERVATIONS = [undefined, "count", "trace"] as const;

for (const [layout, observation] of LAYOUTS.flatMap((known) => OBSERVATIONS.map((kind) => [known, kind] as const)))
	for (const sequence of [2, 3])
		test(`the caller and its registers are found, layout ${layout}, sequence ${sequence}, to ${observation ?? "run"}`, () => {
			const request = observation && observed(observation).observation;
			const box = new Sandbox32(fakeHost(layout), "fake", { entryForm: "int80", observation: request });
			const walks = walk(box, [
				...fakeCounter(sequence),
				...[0, 1, 7, 11].flatMap((id) => fakeClock(id, AT, 999_999_999n)),
				...CLOCKS.flatMap((clock) => [
					pageCommand(pageOf(clock, TAI)),
					...CALLS.flatMap((call) => {
						const [name = "", ...rest] = call.split(" ");
						return ["tick", `unwind ${box.offset(name)} ${rest.join(" ")}`];
					}),
				]),
			]);
			assert.equal(walks.length, CLOCKS.length * CALLS.length);
			for (const [index, { instructions, lost, firstLost, changed }] of walks.entries()) {
				assert.ok(instructions > 2);
				assert.deepEqual([lost, changed], [0, 0], `${CALLS[index % CALLS.length]} at ${firstLost}`);
			}
		});

test("without the call frame information no caller is found", () => {
	const box = new Sandbox32(fakeHost("none"), "fake", { entryForm: "int80" });
	const [line = ""] = box.run([`unwind ${box.offset("__vdso_time")} $0`]);
	const [instructions, lost] = line.split(" ");
	assert.equal(lost, instructions);
});

describe("__kernel_vsyscall", () => {
	for (const [entryForm, bytes] of [
		["syscall", "51525589cd0f05cd805d5a59c3"],
		["sysenter", "51525589e50f34cd805d5a59c3"],
		["int80", "cd80c3"],
	] as const)
		test(`${entryForm}: has the kernel's bytes`, () => {
			const { image } = new Sandbox32(fakeHost("none"), "fake", { entryForm });
			const { entry } = readElf(image.bytes).header;
			const code = Buffer.from(image.bytes).subarray(Number(entry), Number(entry) + bytes.length / 2);
			assert.equal(code.toString("hex"), bytes);
		});

	test("int80: the caller is found before and behind the system call, which is made", () => {
		const box = new Sandbox32(fakeHost("none"), "fake", { entryForm: "int80" });
		const [seen] = walk(box, [`unwind ${box.offset("__kernel_vsyscall")}`]);
		// Where the instruction behind the interrupt is not shown, the return alone is.
		assert.ok(seen !== undefined && seen.instructions >= 1);
		assert.deepEqual([seen.lost, seen.eax, seen.changed], [0, ENOSYS, 0]);
	});
});
