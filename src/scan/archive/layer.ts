/**
 * One layer of an image: what it has for a scan to say, and what it hides of the layers below it.
 *
 * A layer replaces what it has at the same path; `.wh.NAME` removes NAME of the layers below, `.wh..wh..opq` everything in its
 * directory (OCI image-spec, "Image Layer Filesystem Changeset").
 */
import type { FileReport } from "../report.ts";
import type { TarEntry } from "./tar.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";

/** `a/b/c` -> `a/b`, `a`, and the root. */
function* directoriesOf(path: string): Generator<string, void> {
	for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) yield path.slice(0, end);
	yield "";
}

export class Layer {
	/** In the archive. */
	readonly name: string;
	/** By path in the layer. */
	readonly #reports = new Map<string, FileReport>();
	readonly #paths = new Set<string>();
	/** Those that are not directories: what was below them is gone. */
	readonly #leaves = new Set<string>();
	readonly #removed = new Set<string>();
	readonly #opaque = new Set<string>();
	/** Further names of a file, by its name. */
	readonly #links = new Map<string, string[]>();

	constructor(name: string) {
		this.name = name;
	}

	add({ path, type, link }: Pick<TarEntry, "path" | "type"> & { readonly link: string }): void {
		const slash = path.lastIndexOf("/");
		const [directory, base] = [path.slice(0, Math.max(0, slash)), path.slice(slash + 1)];
		if (base === OPAQUE) this.#opaque.add(directory);
		else if (base.startsWith(WHITEOUT)) {
			this.#removed.add(path.slice(0, slash + 1) + base.slice(WHITEOUT.length));
		} else {
			// The later of two entries with one name counts.
			this.#reports.delete(path);
			this.#paths.add(path);
			if (type === "directory") this.#leaves.delete(path);
			else this.#leaves.add(path);
			if (type === "hardlink") this.#links.set(link, [...(this.#links.get(link) ?? []), path]);
		}
	}

	report(path: string, report: FileReport): void {
		this.#reports.set(path, report);
	}

	/** What is to be said, by path; a file with several names under each of them. */
	*reports(): Generator<readonly [string, FileReport], void> {
		for (const [path, report] of this.#reports) {
			yield [path, report];
			for (const link of this.#links.get(path) ?? []) yield [link, report];
		}
	}

	/** Whether a file of a layer below cannot be seen through this one. */
	hides(path: string): boolean {
		if (this.#paths.has(path) || this.#removed.has(path)) return true;
		for (const directory of directoriesOf(path)) {
			if (this.#opaque.has(directory) || this.#removed.has(directory) || this.#leaves.has(directory)) return true;
		}
		return false;
	}
}
