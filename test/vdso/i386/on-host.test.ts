/** The 32-bit image on the running kernel's own vDSO and vvar page: each time lies between two system calls. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type WallClock, wallTime } from "../../../src/clock/clock.ts";
import { readElf } from "../../../src/elf/reader.ts";
import { verifyImage } from "../../../src/elf/verify.ts";
import { hostRealtime, readTaiOffset } from "../../../src/linux/host-vdso.ts";
import { nanoseconds } from "../../../src/units.ts";
import { hostEntryForm } from "../../../src/vdso/fast-entry.ts";
import { READS } from "../../../src/vdso/reads.ts";
import { host32, pageCommand, pageOf, Sandbox32 } from "./sandbox.ts";

const E9 = 1_000_000_000n;
const COUNT = 500;
const TAI = readTaiOffset();
const YEAR = 31_556_952n * E9;
const [REALTIME, MONOTONIC, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME, TAI_ID] = [0, 1, 5, 6, 7, 11];
/** The kernel's tick, at its slowest, and what a read of it may be behind. */
const TICK = 20_000_000n;

const now = hostRealtime();
const CLOCKS: readonly WallClock[] = [
	{ kind: "host" },
	{ kind: "offset", offset: nanoseconds(10n * YEAR + 1n) },
	{ kind: "offset", offset: nanoseconds(-100n * YEAR - 999_999_999n) },
	{ kind: "offset", offset: nanoseconds(7000n * YEAR) },
	{ kind: "frozen", at: nanoseconds(2n ** 31n * E9 + 5n) },
	{ kind: "drift", hostAnchor: nanoseconds(now - 5n * YEAR), at: nanoseconds(-YEAR), rate: 123_456_789_012n },
	{ kind: "drift", hostAnchor: nanoseconds(now + E9), at: nanoseconds(3n * YEAR), rate: -(1n << 40n) + 1n },
];

/** What `id` shows when the host's clock of that id shows `host`. */
const shown = (clock: WallClock, id: number, host: bigint): bigint => {
	if (![REALTIME, REALTIME_COARSE, TAI_ID].includes(id)) return host;
	if (id !== TAI_ID || clock.kind === "host" || clock.kind === "offset") return wallTime(clock, nanoseconds(host));
	return wallTime(clock, nanoseconds(host - TAI * E9)) + TAI * E9;
};

/** Name of the function, kind of its structure, and clock. */
const READINGS = [
	...[REALTIME, MONOTONIC, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME, TAI_ID].flatMap((id) => [
		["__vdso_clock_gettime64", "clock_gettime64", id] as const,
		["__vdso_clock_gettime", "clock_gettime", id] as const,
	]),
	["__vdso_gettimeofday", "gettimeofday", REALTIME],
	["__vdso_time", "time", REALTIME_COARSE],
] as const;

/** In the unit of the function's structure, its seconds cut to 32 bits where they are. */
const inUnits = (kind: string, time: bigint): bigint => {
	if (kind === "gettimeofday") return time / 1000n - (time % 1000n < 0n ? 1n : 0n);
	return kind === "time" ? time / E9 - (time % E9 < 0n ? 1n : 0n) : time;
};
const perSecond = (kind: string): bigint => (kind === "gettimeofday" ? 1_000_000n : kind === "time" ? 1n : E9);

const entryForm = hostEntryForm(host32().bytes.subarray(Number(readElf(host32().bytes).header.entry)));

for (const reads of READS)
	for (const isInline of [true, false])
		test(`${reads} reads, ${isInline ? "inline" : "by chain"}: between two system calls, at every wall`, () => {
			const host = isInline ? host32().vdso : { ...host32().vdso, fine: undefined, coarse: undefined };
			const box = new Sandbox32(host, "host", { reads, entryForm });
			assert.deepEqual(verifyImage(box.image.bytes, "own"), []);
			const script = CLOCKS.flatMap((clock) => [
				pageCommand(pageOf(clock, TAI)),
				...READINGS.map(([name, kind, id]) => `bracket ${box.offset(name)} ${kind} ${id} ${COUNT}`),
			]);
			const lines = box.run(script);
			assert.equal(lines.length, CLOCKS.length * READINGS.length * COUNT);
			for (const [index, line] of lines.entries()) {
				const clock = CLOCKS[Math.floor(index / (READINGS.length * COUNT))] ?? assert.fail();
				const [, kind, id] = READINGS[Math.floor(index / COUNT) % READINGS.length] ?? assert.fail();
				const [eax, seconds, fraction, beforeSeconds, beforeRest, afterSeconds, afterRest] = line
					.split(" ")
					.map(BigInt) as [bigint, bigint, bigint, bigint, bigint, bigint, bigint];
				const late = reads === "exact" ? 0n : TICK;
				const [earliest, latest] = [
					shown(clock, id, beforeSeconds * E9 + beforeRest - late),
					shown(clock, id, afterSeconds * E9 + afterRest),
				].map((time) => inUnits(kind, time)) as [bigint, bigint];
				const unit = perSecond(kind);
				assert.equal(eax, 0n, line);
				assert.ok(fraction >= 0n && fraction < (kind === "time" ? 1n : unit), line);
				// What the structure has room for: the distance from the earliest possible time is that of the cut values.
				const seen = seconds * unit + fraction;
				const bits = kind === "clock_gettime64" ? 64 : 32;
				const cut = 1n << BigInt(bits);
				const distance = (((seen - earliest) % (cut * unit)) + cut * unit) % (cut * unit);
				assert.ok(distance <= latest - earliest, `${clock.kind} ${kind} ${id} ${reads}: ${line}`);
			}
		});

test("the kernel's own form of entry makes system calls and keeps every register", () => {
	const box = new Sandbox32(host32().vdso, "host", { entryForm });
	for (const form of [entryForm, "host", "int80"] as const) {
		const [result] = new Sandbox32(host32().vdso, "host", { entryForm: form }).results([
			`call ${box.offset("__kernel_vsyscall")}`,
		]);
		// eax is no number of a system call there.
		assert.deepEqual([result?.eax, result?.changed], [-38, 0], form);
	}
});

test("getcpu tells a processor, by RDPID as by the host's function", () => {
	for (const hasRdpid of new Set([false, host32().vdso.hasRdpid])) {
		const box = new Sandbox32({ ...host32().vdso, hasRdpid }, "host", { entryForm });
		const [result] = box.results([`call ${box.offset("__vdso_getcpu")} $0 $1 0`]);
		assert.ok((result?.stored[0].readUInt32LE() ?? -1) < 4096);
		assert.equal(result?.stored[1].readUInt32LE(), 0);
	}
});
