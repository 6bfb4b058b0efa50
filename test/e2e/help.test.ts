/** Every --help is useful in 80 columns, and what it shows as an example works as it stands. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { before, test, type TestContext } from "node:test";
import { findTool, has } from "../helpers/requirements.ts";
import { type HelpPage, readHelpPages } from "../helpers/help-pages.ts";
import { CLI, runCommand, vsyscall } from "../helpers/vsyscall.ts";

/** Verbs that are not served yet: they say so, and have no example. */
const NOT_YET: ReadonlySet<string> = new Set(["clock rate"]);
/** Programs that the examples name for something of the user's. All others are to be there. */
const STAND_INS = ["server", "program", "program-from-2009", "billing"];
/** Programs of those that would go on for ever, or need a project. */
const IN_PATH = ["redis-server", "make", "javac"];
const EXIT_FOUND = 1;

let pages: readonly HelpPage[];
before(async () => {
	pages = await readHelpPages();
});

const nameOf = ({ verb }: HelpPage): string => verb.join(" ");

test("every verb ends with two examples or more, which are of it", () => {
	assert.ok(pages.length > 10);
	for (const page of pages) {
		if (NOT_YET.has(nameOf(page))) assert.deepEqual(page.examples, []);
		else assert.ok(page.examples.length >= 2, nameOf(page));
		const own = page.examples.filter((line) => `${line} `.includes(["vsyscall", ...page.verb, ""].join(" ")));
		assert.ok(own.length >= Math.min(2, page.examples.length), nameOf(page));
	}
});

test("every --help fits 80 columns, is plain text, and is the same with and without NO_COLOR", async () => {
	for (const page of pages) {
		assert.deepEqual(
			page.text.split("\n").filter((line) => line.length > 80),
			[],
			nameOf(page),
		);
		assert.ok(!page.text.includes("\u001b"), nameOf(page));
	}
	const { stdout } = await vsyscall(["--help"], { env: { NO_COLOR: "1", FORCE_COLOR: "1" } });
	assert.equal(stdout, pages[0]?.text);
});

test("a wrong word is one line that names it", async () => {
	const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
		[["rum"], /unknown command 'rum'/],
		[["clock", "crate"], /unknown command 'crate'/],
		[["completion", "tcsh"], /'tcsh' is invalid.*bash, zsh, fish/],
		[["completion"], /missing required argument 'shell'/],
		[["man", "run"], /too many arguments/],
	];
	for (const [args, message] of cases) {
		const { stdout, stderr, exitCode } = await vsyscall(args);
		assert.equal(stdout, "");
		assert.match(stderr, message);
		assert.match(stderr, /^vsyscall: [^\n]+\n$/);
		assert.equal(exitCode, 125);
	}
});

const writeProgram = (file: string, text: string): void => {
	writeFileSync(file, text);
	chmodSync(file, 0o755);
};

/** A directory with what the examples take for granted: vsyscall in PATH, programs of the user's, clocks. */
const userDirectory = async (t: TestContext, page: HelpPage) => {
	const directory = mkdtempSync(join(tmpdir(), "vsyscall-help-"));
	t.after(() => rmSync(directory, { recursive: true, force: true }));
	const bin = join(directory, "bin");
	mkdirSync(bin);
	writeProgram(join(bin, "vsyscall"), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`);
	for (const name of STAND_INS) writeProgram(join(directory, name), "#!/bin/sh\ndate -u\n");
	for (const name of IN_PATH) writeProgram(join(bin, name), "#!/bin/sh\ndate -u\n");
	const env = {
		PATH: [bin, process.env["PATH"]].join(delimiter),
		VSYSCALL_RUNTIME_DIR: join(directory, "clocks"),
		HOME: directory,
	};
	const isMade = page.examples.some((line) => line.startsWith("vsyscall clock create shop"));
	if (!isMade) await vsyscall(["clock", "create", "shop", "2027-03-01T00:00Z"], { env });
	return { cwd: directory, env };
};

/** What a line needs besides what is made here. */
const programsIn = (line: string): readonly string[] =>
	["python3", "faketime", "man"].filter((name) =>
		new RegExp(`(^|[ |])${name} `).test(line.replaceAll("vsyscall ", "")),
	);

test("every example of every --help does what it says: it ends well, and nothing is wrong", async (t) => {
	if (!has(t, "bash")) return;
	for (const page of pages) {
		const user = await userDirectory(t, page);
		for (const line of page.examples) {
			const missing = programsIn(line).filter((name) => findTool(name) === undefined);
			if (!has(t, ...missing)) return;
			// The removed clock is wanted again by the next line.
			if (nameOf(page) === "clock rm") await vsyscall(["clock", "create", "shop"], { env: user.env });
			// What is left in the background is waited for.
			const settings = { ...user, timeoutMs: 120_000 };
			const { exitCode, stderr } = await runCommand(["bash", "-c", `${line}\n[ -z "$(jobs -p)" ] || wait`], settings);
			const isWell = exitCode === 0 || (exitCode === EXIT_FOUND && /\bdoctor\b|\bscan\b/.test(line));
			assert.ok(isWell, `${line}: status ${exitCode}\n${stderr}`);
			assert.doesNotMatch(stderr, /internal error|unknown|command not found|No such file/, line);
		}
	}
});
