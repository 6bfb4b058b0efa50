/** The bytes of one file, wherever they are: read a part at a time, so that a scan takes no more memory for a large file. */
export interface ByteSource {
	/** In bytes. */
	readonly length: number;
	/** Fills `into` from `offset` on. @returns the bytes read: fewer where the file ends */
	read(into: Uint8Array, offset: number): number;
}

/** A file that is in memory. */
export const sourceOf = (bytes: Uint8Array): ByteSource => ({
	length: bytes.length,
	read(into, offset) {
		const part = bytes.subarray(Math.min(offset, bytes.length), offset + into.length);
		into.set(part);
		return part.length;
	},
});

/** A part of a source, in memory of its own; shorter where the source ends. */
export const bytesAt = (source: ByteSource, offset: number, length: number): Uint8Array => {
	const available = Math.max(0, Math.min(length, source.length - offset));
	const bytes = new Uint8Array(available);
	return bytes.subarray(0, available === 0 ? 0 : source.read(bytes, offset));
};
