/** /proc/PID/maps: proc_pid_maps(5). */
import { type Mapping, mappingAt } from "../inspect/address-space.ts";
import { isOwnProc, readText } from "./proc-file.ts";

/** "" of a process that has no memory or cannot be looked into. */
const readMaps = (tid: number): string => (isOwnProc() ? readText(`/proc/${tid}/maps`) : "");

const LINE = /^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) (?<permissions>\S+) (?<offset>[0-9a-f]+) \S+ \d+ *(?<name>.*)$/;

/** A line of the file. */
export interface MappingLine extends Mapping {
	/** Of the first byte, in the file that is mapped. */
	readonly offset: bigint;
}

/** The lines of /proc/PID/maps as text. A name with a newline stands there with `\012`. */
export const parseMaps = (text: string): readonly MappingLine[] =>
	text.split("\n").flatMap((line) => {
		const { start, end, permissions, offset, name } = LINE.exec(line)?.groups ?? {};
		if (start === undefined || end === undefined || permissions === undefined || offset === undefined) return [];
		const [from, to, inFile] = [start, end, offset].map((digits) => BigInt(`0x${digits}`)) as [bigint, bigint, bigint];
		return [{ start: from, end: to, permissions, offset: inFile, name: name ?? "" }];
	});

/** Every mapping of a process; none of one that has no memory or cannot be looked into. */
export const mappingsOf = (tid: number): readonly MappingLine[] => parseMaps(readMaps(tid));

/** Whether an address lies in a private mapping, to which a write of ours concerns this process alone. */
export const isPrivatelyMapped = (tid: number, address: bigint): boolean =>
	mappingAt(mappingsOf(tid), address)?.permissions.endsWith("p") === true;

/** Addresses from `start` up to, not including, `end`. */
export interface AddressRange {
	readonly start: bigint;
	readonly end: bigint;
}

/** The mapping that a file /proc/PID/maps calls `[name]`: without taking the whole file apart, at the start of every run. */
export const mappingOf = (maps: string, name: string): AddressRange | undefined => {
	const [, start, end] = new RegExp(`^([0-9a-f]+)-([0-9a-f]+) .*\\[${name}\\]$`, "m").exec(maps) ?? [];
	return start === undefined || end === undefined
		? undefined
		: { start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) };
};

/** Where the host's vDSO is in a process; undefined when it has none or cannot be looked into. */
export const hostVdsoRange = (tid: number): AddressRange | undefined => mappingOf(readMaps(tid), "vdso");

/** Whether nothing is mapped in a range; false when a process cannot be looked into. */
export const isFree = (tid: number, range: AddressRange): boolean => {
	const mappings = mappingsOf(tid);
	return mappings.length > 0 && !mappings.some(({ start, end }) => start < range.end && end > range.start);
};

/** How far the host's data page is from its image, in bytes: the same in all processes of a class. Undefined as above. */
export const hostDataDistance = (tid: number): number | undefined => {
	const maps = readMaps(tid);
	const [image, data] = [mappingOf(maps, "vdso"), mappingOf(maps, "vvar")];
	return image === undefined || data === undefined ? undefined : Number(data.start - image.start);
};
