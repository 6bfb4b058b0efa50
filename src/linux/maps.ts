/** /proc/PID/maps: proc_pid_maps(5). */
import type { Mapping } from "../inspect/address-space.ts";
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

const LINE = /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) (?<permissions>\S+) \S+ \S+ \d+ *(?<name>.*)$/;

/** The lines of /proc/PID/maps as text. A name with a newline stands there with `\012`. */
export const parseMaps = (text: string): readonly Mapping[] =>
	text.split("\n").flatMap((line) => {
		const { start, end, permissions, name } = LINE.exec(line)?.groups ?? {};
		if (start === undefined || end === undefined || permissions === undefined || name === undefined) return [];
		return [{ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), permissions, name }];
	});

/** Every mapping of a process; none of one that has no memory or cannot be looked into. */
export const mappingsOf = (tid: number): readonly Mapping[] => parseMaps(readMaps(tid));
