/** The layout of the host's fine clocks: found on a host that counts by TSC, and believed only when it shows the right times. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test, type TestContext } from "node:test";
import { AT_SYSINFO_EHDR } from "../../src/linux/constants.ts";
import { ownAuxv } from "../../src/linux/ffi.ts";
import { verifyFineClocks } from "../../src/linux/fine-clocks-check.ts";
import { readHostImage } from "../../src/linux/host-vdso.ts";
import type { HostFineClocks } from "../../src/vdso/host.ts";
import { lacks } from "../helpers/requirements.ts";

const clockSource = (): string => {
	try {
		return readFileSync("/sys/devices/system/clocksource/clocksource0/current_clocksource", "latin1").trim();
	} catch {
		return "unknown";
	}
};

const address = ownAuxv(AT_SYSINFO_EHDR);
const { fine } = readHostImage().vdso;

const found = (t: TestContext): HostFineClocks | undefined => {
	if (fine === undefined) lacks(t, `the clock source is ${clockSource()}`);
	return fine;
};

describe("the host's fine clocks", () => {
	test("are found where the clock source is the TSC, each time the same", (t) => {
		if (address === 0n || clockSource() !== "tsc") {
			lacks(t, `the clock source is ${clockSource()}`);
			return;
		}
		assert.ok(fine !== undefined, "the layout of this host's page is not known");
		for (let round = 0; round < 100; round++) assert.deepEqual(readHostImage().vdso.fine, fine);
	});

	test("pass 2,000 reads between system calls, 20 times", (t) => {
		const layout = found(t);
		if (layout === undefined) return;
		for (let round = 0; round < 20; round++) assert.ok(verifyFineClocks(layout, address));
	});

	test("are not believed at any place but their own", (t) => {
		const layout = found(t);
		if (layout === undefined) return;
		const wrong: readonly (readonly [string, Partial<HostFineClocks>])[] = [
			["the last counter 8 bytes on", { cycleLast: layout.cycleLast + 8 }],
			["the base of MONOTONIC for that of REALTIME", { bases: layout.bases + 16 }],
			["bases 8 bytes on", { bases: layout.bases + 8 }],
			["bases 8 bytes before", { bases: layout.bases - 8 }],
			["multiplier and shift exchanged", { multiplier: layout.shift, shift: layout.multiplier }],
			["another shift", { shift: layout.sequence + 4 }],
			["the multiplier of the mode", { multiplier: layout.sequence + 4 }],
		];
		for (const [name, fields] of wrong) assert.ok(!verifyFineClocks({ ...layout, ...fields }, address), name);
	});

	test("that can never be read end in a refusal, not in a loop", (t) => {
		const layout = found(t);
		if (layout === undefined) return;
		// An odd sequence: the multiplier, or what stands beside it; one of them is odd for long enough, or the mode is not 1.
		assert.ok(!verifyFineClocks({ ...layout, sequence: layout.shift }, address));
	});
});
