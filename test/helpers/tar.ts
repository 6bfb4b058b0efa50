/** Tar archives, written by the tests themselves: so that they can be wrong, and be images. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";

export interface TarFile {
	readonly path: string;
	readonly content?: Uint8Array | string;
	/** A character of the ustar format. @default "0" */
	readonly type?: string;
	readonly link?: string;
}

const BLOCK = 512;

const bytesOf = (content: Uint8Array | string = ""): Buffer => Buffer.from(content as Uint8Array);

const entry = ({ path, content, type = "0", link = "" }: TarFile): Buffer => {
	const body = bytesOf(content);
	const header = Buffer.alloc(BLOCK);
	header.write(path, 0, 100);
	header.write("0000755\0", 100);
	header.write(`${body.length.toString(8).padStart(11, "0")}\0`, 124);
	header.write("        ", 148);
	header.write(type, 156);
	header.write(link, 157, 100);
	header.write("ustar\x0000", 257);
	header.write(
		`${header
			.reduce((sum, byte) => sum + byte, 0)
			.toString(8)
			.padStart(6, "0")}\0 `,
		148,
	);
	return Buffer.concat([header, body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)]);
};

/** An archive of these entries, in this order. */
export const tar = (files: readonly TarFile[]): Buffer => Buffer.concat([...files.map(entry), Buffer.alloc(2 * BLOCK)]);

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** An image as `docker save` wrote it until version 24: directories of layers, and manifest.json behind them. */
export const dockerImage = (layers: readonly Uint8Array[], tags: readonly string[]): Buffer => {
	const names = layers.map((layer, index) => `${index}${digestOf(layer).slice(0, 12)}/layer.tar`);
	const manifest = [{ Config: "config.json", RepoTags: tags, Layers: names }];
	return tar([
		...layers.map((content, index) => ({ path: names[index] ?? "", content })),
		{ path: "config.json", content: "{}" },
		{ path: "manifest.json", content: JSON.stringify(manifest) },
	]);
};

/** An OCI layout with one image, its layers compressed by gzip. */
export const ociImage = (layers: readonly Uint8Array[], name: string): Buffer => {
	const blobs: TarFile[] = [];
	const add = (content: Uint8Array): { digest: string; size: number } => {
		const digest = digestOf(content);
		blobs.push({ path: `blobs/sha256/${digest}`, content });
		return { digest: `sha256:${digest}`, size: content.length };
	};
	const mediaType = "application/vnd.oci.image.layer.v1.tar+gzip";
	const descriptors = layers.map((layer) => ({ mediaType, ...add(gzipSync(layer)) }));
	const manifest = add(
		Buffer.from(JSON.stringify({ schemaVersion: 2, config: add(Buffer.from("{}")), layers: descriptors })),
	);
	const index = add(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [manifest] })));
	const annotations = { "org.opencontainers.image.ref.name": name };
	return tar([
		{ path: "oci-layout", content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
		{ path: "index.json", content: JSON.stringify({ schemaVersion: 2, manifests: [{ ...index, annotations }] }) },
		...blobs,
	]);
};
