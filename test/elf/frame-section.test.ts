/** The frames of a section against those that the search table of the same file leads to, and against readelf where there is none. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type FrameDescription, readCallFrames, readFrameSection } from "../../src/elf/call-frame.ts";
import { readElf } from "../../src/elf/reader.ts";
import { build } from "../helpers/fixtures.ts";

const rangesOf = (descriptions: readonly FrameDescription[] = []): readonly string[] =>
	descriptions.map(({ start, length }) => `${start.toString(16)}..${(start + length).toString(16)}`).toSorted();

for (const toolchain of ["glibc", "glibc-32"] as const) {
	test(`the section has the frames of the search table, ${toolchain}`, () => {
		const elf = readElf(readFileSync(build(toolchain, "counted-calls.c")));
		const [table, section] = [readCallFrames(elf), readFrameSection(elf)];
		assert.ok((table?.descriptions.length ?? 0) > 10);
		assert.deepEqual(rangesOf(section?.descriptions), rangesOf(table?.descriptions));
	});
}

for (const toolchain of ["glibc-static", "glibc-32-static"] as const) {
	test(`a static program has the frames that readelf shows, ${toolchain}`, () => {
		const path = build(toolchain, "counted-calls.c");
		const elf = readElf(readFileSync(path));
		assert.equal(readCallFrames(elf), undefined, "there is no search table");
		const text = execFileSync("readelf", ["-W", "--debug-dump=frames", path], { encoding: "utf8", maxBuffer: 1 << 28 });
		const shown = [...text.matchAll(/ FDE .*pc=0*([0-9a-f]+)\.\.0*([0-9a-f]+)/g)].map(
			([, from, to]) => `${from ?? ""}..${to ?? ""}`,
		);
		assert.deepEqual(rangesOf(readFrameSection(elf)?.descriptions), shown.toSorted());
	});
}

test("a file without the section has no frames", () => {
	const elf = readElf(readFileSync(build("glibc", "counted-calls.c", ["-s"])));
	assert.equal(readFrameSection({ ...elf, sections: [] }), undefined);
});
