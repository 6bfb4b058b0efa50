import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import * as zlib from "node:zlib";
import fc from "fast-check";
import { streamOf } from "../../src/scan/archive/byte-stream.ts";
import { mayBeArchive, scanArchive, START_SIZE } from "../../src/scan/archive/scan-archive.ts";
import { readTar } from "../../src/scan/archive/tar.ts";
import type { FileReport } from "../../src/scan/report.ts";
import { sourceOf } from "../../src/scan/source.ts";
import { build } from "../helpers/fixtures.ts";
import { has } from "../helpers/requirements.ts";
import { dockerImage, ociImage, tar } from "../helpers/tar.ts";

const scan = async (bytes: Uint8Array): Promise<readonly FileReport[]> =>
	(await scanArchive(streamOf(sourceOf(bytes)), "image.tar")).reports;

/** path, kinds of findings, image */
const told = (reports: readonly FileReport[]): readonly string[] =>
	reports.map(({ path, place, findings, passedOver }) =>
		[path, passedOver ?? findings.map(({ kind }) => kind).join(" "), ...(place?.images ?? [])].join("|"),
	);

const startOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, START_SIZE);

const legacy = (): Uint8Array => readFileSync(build("glibc-static", "legacy.c"));
const CALLS = "call call call";

const inDirectory = (t: TestContext): string => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-archive-"));
	t.after(() => rmSync(directory, { recursive: true }));
	return directory;
};

suite("layers", () => {
	/** What is below, what is above, and whether `usr/bin/old` of below can be seen. */
	const CASES = [
		["nothing above", [], true],
		["another file", [{ path: "usr/bin/new", content: "x" }], true],
		["its directory, again", [{ path: "usr/bin/", type: "5" }], true],
		["the same path", [{ path: "./usr/bin/old", content: "x" }], false],
		["a link at its path", [{ path: "usr/bin/old", type: "2", link: "new" }], false],
		["a whiteout", [{ path: "usr/bin/.wh.old" }], false],
		["a whiteout of another", [{ path: "usr/bin/.wh.older" }], true],
		["a whiteout of its directory", [{ path: "usr/.wh.bin" }], false],
		["a whiteout of a directory above that", [{ path: ".wh.usr" }], false],
		["an opaque directory", [{ path: "usr/bin/.wh..wh..opq" }], false],
		["an opaque root", [{ path: ".wh..wh..opq" }], false],
		["an opaque directory beside it", [{ path: "usr/lib/.wh..wh..opq" }], true],
		["a file in the place of its directory", [{ path: "usr/bin", content: "x" }], false],
		["a link in the place of its directory", [{ path: "usr/bin", type: "2", link: "/bin" }], false],
	] as const;
	for (const [name, above, isVisible] of CASES) {
		test(`${name} above a file ${isVisible ? "leaves" : "hides"} it`, async (t) => {
			if (!has(t, "gcc")) return;
			const layers = [tar([{ path: "usr/bin/old", content: legacy() }]), tar(above)];
			const expected = isVisible ? [`image.tar:usr/bin/old|${CALLS}|old:1`] : [];
			assert.deepEqual(told(await scan(dockerImage(layers, ["old:1"]))), expected);
			assert.deepEqual(told(await scan(ociImage(layers, "old:1"))), expected);
		});
	}

	test("a whiteout hides what is below, not what is beside it in its layer", async (t) => {
		if (!has(t, "gcc")) return;
		const again = tar([{ path: "bin/.wh.old" }, { path: "bin/old", content: legacy() }]);
		const layers = [tar([{ path: "bin/old", content: legacy() }]), again];
		const reports = await scan(dockerImage(layers, ["old:1"]));
		assert.deepEqual(told(reports), [`image.tar:bin/old|${CALLS}|old:1`]);
		assert.match(reports[0]?.place?.layer ?? "", /^1/);
	});

	test("two names of one file are two findings, of which a later layer hides one", async (t) => {
		if (!has(t, "gcc")) return;
		const below = tar([
			{ path: "bin/old", content: legacy() },
			{ path: "bin/older", type: "1", link: "bin/old" },
		]);
		const reports = told(await scan(dockerImage([below], ["a"])));
		assert.deepEqual(reports.length, 2);
		const hidden = told(await scan(dockerImage([below, tar([{ path: "bin/.wh.old" }])], ["a"])));
		assert.deepEqual(hidden, [`image.tar:bin/older|${CALLS}|a`]);
	});

	test("images that share a layer, of which one hides the file", async (t) => {
		if (!has(t, "gcc")) return;
		const archive = tar([
			{ path: "a/layer.tar", content: tar([{ path: "bin/old", content: legacy() }]) },
			{ path: "b/layer.tar", content: tar([{ path: "bin/.wh.old" }]) },
			{ path: "c/layer.tar", type: "2", link: "../a/layer.tar" },
			{
				path: "manifest.json",
				content: JSON.stringify([
					{ RepoTags: ["one"], Layers: ["a/layer.tar"] },
					{ RepoTags: ["two"], Layers: ["a/layer.tar", "b/layer.tar"] },
					{ RepoTags: ["three"], Layers: ["b/layer.tar", "c/layer.tar"] },
				]),
			},
		]);
		assert.deepEqual(told(await scan(archive)), [`image.tar:bin/old|${CALLS}|one|three`]);
	});
});

/** Node has it from 22.15 on. */
const { zstdCompressSync } = zlib as { zstdCompressSync?: (bytes: Uint8Array) => Uint8Array };
/** A frame of one byte, for a Node that does not have it. */
const FRAME = Buffer.from("28b52ffd2000010000", "hex");

suite("layers that are compressed with zstd", () => {
	test("are read where Node can, and passed over with a line where it cannot", async (t) => {
		if (!has(t, "gcc")) return;
		const plain = tar([{ path: "bin/old", content: legacy() }]);
		const [report = ""] = told(await scan(tar([{ path: "l.tar.zst", content: zstdCompressSync?.(plain) ?? FRAME }])));
		if (zstdCompressSync !== undefined) assert.equal(report, `image.tar:l.tar.zst:bin/old|${CALLS}`);
		else assert.match(report, /^image\.tar:l\.tar\.zst\|not read to its end: compressed with zstd, which Node v20/);
	});

	test("a compressed file that is no archive is nothing", async () => {
		assert.deepEqual(
			await scan(tar([{ path: "module.ko.zst", content: zstdCompressSync?.(Buffer.alloc(9000)) ?? FRAME }])),
			[],
		);
	});
});

suite("archives", () => {
	test("plain ones, compressed ones, and archives in archives", async (t) => {
		if (!has(t, "gcc")) return;
		const plain = tar([{ path: "./bin/old", content: legacy() }]);
		assert.deepEqual(told(await scan(plain)), [`image.tar:bin/old|${CALLS}`]);
		assert.deepEqual(told(await scan(zlib.gzipSync(plain))), [`image.tar:bin/old|${CALLS}`]);
		const nested = tar([{ path: "inner.tar.gz", content: zlib.gzipSync(plain) }]);
		assert.deepEqual(told(await scan(nested)), [`image.tar:inner.tar.gz:bin/old|${CALLS}`]);
		assert.deepEqual(told(await scan(zlib.gzipSync(dockerImage([plain], ["z"])))), [`image.tar:bin/old|${CALLS}|z`]);
	});

	for (const format of ["ustar", "gnu", "pax", "v7"]) {
		test(`what tar writes as ${format} is read with the names and bytes that tar reads`, async (t) => {
			if (!has(t, "tar")) return;
			const directory = inDirectory(t);
			const long = join("d".repeat(60), "e".repeat(60));
			const names = format === "v7" ? ["short", "ümläut"] : ["short", "ümläut", join(long, "file")];
			if (format === "gnu" || format === "pax") names.push(join(long, "f".repeat(150)));
			for (const name of names) {
				mkdirSync(join(directory, "tree", name, ".."), { recursive: true });
				writeFileSync(join(directory, "tree", name), `content of ${name}`.repeat(100));
			}
			execFileSync("tar", ["-c", `--format=${format}`, "-f", "a.tar", "-C", "tree", "."], { cwd: directory });
			const read = new Map<string, string>();
			for await (const entry of readTar(streamOf(sourceOf(readFileSync(join(directory, "a.tar")))))) {
				if (entry.type === "file") read.set(entry.path, Buffer.from(await entry.content.read(entry.size)).toString());
			}
			assert.deepEqual(read, new Map([...read.keys()].map((name) => [name, `content of ${name}`.repeat(100)])));
			assert.deepEqual([...read.keys()].toSorted(), names.toSorted());
		});
	}

	test("one that ends early tells what it had, and that it ends", async (t) => {
		if (!has(t, "gcc")) return;
		const plain = tar([
			{ path: "old", content: legacy() },
			{ path: "next", content: "x".repeat(5000) },
			{ path: "last" },
		]);
		const cut = plain.subarray(0, plain.length - 3500);
		const expected = [`image.tar|not read to its end: it ends inside of an entry`, `image.tar:old|${CALLS}`];
		assert.deepEqual(told(await scan(cut)), expected);
		const compressed = zlib.gzipSync(plain);
		const [first = "", second] = told(await scan(compressed.subarray(0, compressed.length - 100)));
		assert.match(first, /^image\.tar\|not read to its end: unexpected end of file/);
		assert.equal(second, `image.tar:old|${CALLS}`);
	});

	test("what is no archive is none", () => {
		assert.ok(mayBeArchive(startOf(tar([{ path: "a" }])), "name"));
		assert.ok(mayBeArchive(startOf(zlib.gzipSync(tar([{ path: "a" }]))), "name"));
		assert.ok(!mayBeArchive(startOf(zlib.gzipSync("a page of a manual")), "name"));
		assert.ok(!mayBeArchive(startOf(Buffer.alloc(START_SIZE)), "name"));
		assert.ok(!mayBeArchive(new Uint8Array(0), "name"));
	});

	test("any changes of an image end, and lose nothing but what they hit", async () => {
		const image = new Uint8Array(
			dockerImage([tar([{ path: "a", content: "b" }]), zlib.gzipSync(tar([{ path: "c" }]))], ["t"]),
		);
		const change = fc.tuple(fc.nat(image.length - 1), fc.integer({ min: 0, max: 255 }));
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 20 }), async (changes) => {
				const changed = image.slice();
				for (const [offset, value] of changes) changed[offset] = value;
				for (const report of await scan(changed)) assert.ok(report.passedOver !== undefined);
			}),
			{ numRuns: 500 },
		);
	});
});
