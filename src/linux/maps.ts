/** /proc/PID/maps: proc_pid_maps(5). */
import { isOwnProc, readText } from "./proc-file.ts";

/** "" of a process that has no memory or cannot be looked into. */
const readMaps = (tid: number): string => (isOwnProc() ? readText(`/proc/${tid}/maps`) : "");

/** Whether an address lies in a private mapping, to which a write of ours concerns this process alone. */
export const isPrivatelyMapped = (tid: number, address: bigint): boolean => {
	for (const line of readMaps(tid).split("\n")) {
		const [, start, end, sharing] = /^([0-9a-f]+)-([0-9a-f]+) ...(.)/.exec(line) ?? [];
		if (start === undefined || end === undefined) continue;
		if (address >= BigInt(`0x${start}`) && address < BigInt(`0x${end}`)) return sharing === "p";
	}
	return false;
};

/** Where the host's vDSO is in a process; undefined when it has none or cannot be looked into. */
export const hostVdsoRange = (tid: number): { readonly start: bigint; readonly end: bigint } | undefined => {
	const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) .*\[vdso\]$/m.exec(readMaps(tid)) ?? [];
	return start === undefined || end === undefined
		? undefined
		: { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) };
};

/** A line of the file. */
export interface Mapping {
	readonly start: bigint;
	/** Of the first byte behind it. */
	readonly end: bigint;
	/** Of its first byte in the file. */
	readonly offset: bigint;
	/** "" for memory without a name. */
	readonly path: string;
}

/** What a process has mapped; nothing when it has ended. */
export const readMappings = (pid: number): readonly Mapping[] =>
	readMaps(pid)
		.split("\n")
		.flatMap((line) => {
			const [, start, end, offset, path = ""] =
				/^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ *(.*)$/.exec(line) ?? [];
			if (start === undefined || end === undefined || offset === undefined) return [];
			return [{ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), offset: BigInt(`0x${offset}`), path }];
		});
