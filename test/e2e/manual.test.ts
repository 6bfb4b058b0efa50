/** The manual page says what --help says, and is a manual page for those who read such. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type HelpPage, readHelpPages } from "../helpers/help-pages.ts";
import { has } from "../helpers/requirements.ts";
import { vsyscall } from "../helpers/vsyscall.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const FILE = `${ROOT}dist/vsyscall.1`;

let pages: readonly HelpPage[];
before(async () => {
	pages = await readHelpPages();
});

test("what the build has written is what the verb prints, and the package installs it", async () => {
	assert.equal((await vsyscall(["man"])).stdout, readFileSync(FILE, "utf8"));
	const { man, files } = JSON.parse(readFileSync(`${ROOT}package.json`, "utf8")) as { man: string; files: string[] };
	assert.equal(man, "./dist/vsyscall.1");
	assert.ok(files.includes("dist/vsyscall.1"));
});

test("groff finds nothing to warn of", (t) => {
	if (!has(t, "groff")) return;
	const { stderr, status } = spawnSync("groff", ["-z", "-ww", "-man", "-Tutf8", FILE], { encoding: "utf8" });
	assert.equal(stderr, "");
	assert.equal(status, 0);
});

test("mandoc warns of nothing but the date, which a page that is built has not", (t) => {
	if (!has(t, "mandoc")) return;
	const { stdout } = spawnSync("mandoc", ["-T", "lint", "-W", "warning", FILE], { encoding: "utf8" });
	const warnings = stdout.split("\n").filter((line) => line !== "" && !line.includes("missing date"));
	assert.deepEqual(warnings, []);
});

const rendered = (columns: number): string => {
	const env = { ...process.env, MANWIDTH: String(columns), LC_ALL: "C.UTF-8" };
	return spawnSync("man", ["-l", FILE], { encoding: "utf8", env }).stdout;
};

/** Lines are broken elsewhere, and apostrophes may be others. */
const words = (text: string): string => text.replaceAll(/[‘’]/g, "'").replaceAll(/\s+/g, " ");

test("it has every verb, every option and every example of --help, in 80 columns", (t) => {
	if (!has(t, "man")) return;
	const text = rendered(80);
	const flat = words(text);
	assert.match(flat, /NAME vsyscall - /);
	for (const { verb, options, examples } of pages) {
		assert.ok(flat.includes(["vsyscall", ...verb].join(" ")), verb.join(" "));
		for (const option of options.filter((each) => each !== "-h" && each !== "--help"))
			assert.ok(flat.includes(option), `${verb.join(" ")} ${option}`);
		for (const line of examples) assert.ok(flat.includes(words(line)), line);
	}
	assert.deepEqual(
		text.split("\n").filter((line) => line.length > 90),
		[],
	);
});

test("what stands behind the options of --help is in the manual, word for word", (t) => {
	if (!has(t, "man")) return;
	const flat = words(rendered(200));
	for (const { verb, text } of pages) {
		const behind = text.slice(text.indexOf("\nExamples:"));
		for (const line of text.includes("\nExamples:") ? behind.split("\n") : []) {
			assert.ok(flat.includes(words(line.trim())), `${verb.join(" ")}: ${line}`);
		}
	}
});
