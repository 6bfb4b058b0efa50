/**
 * Which layers make which images of an archive: `manifest.json` of `docker save`, or `index.json` of an OCI layout, which leads to
 * manifests by digest (OCI image-spec, "Image Layout", "Image Index", "Image Manifest").
 */
import { normalPath } from "./tar.ts";

export interface Image {
	/** Tags; else the digest of its manifest, or the name of its configuration. */
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

/** @param named what an index above says of it */
const ociImages = (texts: Texts, index: Json, named: string | undefined, depth: number): readonly Image[] =>
	objects(index["manifests"]).flatMap((descriptor) => {
		const { digest } = descriptor;
		const manifest = parse(texts.get(blobPath(digest)));
		if (!isObject(manifest) || depth === 0) return [];
		const name = nameOf(descriptor) ?? named;
		if (Array.isArray(manifest["manifests"])) return ociImages(texts, manifest, name, depth - 1);
		const layers = objects(manifest["layers"]).map((layer) => blobPath(layer["digest"]));
		return [{ names: [name ?? String(digest)], layers }];
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
	return isObject(index) ? ociImages(texts, index, undefined, MOST_NESTED) : [];
};
