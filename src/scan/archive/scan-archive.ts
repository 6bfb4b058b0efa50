/**
 * Archives, read once from front to back and never unpacked: images of `docker save` and OCI layouts, whose layers are archives
 * themselves, and plain ones.
 *
 * Which layers make an image may stand behind them. So every archive inside is searched as a layer, and what each hides of others is
 * kept; when all has been read, the order of the layers says what can be seen. An ELF file has to be read at will: in a compressed
 * layer it is held in memory, one at a time.
 */
import { TextDecoder } from "node:util";
import { addTally, type FileReport, NO_TALLY, passedOver, type Tally } from "../report.ts";
import { isElf } from "../program.ts";
import { scanSource } from "../scan-source.ts";
import { type ByteSource, sourceOf } from "../source.ts";
import { type ByteStream, peek } from "./byte-stream.ts";
import { type Compression, compressionOf, decompressed, mayBeCompressedTar } from "./decompress.ts";
import { type Image, readImages } from "./image.ts";
import { Layer } from "./layer.ts";
import { BLOCK, isTarHeader, normalPath, readTar, type TarEntry, TarError } from "./tar.ts";

/** What is read of a file to tell what it is. */
export const START_SIZE = 4096;
/** An ELF file in a compressed layer; larger ones are passed over. */
const MOST_HELD = 1 << 30;
const HELD_AT_ONCE = 1 << 20;
/** Manifests and indexes. */
const MOST_TEXT = 1 << 22;
const MOST_TEXTS = 1 << 26;

export interface ArchiveScan {
	readonly reports: readonly FileReport[];
	readonly tally: Tally;
}

/** Whether a file may be an archive. @param start its first START_SIZE bytes, or all of it */
export const mayBeArchive = (start: Uint8Array, name: string): boolean => {
	const compression = compressionOf(start);
	if (compression === undefined) return isTarHeader(start.subarray(0, BLOCK));
	return mayBeCompressedTar(start, compression, name);
};

class ArchiveReader {
	readonly #path: string;
	readonly #reports: FileReport[] = [];
	/** By their names in the archive. */
	readonly #layers = new Map<string, Layer>();
	/** Other names of them: old images have one layer several times by links. */
	readonly #links = new Map<string, string>();
	readonly #texts = new Map<string, string>();
	#textBytes = 0;
	#tally = NO_TALLY;

	/** @param path of the archive */
	constructor(path: string) {
		this.#path = path;
	}

	async read(stream: ByteStream): Promise<ArchiveScan> {
		// What stands in the archive itself is a layer, too: the only one of a plain archive.
		const outer = new Layer("");
		await this.#readLayer(stream, outer, true);
		const images = readImages(this.#texts);
		for (const [, report] of outer.reports()) this.#reports.push(report);
		for (const layer of this.#layers.values()) this.#reports.push(...this.#visible(layer, images));
		return { reports: this.#reports, tally: this.#tally };
	}

	async #readLayer(stream: ByteStream, layer: Layer, isOuter: boolean): Promise<void> {
		try {
			const { start, whole } = await peek(stream, START_SIZE);
			const compression = compressionOf(start);
			if (compression === undefined) await this.#readEntries(whole, layer, isOuter);
			else await this.#readCompressed(whole, compression, (inner) => this.#readEntries(inner, layer, isOuter));
		} catch (error) {
			// What has been read so far counts; Node's own errors are those of the decompressor.
			if (!(error instanceof TarError) && !isZlibError(error)) throw error;
			const path = isOuter ? this.#path : `${this.#path}:${layer.name}`;
			this.#reports.push(passedOver(this.#path, `not read to its end: ${error.message}`, path));
		}
	}

	async #readCompressed(
		stream: ByteStream,
		compression: Compression,
		use: (inner: ByteStream) => Promise<void>,
	): Promise<void> {
		const { stream: inner, close } = decompressed(stream, compression);
		try {
			await use(inner);
		} finally {
			await close();
		}
	}

	/** Nothing, where what was compressed is no archive. */
	async #readEntries(stream: ByteStream, layer: Layer, isOuter: boolean): Promise<void> {
		const { start, whole } = await peek(stream, BLOCK);
		if (!isTarHeader(start)) return;
		for await (const entry of readTar(whole)) {
			layer.add({ ...entry, link: normalPath(entry.link) });
			if (isOuter && (entry.type === "symlink" || entry.type === "hardlink")) this.#link(entry);
			if (entry.type === "file") await this.#readFile(entry, layer, isOuter);
		}
	}

	/** A link from `a/layer.tar` to `../b/layer.tar`. */
	#link({ path, type, link }: TarEntry): void {
		const from = type === "symlink" ? path.split("/").slice(0, -1) : [];
		for (const part of normalPath(link).split("/")) {
			if (part === "..") from.pop();
			else from.push(part);
		}
		this.#links.set(path, from.join("/"));
	}

	async #readFile({ path, size, content }: TarEntry, layer: Layer, isOuter: boolean): Promise<void> {
		this.#tally = addTally(this.#tally, { files: 1, searched: 0, bytes: size });
		const { start, whole } = await peek(content, START_SIZE);
		if (isElf(start)) return this.#scan(layer, path, await sourceOfNext(whole, size));
		if (!isOuter) return;
		if (mayBeArchive(start, path)) {
			const inner = new Layer(path);
			this.#layers.set(path, inner);
			return this.#readLayer(whole, inner, false);
		}
		if (size <= MOST_TEXT && isJson(start)) await this.#keepText(path, await sourceOfNext(whole, size));
	}

	async #keepText(path: string, source: ByteSource | undefined): Promise<void> {
		if (source === undefined || this.#textBytes + source.length > MOST_TEXTS) return;
		this.#textBytes += source.length;
		const bytes = new Uint8Array(source.length);
		source.read(bytes, 0);
		this.#texts.set(path, new TextDecoder().decode(bytes));
	}

	#scan(layer: Layer, path: string, source: ByteSource | undefined): void {
		const name = `${this.#path}:${layer.name === "" ? "" : `${layer.name}:`}${path}`;
		if (source === undefined) {
			const reason = `larger than ${MOST_HELD} bytes in a compressed archive`;
			layer.report(path, passedOver(this.#path, reason, name));
			return;
		}
		const { report, isSearched } = scanSource(source, this.#path, name);
		if (isSearched) this.#tally = addTally(this.#tally, { files: 0, searched: 1, bytes: 0 });
		if (report !== undefined) layer.report(path, report);
	}

	/** What of a layer can be seen in an image; all of it where it is none of an image. */
	*#visible(layer: Layer, images: readonly Image[]): Generator<FileReport, void> {
		const users = images.filter(({ layers }) => this.#stack(layers).includes(layer));
		for (const [path, report] of layer.reports()) {
			if (users.length === 0) {
				yield report;
				continue;
			}
			const names = users.filter(({ layers }) => this.#isVisible(path, layer, layers)).flatMap((image) => image.names);
			if (names.length > 0) {
				yield { ...report, path: `${this.#path}:${path}`, place: { layer: layer.name, images: names } };
			}
		}
	}

	#isVisible(path: string, layer: Layer, layers: readonly string[]): boolean {
		const stack = this.#stack(layers);
		return !stack.slice(stack.lastIndexOf(layer) + 1).some((above) => above.hides(path));
	}

	#stack(layers: readonly string[]): readonly Layer[] {
		return layers
			.map((name) => this.#layers.get(name) ?? this.#layers.get(this.#links.get(name) ?? ""))
			.filter((layer) => layer !== undefined);
	}
}

/** Whether it may be a manifest or an index: an object or an array. */
const isJson = ([first]: Uint8Array): boolean => first === "{".charCodeAt(0) || first === "[".charCodeAt(0);

/** The next bytes at will: where they are, or held in memory; undefined if they are too many for that. */
const sourceOfNext = async (stream: ByteStream, size: number): Promise<ByteSource | undefined> => {
	const source = stream.ahead(size);
	if (source !== undefined || size > MOST_HELD) return source;
	const bytes = new Uint8Array(size);
	let filled = 0;
	while (filled < size) {
		const part = await stream.read(Math.min(size - filled, HELD_AT_ONCE));
		if (part.length === 0) break;
		bytes.set(part, filled);
		filled += part.length;
	}
	return sourceOf(bytes.subarray(0, filled));
};

/** Z_BUF_ERROR, ERR__ERROR_FORMAT_... : what Node's decompressors fail with. */
const isZlibError = (error: unknown): error is Error =>
	error instanceof Error && "errno" in error && "code" in error && /^Z_|^ZSTD_/.test(String(error.code));

/**
 * Scans an archive. Never fails for what is in it.
 *
 * @param path to name what is found by
 */
export const scanArchive = (stream: ByteStream, path: string): Promise<ArchiveScan> =>
	new ArchiveReader(path).read(stream);
