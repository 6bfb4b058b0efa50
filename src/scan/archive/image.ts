/**
 * Which layers make which images of an archive: `manifest.json` of `docker save`, or `index.json` of an OCI layout, which leads to
 * manifests by digest (OCI image-spec, "Image Layout", "Image Index", "Image Manifest").
 */
import { normalPath } from "./tar.ts";

export interface Image {
	/** Tags; else the digest of its manifest. */
	readonly names: readonly string[];
	/** Paths in the archive, the lowest layer first. */
	readonly layers: readonly string[];
}

/** A small text of the archive by its path. */
export type Texts = ReadonlyMap<string, string>;

/** An index may name indexes; so deep only if it names itself. */
const MOST_NESTED = 4;

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
	typeof value === "object" && value !== null && !Array.isArray(value);
const objects = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.filter(isObject) : []);
const strings = (value: unknown): readonly string[] =>
	Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];

const parse = (text: string | undefined): unknown => {
	try {
		return text === undefined ? undefined : (JSON.parse(text) as unknown);
	} catch {
		return undefined;
	}
};

/** sha256:abc -> blobs/sha256/abc */
const blobPath = (digest: unknown): string => (typeof digest === "string" ? `blobs/${digest.replace(":", "/")}` : "");

const REFERENCE = "org.opencontainers.image.ref.name";
const NAME = "io.containerd.image.name";

const nameOf = ({ annotations }: Json): string | undefined => {
	const notes = isObject(annotations) ? annotations : {};
	const name = notes[NAME] ?? notes[REFERENCE];
	return typeof name === "string" ? name : undefined;
};

interface OciIndex {
	readonly manifests: unknown;
	/** What the index itself is called: an image for several machines has its name there. */
	readonly name: string | undefined;
	/** Indexes that may still be named below it. */
	readonly depth: number;
}

const ociImages = (texts: Texts, { manifests, name: inherited, depth }: OciIndex): readonly Image[] =>
	objects(manifests).flatMap((descriptor) => {
		const { digest } = descriptor;
		const manifest = parse(texts.get(blobPath(digest)));
		if (!isObject(manifest) || depth === 0) return [];
		const name = nameOf(descriptor) ?? inherited;
		const { manifests: below } = manifest;
		if (Array.isArray(below)) return ociImages(texts, { manifests: below, name, depth: depth - 1 });
		const layers = objects(manifest["layers"]).map((layer) => blobPath(layer["digest"]));
		return [{ names: [name ?? (typeof digest === "string" ? digest : "image")], layers }];
	});

/** Empty for an archive that is no image. */
export const readImages = (texts: Texts): readonly Image[] => {
	const saved = objects(parse(texts.get("manifest.json")))
		.filter(({ Layers: layers }) => Array.isArray(layers))
		.map((manifest) => {
			const tags = strings(manifest["RepoTags"]);
			const config = manifest["Config"];
			return {
				names: tags.length > 0 ? tags : [typeof config === "string" ? config : "image"],
				layers: strings(manifest["Layers"]).map(normalPath),
			};
		});
	if (saved.length > 0) return saved;
	const index = parse(texts.get("index.json"));
	if (!isObject(index)) return [];
	return ociImages(texts, { manifests: index["manifests"], name: undefined, depth: MOST_NESTED });
};
