/** The time namespace of a process: time_namespaces(7). */
import { readlinkSync } from "node:fs";
import { joinNanoseconds, nanoseconds, type Nanoseconds } from "../units.ts";
import { readText } from "./proc-file.ts";

export interface TimeNamespace {
	/** `time:[4026531834]` */
	readonly id: string;
	/** What it adds to CLOCK_MONOTONIC and CLOCK_BOOTTIME. */
	readonly monotonic: Nanoseconds;
	readonly boottime: Nanoseconds;
}

const offsetOf = (offsets: string, clock: string): Nanoseconds => {
	const [, seconds, rest] = new RegExp(`^${clock}\\s+(-?\\d+)\\s+(\\d+)$`, "m").exec(offsets) ?? [];
	if (seconds === undefined || rest === undefined) return nanoseconds(0n);
	return joinNanoseconds(BigInt(seconds), BigInt(rest));
};

/** @returns undefined on kernels without time namespaces (before 5.6), and for a process that we may not look into */
export const readTimeNamespace = (pid: number | "self"): TimeNamespace | undefined => {
	let id: string;
	try {
		id = readlinkSync(`/proc/${pid}/ns/time`);
	} catch {
		return undefined;
	}
	const offsets = readText(`/proc/${pid}/timens_offsets`);
	return { id, monotonic: offsetOf(offsets, "monotonic"), boottime: offsetOf(offsets, "boottime") };
};
