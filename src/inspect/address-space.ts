/** Memory that is looked at: of a process, of a core file, or of an image that stands alone. */

export interface AddressSpace {
	/** A copy of `length` bytes; undefined unless all of them are there and may be read. */
	readonly read: (address: bigint, length: number) => Uint8Array | undefined;
}

/** A part of an address space, as a line of /proc/PID/maps or a PT_LOAD of a core file tells of it. */
export interface Mapping {
	readonly start: bigint;
	readonly end: bigint;
	/** As maps shows it: `r-xp`; the last letter is missing where nobody knows whether it is shared. */
	readonly permissions: string;
	/** What is mapped: a path, `[vdso]`, or "". */
	readonly name: string;
}

/** Bytes that begin at an address. */
export const spaceOf = (bytes: Uint8Array, start: bigint): AddressSpace => ({
	read: (address, length) => {
		const offset = address - start;
		if (offset < 0n || offset + BigInt(length) > BigInt(bytes.length)) return undefined;
		return bytes.slice(Number(offset), Number(offset) + length);
	},
});

export const mappingAt = (mappings: readonly Mapping[], address: bigint): Mapping | undefined =>
	mappings.find(({ start, end }) => start <= address && address < end);
