/** The docs and the code say the same. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { anchorClock, isoInstant, nanoseconds, parseClockSpec, wallTime } from "../src/index.ts";
import { VERSION } from "../src/cli/version.ts";
import { native, vsyscall } from "./helpers/vsyscall.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

test("every error code has a heading in docs/errors.md, and no heading is without a code", () => {
	const codes = [...read("src/errors.ts").matchAll(/\| "(ERR_VSYSCALL_\w+)"/g)]
		.map(([, code = ""]) => code)
		.toSorted((a, b) => a.localeCompare(b));
	const headings = [...read("docs/errors.md").matchAll(/^## (ERR_VSYSCALL_\w+)$/gm)]
		.map(([, code = ""]) => code)
		.toSorted((a, b) => a.localeCompare(b));
	assert.deepEqual(headings, codes);
	const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
		.filter((name) => name.endsWith(".ts") && name !== "errors.ts")
		.map((name) => read(join("src", name)))
		.join("\n");
	for (const code of codes) assert.ok(sources.includes(`"${code}"`), `${code} is never thrown`);
});

test("everything that src/index.ts exports is in docs/api.md", () => {
	const exported = [...read("src/index.ts").matchAll(/export \{([^}]*)\}/g)]
		.flatMap(([, list = ""]) => list.split(","))
		.map((name) => name.replace("type", "").trim())
		.filter((name) => name !== "");
	assert.ok(exported.length > 10);
	const page = read("docs/api.md");
	for (const name of exported) assert.match(page, new RegExp(`\\b${name}\\b`), name);
});

test("every option of run is explained by --help and the options in the docs exist", async () => {
	const { stdout, exitCode } = await vsyscall(["run", "--help"]);
	assert.equal(exitCode, 0);
	for (const option of ["--clock", "--on-failure", "--reads", "--verbose"]) assert.match(stdout, new RegExp(option));
	for (const page of ["README.md", "docs/limits.md", "docs/errors.md", "docs/reads.md"]) {
		for (const [, command = ""] of read(page).matchAll(
			/vsyscall run((?: --[a-z-]+(?:[= ](?:'[^']*'|[^\s-][^\s]*))?)*)/g,
		)) {
			for (const [option] of command.matchAll(/--[a-z][a-z-]*/g))
				assert.ok(stdout.includes(option), `${page}: ${option}`);
		}
	}
});

test("every link between the pages leads to a file", () => {
	const pages = [
		"README.md",
		"CHANGELOG.md",
		...readdirSync(join(ROOT, "docs"))
			.filter((name) => name.endsWith(".md"))
			.map((name) => join("docs", name)),
	];
	for (const page of pages) {
		for (const [, target = ""] of read(page).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
			if (/^[a-z]+:/.test(target)) continue;
			assert.ok(existsSync(join(ROOT, dirname(page), target)), `${page} -> ${target}`);
		}
	}
});

test("the version of the command line is that of package.json", async () => {
	const { version } = JSON.parse(read("package.json")) as { version: string };
	assert.equal(VERSION, version);
	assert.equal((await vsyscall(["--version"])).stdout.trim(), version);
});

test("the example of docs/api.md runs as written", () => {
	const clock = anchorClock(parseClockSpec("+1mo"), { realtime: nanoseconds(0n), zone: "UTC" });
	assert.equal(isoInstant(wallTime(clock, nanoseconds(0n))), "1970-02-01T00:00:00Z");
	assert.ok(read("docs/api.md").includes("// 1970-02-01T00:00:00Z"));
});

test("each spec in the table of docs/clock-spec.md is one", () => {
	const rows = [...(read("docs/clock-spec.md").split("## Rules")[0] ?? "").matchAll(/^\| `([^`]+)` \|/gm)].map(
		([, spec = ""]) => spec,
	);
	assert.ok(rows.length > 10);
	for (const spec of rows) assert.doesNotThrow(() => parseClockSpec(spec), spec);
});

/** Blocks of a page in one language. */
const blocks = (page: string, language: string): readonly string[] =>
	[...read(page).matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, text = ""]) => text);

const withoutDate = (text: string): unknown => ({ ...(JSON.parse(text) as object), createdAt: "" });

test("the commands of docs/clocks.md print what the page says", async (t) => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-docs-"));
	t.after(() => rmSync(directory, { recursive: true, force: true }));
	const env = { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") };
	const commands = blocks("docs/clocks.md", "console")
		.flatMap((block) => block.split(/^\$ /m).slice(1))
		.map((text) => text.split("\n"));
	assert.ok(commands.length > 10);
	for (const [command = "", ...lines] of commands) {
		const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
		assert.equal(words[0], "vsyscall");
		const { stdout, stderr } = await vsyscall(words.slice(1), { env });
		assert.equal(stdout + stderr, lines.join("\n"), command);
	}
	const shown = await vsyscall(["clock", "show", "shop", "--json"], { env });
	const [object = ""] = blocks("docs/clocks.md", "json");
	assert.deepEqual(withoutDate(shown.stdout), withoutDate(object));
});

test("the TypeScript of docs/clocks.md prints what its comments say", async (t) => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-docs-"));
	t.after(() => rmSync(directory, { recursive: true, force: true }));
	const [example = ""] = blocks("docs/clocks.md", "ts");
	const file = join(directory, "example.mjs");
	writeFileSync(file, example.replace('"vsyscall"', JSON.stringify(new URL("../src/index.js", import.meta.url).href)));
	const run = await native([process.execPath, file], { env: { VSYSCALL_RUNTIME_DIR: join(directory, "clocks") } });
	assert.equal(run.stderr, "");
	const expected = [...example.matchAll(/console\.log.* \/\/ (.*)$/gm)].map(([, text = ""]) => text);
	assert.deepEqual(run.stdout.trimEnd().split("\n"), expected);
});
