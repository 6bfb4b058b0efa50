/** Decompression of layers, by what Node has: gzip always, zstd from Node 22.15 on. */
import { pipeline, Readable, type Duplex } from "node:stream";
import * as zlib from "node:zlib";
import { type ByteStream, streamOfChunks } from "./byte-stream.ts";
import { BLOCK, isTarHeader, TarError } from "./tar.ts";

export type Compression = "gzip" | "zstd";

const CHUNK = 1 << 18;

/** What the first bytes of a file say. */
export const compressionOf = (start: Uint8Array): Compression | undefined => {
	const [first, second, third, fourth] = start;
	if (first === 0x1f && second === 0x8b) return "gzip";
	return first === 0x28 && second === 0xb5 && third === 0x2f && fourth === 0xfd ? "zstd" : undefined;
};

/** The names of Node 22.15 and later. */
interface Zstd {
	readonly createZstdDecompress?: (options: zlib.ZlibOptions) => Duplex;
}
const { createZstdDecompress } = zlib as Zstd;

const NO_ZSTD = `compressed with zstd, which Node ${process.version} cannot read (22.15 and later can)`;

const decompressor = (compression: Compression): Duplex => {
	if (compression === "gzip") return zlib.createGunzip({ chunkSize: CHUNK });
	if (createZstdDecompress === undefined) throw new TarError(NO_ZSTD);
	return createZstdDecompress({ chunkSize: CHUNK });
};

export interface Decompressed {
	/** Reading it fails where the compressed bytes are damaged. */
	readonly stream: ByteStream;
	/** Stops. Nothing is read of the compressed stream afterwards. */
	readonly close: () => Promise<void>;
}

/**
 * What comes out of a compressed stream.
 *
 * @throws {TarError} where this Node cannot decompress it.
 */
export const decompressed = (compressed: ByteStream, compression: Compression): Decompressed => {
	const output = decompressor(compression);
	let reading: Promise<Uint8Array> = Promise.resolve(new Uint8Array(0));
	const chunks = async function* (): AsyncGenerator<Uint8Array, void> {
		for (;;) {
			reading = compressed.read(CHUNK);
			const chunk = await reading;
			if (chunk.length === 0) return;
			// The decompressor works on another thread, and the chunk is good until the next read.
			yield chunk.slice();
		}
	};
	// An error of the pipeline is that which the reader of the output meets.
	pipeline(Readable.from(chunks()), output, () => undefined);
	return {
		stream: streamOfChunks(output[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>),
		close: async () => {
			output.destroy();
			await reading;
		},
	};
};

/** Names of compressed archives, of blobs of an OCI layout, and of standard input. */
const ARCHIVE_NAME = /\.tar\.zst$|\.tzst$|(?:^|\/)sha256\/[0-9a-f]+$|^-$/;

/**
 * Whether a compressed file may be a tar archive: most are pages of manuals, or modules of the kernel.
 *
 * The start of a gzip file can be decompressed alone. That of zstd cannot: there it is found when it is read; where it cannot be read,
 * the name decides whether that is worth a line.
 */
export const mayBeCompressedTar = (start: Uint8Array, compression: Compression, name: string): boolean => {
	if (compression === "zstd") return createZstdDecompress !== undefined || ARCHIVE_NAME.test(name);
	try {
		const bytes = zlib.gunzipSync(start, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
		return isTarHeader(bytes.subarray(0, BLOCK));
	} catch {
		return false;
	}
};
