/** Whether the time stamp counter can be read without any order: what the kernel says of it. */
import type { HostVdso } from "../vdso/host.ts";
import { hasFlag, readCpuinfo } from "./cpuinfo.ts";
import { readText } from "./proc-file.ts";

const CLOCK_SOURCES = "/sys/devices/system/clocksource/clocksource0";
/** CPUID 8000_0007 EDX bit 8, as the kernel splits it: the counter has one rate, and does not stop when the processor sleeps. */
const INVARIANT = ["constant_tsc", "nonstop_tsc"] as const;

/** What is known of the counter; injected in tests. */
export interface CounterFacts {
	/** /proc/cpuinfo. */
	readonly cpuinfo: string;
	/** The kernel's clock source, "" when nobody tells. The kernel takes another one when the counters of two processors differ. */
	readonly clockSource: string;
}

/** The kernel's clock source, "" when nobody tells. */
export const readClockSource = (): string => readText(`${CLOCK_SOURCES}/current_clocksource`).trim();

/** Those that it could take. */
export const readAvailableClockSources = (): readonly string[] =>
	readText(`${CLOCK_SOURCES}/available_clocksource`)
		.trim()
		.split(" ")
		.filter((name) => name !== "");

export const readCounterFacts = (): CounterFacts => ({
	cpuinfo: readCpuinfo(),
	clockSource: readClockSource(),
});

/** Why the counter cannot be read without order, or undefined when it can. */
export const counterFault = (fine: HostVdso["fine"], { cpuinfo, clockSource }: CounterFacts): string | undefined => {
	if (clockSource !== "" && clockSource !== "tsc") return `the host's clock source is ${clockSource}`;
	if (fine === undefined) return "the layout of this kernel's vvar page is not known";
	const missing = INVARIANT.find((flag) => !hasFlag(cpuinfo, flag));
	return missing === undefined ? undefined : `the processor's is not invariant (/proc/cpuinfo lacks ${missing})`;
};
