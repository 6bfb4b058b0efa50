/** Where the counter may be read without order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type CounterFacts, counterFault } from "../../src/linux/time-stamp-counter.ts";
import type { HostVdso } from "../../src/vdso/host.ts";
import { FINE_6_18 } from "../vdso/hosts.ts";

const CPUINFO = "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc rdtscp\nbugs\t\t:\n";
const rows: readonly (readonly [string, HostVdso["fine"], Partial<CounterFacts>, RegExp | undefined])[] = [
	["an invariant counter that is the clock source", FINE_6_18, {}, undefined],
	["nobody tells the clock source, but the page is known", FINE_6_18, { clockSource: "" }, undefined],
	["a counter that stops", FINE_6_18, { cpuinfo: CPUINFO.replace("nonstop_tsc ", "") }, /lacks nonstop_tsc/],
	["a counter of changing rate", FINE_6_18, { cpuinfo: CPUINFO.replace("constant_tsc ", "") }, /lacks constant_tsc/],
	["a flag that only looks like it", FINE_6_18, { cpuinfo: CPUINFO.replace("nonstop", "xnonstop") }, /nonstop_tsc/],
	["no /proc", FINE_6_18, { cpuinfo: "" }, /constant_tsc/],
	["another clock source", FINE_6_18, { clockSource: "hpet" }, /clock source is hpet/],
	["a page that is not known", undefined, {}, /layout/],
];
for (const [name, fine, facts, expected] of rows) {
	test(`${name}: ${expected === undefined ? "allowed" : "refused"}`, () => {
		const fault = counterFault(fine, { cpuinfo: CPUINFO, clockSource: "tsc", ...facts });
		if (expected === undefined) assert.equal(fault, undefined);
		else assert.match(fault ?? "", expected);
	});
}
